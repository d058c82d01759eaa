"""Breast-ultrasound analysis in Keras 3: segmentation, classification, Grad-CAM, on TensorFlow, JAX and PyTorch."""

__version__ = "0.1.0"
