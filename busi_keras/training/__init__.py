"""From records and an experiment to a run folder."""
