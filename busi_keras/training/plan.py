"""Which networks an experiment trains, in which order, and the model that comes out."""

from dataclasses import replace
from typing import Any

import keras

from busi_keras.config import Experiment
from busi_keras.errors import UsageError
from busi_keras.models import build, join
from busi_keras.models.backbone import weights_exchanged
from busi_keras.training.batches import Arrays
from busi_keras.training.checkpoint import Checkpoints, Progress
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
        name, own = member(experiment, number)
        if number:
            prepare(own)
            _require_same_start(experiment)
            members.append(build(own))
        stage = Stage(name, members[number], experiment.pretrained)
        done[name] = _run_stage(stage, own, run, training, validation, display, rows)
        rows = (*rows, *done[name].rows)
    return (join(members) if len(members) > 1 else model), done


def member(experiment: Experiment, number: int) -> tuple[str, Experiment]:
    """A network of an ensemble, counted from 0: the name of its stage, and the experiment that trains it."""
    name = f"{experiment.approach}-{number + 1}" if number else experiment.approach
    return name, replace(experiment, seed=experiment.seed + number, members=1)


def _require_same_start(experiment: Experiment) -> None:
    """Refuses a file of starting weights that was exchanged while a member before was trained."""
    if weights_exchanged(experiment.weights, experiment.weights_fingerprint):
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
    def record(rows: tuple[dict[str, Any], ...]) -> None:
        run.write_history((*earlier, *rows))

    checkpoints = Checkpoints(run.checkpoint_folder, stage.name)
    return train_stage(stage, experiment, training, validation, checkpoints, display, record)
