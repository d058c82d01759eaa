"""Which networks an experiment trains, in which order, and the model that comes out."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras

from busi_keras.config import Experiment
from busi_keras.errors import UsageError
from busi_keras.models import build, join
from busi_keras.models.backbone import weights_fingerprint
from busi_keras.training.batches import Arrays
from busi_keras.training.checkpoint import Progress
from busi_keras.training.crops import CropBoxes, predicted_crops
from busi_keras.training.device import prepare
from busi_keras.training.run import Run
from busi_keras.training.trainer import Display, Stage, train_stage


def train(
    model: keras.Model, experiment: Experiment, run: Run, training: Arrays, validation: Arrays, display: Display
) -> tuple[keras.Model, dict[str, Progress]]:
    """Trains all of an experiment's stages, going on where the run stopped.

    Args:
        model: from `models.build`; an ensemble's first member, the others are built here.

    Returns:
        The network with the best weights of each stage, and each stage's progress by its name.
    """
    if experiment.approach == "two-stage":
        return model, _train_two_stages(model, experiment, run, training, validation, display)
    members, done = [model], {}
    rows: tuple[dict[str, Any], ...] = ()
    for number in range(experiment.members):
        own, name = replace(experiment, seed=experiment.seed + number, members=1), experiment.approach
        if number:
            prepare(own)
            _require_same_start(experiment)
            members.append(build(own))
            name = f"{name}-{number + 1}"
        stage = Stage(name, members[number], experiment.pretrained)
        done[name] = _run_stage(stage, own, run, training, validation, display, rows)
        rows = (*rows, *done[name].rows)
    return (join(members) if len(members) > 1 else model), done


def _require_same_start(experiment: Experiment) -> None:
    """Refuses a file of starting weights that was exchanged while a member before was trained."""
    begun_with, found = experiment.weights_fingerprint, weights_fingerprint(experiment.weights)
    if begun_with and found not in ("", begun_with):
        raise UsageError(
            f"{experiment.weights} is not the file that this run was begun with; put that back, and --resume"
        )


def _train_two_stages(
    model: keras.Model, experiment: Experiment, run: Run, training: Arrays, validation: Arrays, display: Display
) -> dict[str, Progress]:
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
