"""From an experiment to its network."""

from dataclasses import replace
from pathlib import Path

import keras

from busi_keras.config import Experiment
from busi_keras.errors import UsageError, first_line
from busi_keras.files import verify_archive
from busi_keras.models.classifier import build_classifier
from busi_keras.models.multitask import build_multitask
from busi_keras.models.temperature import set_temperature
from busi_keras.models.two_stage import build_two_stage
from busi_keras.models.unet import build_unet


def build(experiment: Experiment) -> keras.Model:
    """The experiment's untrained network, or one member of its ensemble, under the dtype policy and random seed that
    are set; each call draws other weights.

    Returns:
        `image` float32 `(batch, S, S, 3)`, 0-255, letterboxed ->
        `{"mask": logits (batch, S, S, 1), "label": logits (batch, 3), "novelty": (batch,)}`.

    Raises:
        UsageError: its starting weights cannot be had, or are another network's.
    """
    if Path(experiment.weights).suffix == ".keras":
        network = build(replace(experiment, weights="none"))
        _copy_weights(Path(experiment.weights), network)
        return network
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
        attention=experiment.attention_gates,
        deep_supervision=experiment.deep_supervision,
    )


def _copy_weights(path: Path, network: keras.Model) -> None:
    """Gives a network the weights of a stored one, of any image size; it is uncalibrated again."""
    if not path.exists():
        raise UsageError(f"--weights {path} does not exist; name a .keras file, or put it back")
    try:
        verify_archive(path)
        stored = keras.models.load_model(path, compile=False, safe_mode=True)
        network.set_weights(stored.get_weights())
    except Exception as error:  # a damaged file makes h5py, zipfile and Keras raise whatever they meet
        raise UsageError(
            f"--weights {path} does not fit this network ({first_line(error)}); give a model that was trained with the "
            "same --approach, --backbone and decoder (in two-stage --segmenter and --width)"
        ) from error
    set_temperature(network, 1.0)
