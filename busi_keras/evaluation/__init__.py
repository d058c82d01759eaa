"""Scores of masks and classes. NumPy and SciPy; no Keras."""
