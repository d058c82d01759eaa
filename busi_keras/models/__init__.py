"""Keras models, and what trains them: layers, losses, metrics, augmentation.

Importing this package registers the custom layers, so that `keras.models.load_model` reads every stored model.
"""

from busi_keras.models.build import build
from busi_keras.models.classifier import build_classifier
from busi_keras.models.ensemble import join
from busi_keras.models.multitask import build_multitask
from busi_keras.models.two_stage import build_two_stage
from busi_keras.models.unet import build_unet

__all__ = ["build", "build_classifier", "build_multitask", "build_two_stage", "build_unet", "join"]
