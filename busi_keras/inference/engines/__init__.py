"""One small file for each format a network can be run in."""
