"""Plots, figures and documents about runs and predictions."""
