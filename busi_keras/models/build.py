"""From an experiment to its network."""

import keras

from busi_keras.config import Experiment
from busi_keras.models.classifier import build_classifier
from busi_keras.models.multitask import build_multitask
from busi_keras.models.two_stage import build_two_stage
from busi_keras.models.unet import build_unet


def build(experiment: Experiment) -> keras.Model:
    """The experiment's untrained network, under the dtype policy and random seed that are set.

    Returns:
        `image` float32 `(batch, S, S, 3)`, 0-255, letterboxed ->
        `{"mask": logits (batch, S, S, 1), "label": logits (batch, 3), "novelty": (batch,)}`.

    Raises:
        UsageError: its starting weights cannot be had, or are another network's.
    """
    if experiment.approach == "two-stage":
        return build_two_stage(
            build_unet(experiment.image_size, experiment.width, attention=experiment.segmenter == "attention-unet"),
            build_classifier(experiment.image_size, experiment.backbone, experiment.weights),
        )
    return build_multitask(
        experiment.image_size,
        experiment.backbone,
        experiment.weights,
        skips=experiment.approach == "multitask-cnn",
    )
