"""Which networks an experiment trains, in which order, and the model that comes out."""

from collections.abc import Callable
from typing import Any

import keras

from busi_keras.config import Experiment
from busi_keras.training.batches import Arrays
from busi_keras.training.checkpoint import Progress
from busi_keras.training.crops import CropBoxes, predicted_crops
from busi_keras.training.run import Run
from busi_keras.training.trainer import Display, Stage, train_stage


def train(
    model: keras.Model, experiment: Experiment, run: Run, training: Arrays, validation: Arrays, display: Display
) -> dict[str, Progress]:
    """Trains all of an experiment's stages, going on where the run stopped.

    Args:
        model: from `models.build`; has the best weights of each stage afterwards.

    Returns:
        Each stage's progress by its name.
    """
    if experiment.approach != "two-stage":
        stage = Stage(experiment.approach, model, experiment.pretrained)
        return {stage.name: _run_stage(stage, experiment, run, training, validation, display, ())}

    unet = model.get_layer("attention_unet" if experiment.segmenter == "attention-unet" else "unet")
    segmenter = Stage("segmenter", unet, pretrained=False)
    segmented = _run_stage(segmenter, experiment, run, training, validation, display, ())

    crops = predicted_crops(unet, model.get_layer("crop"), validation, experiment.batch_size)
    classifier = Stage("classifier", model.get_layer("classifier"), experiment.pretrained, CropBoxes(training))
    classified = _run_stage(classifier, experiment, run, training, crops, display, segmented.rows)
    return {segmenter.name: segmented, classifier.name: classified}


def _run_stage(
    stage: Stage,
    experiment: Experiment,
    run: Run,
    training: Arrays,
    validation: Arrays,
    display: Display,
    earlier: tuple[dict[str, Any], ...],
) -> Progress:
    record: Callable[[tuple[dict[str, Any], ...]], None] = lambda rows: run.write_history((*earlier, *rows))  # noqa: E731
    return train_stage(stage, experiment, training, validation, run.checkpoints(stage.name), display, record)
