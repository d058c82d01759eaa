"""Scores of masks and classes. NumPy, SciPy and scikit-learn; no Keras."""
