"""One function for each command: what `cli.py` and the notebooks call."""
