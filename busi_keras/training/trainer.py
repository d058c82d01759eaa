"""The training loop: a frozen phase, a free phase, a checkpoint after each epoch, the best epoch at the end."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np

from busi_keras.config import CLASSES, Experiment
from busi_keras.errors import UsageError
from busi_keras.models.backbone import levels, set_trainable
from busi_keras.training.batches import Arrays, TrainingBatches, ValidationBatches
from busi_keras.training.checkpoint import Checkpoints, Progress
from busi_keras.training.interrupt import remembered_interrupt
from busi_keras.training.objective import Objective
from busi_keras.training.optimizer import FineTuning

FROZEN_LEARNING_RATE = 1e-3
FINAL_LEARNING_RATE = 0.01
"""Of the peak: where the cosine ends."""
WARM_UP = 0.05
"""Of the steps: the learning rate rises over them."""
WEIGHT_DECAY = 1e-4
GRADIENT_NORM = 5.0
TRAINING_PER_FORWARD = 3.0


class Display(Protocol):
    """What shows a training to the person who waits for it."""

    def begin(self, stage: str, rows: Sequence[dict[str, Any]]) -> None:
        """A stage begins, after the epochs of these rows; of a new one there are none."""

    def start_stage(self, stage: str, epochs: int, seconds: float) -> None:
        """A network's training begins; so many epochs are left, and they may take so long in all."""

    def start_epoch(self, stage: str, epoch: int, epochs: int, steps: int) -> None:
        """An epoch begins; `epoch` counts from 0."""

    def step(self, step: int, logs: dict[str, float]) -> None:
        """A step has ended; `logs` are means of the epoch so far."""

    def end_epoch(self, row: dict[str, Any], best: bool) -> None:
        """An epoch has been validated; `row` is its line of the history."""


@dataclass(frozen=True)
class Stage:
    """One network to be trained on its own.

    Attributes:
        name: `multitask`, `multitask-cnn`, `segmenter` or `classifier`, of an ensemble's further members with their
            number, `multitask-2`: the history's `stage`.
        network: the model to train, with a layer `encoder`.
        pretrained: whether the encoder starts from trained weights: it is frozen at first, and its
            BatchNormalization statistics stay as they are.
        boxes: as in `TrainingBatches`.
    """

    name: str
    network: keras.Model
    pretrained: bool
    boxes: Callable[[np.random.Generator, np.ndarray], np.ndarray] | None = None


def train_stage(
    stage: Stage,
    experiment: Experiment,
    training: Arrays,
    validation: Arrays,
    checkpoints: Checkpoints,
    display: Display,
    record: Callable[[tuple[dict[str, Any], ...]], None],
) -> Progress:
    """Trains until the last epoch or until `patience` epochs bring nothing better; leaves the best weights in place.

    Goes on from the stage's newest checkpoint. On TensorFlow and a CPU the result is the same, bit for bit, however
    often it was interrupted.

    Args:
        record: called with all of the stage's history rows after each epoch, and once at the start.
    """
    progress = checkpoints.latest()
    if progress:
        checkpoints.restore(progress, stage.network)
        record(progress.rows)
    display.begin(stage.name, progress.rows if progress else ())
    objective = Objective(
        stage.network,
        experiment.mask_loss,
        experiment.mask_weight,
        experiment.label_weight,
        experiment.heat_map_weight,
        _class_weights(training.labels, experiment.class_weighting),
    )
    first = progress.epoch + 1 if progress else 0
    if first < experiment.epochs and not _is_over(progress, experiment):
        left = experiment.epochs - first
        seconds = _expected_epoch_seconds(stage.network, training, experiment.batch_size)
        display.start_stage(stage.name, left, left * seconds)
    frozen_epochs = experiment.frozen_epochs if stage.pretrained else 0
    checks = ValidationBatches(validation, experiment.batch_size)

    with remembered_interrupt() as raise_again:
        for epoch in range(first, experiment.epochs):
            if _is_over(progress, experiment):
                break
            batches = TrainingBatches(
                training,
                experiment.batch_size,
                experiment.seed,
                epoch,
                experiment.augment,
                stage.boxes,
                experiment.class_balance,
            )
            if not objective.compiled or epoch == frozen_epochs:
                _start_phase(objective, stage, experiment, epoch < frozen_epochs, batches.num_batches)
                if progress and epoch != frozen_epochs:
                    checkpoints.restore(progress, stage.network, objective.optimizer)
            display.start_epoch(stage.name, epoch, experiment.epochs, batches.num_batches)
            started = time.monotonic()
            fitted = objective.fit(batches, verbose=0, shuffle=False, callbacks=[_Steps(display, raise_again)])
            row = {
                "stage": stage.name,
                "epoch": epoch,
                "learning_rate": float(keras.ops.convert_to_numpy(objective.optimizer.learning_rate)),
                **{name: values[-1] for name, values in fitted.history.items()},
            }
            with objective.optimizer.averaged():
                checked = objective.evaluate(checks, verbose=0, return_dict=True)
                row |= {f"val_{name}": value for name, value in checked.items()}
                _require_finite(row, experiment, epoch < frozen_epochs)
                row |= {
                    "val_score": validation_score(row, experiment.choose_by),
                    "seconds": round(time.monotonic() - started, 2),
                }
                progress = _advance(progress, row)
                if progress.best_epoch == epoch:
                    checkpoints.save_best(progress, stage.network)
            checkpoints.save(progress, stage.network, objective.optimizer)
            record(progress.rows)
            display.end_epoch(row, best=progress.best_epoch == epoch)
            raise_again()

    assert progress is not None, "an experiment has at least one epoch"
    checkpoints.restore_best(progress, stage.network)
    return progress


def validation_score(row: dict[str, Any], choose_by: str) -> float:
    """By what the epoch is chosen: the mean of validation Dice and accuracy, of those that the network has, or IoU
    alone; of a network without a mask accuracy, in either case.

    Args:
        row: the epoch's line of the history.
        choose_by: one of `EPOCH_CHOICES`.
    """
    if choose_by == "iou" and "val_iou" in row:
        return float(row["val_iou"])
    return float(np.mean([row[name] for name in ("val_dice", "val_accuracy") if name in row]))


def _require_finite(row: dict[str, Any], experiment: Experiment, frozen: bool) -> None:
    remedy = (
        f"check the starting weights ({Path(experiment.weights).name}) and the weights of the losses"
        if frozen
        else f"start a new run with a --learning-rate lower than {experiment.learning_rate}"
    )
    for name, of in (("loss", "training"), ("val_loss", "validation")):
        if not np.isfinite(row[name]):
            raise UsageError(
                f"the {of} loss of {row['stage']} is {row[name]} in epoch {row['epoch'] + 1}: training has diverged; "
                f"{remedy}"
            )


def _expected_epoch_seconds(network: keras.Model, arrays: Arrays, batch_size: int) -> float:
    """A guess: training takes three times as long as the forward pass, which is timed once it is compiled."""
    images = arrays.images[:batch_size].astype(np.float32)
    network.predict_on_batch(images)
    started = time.monotonic()
    network.predict_on_batch(images)
    return TRAINING_PER_FORWARD * (time.monotonic() - started) * len(arrays) / len(images)


def _is_over(progress: Progress | None, experiment: Experiment) -> bool:
    return progress is not None and progress.epoch - progress.best_epoch >= experiment.patience


def _advance(progress: Progress | None, row: dict[str, Any]) -> Progress:
    if progress is None:
        return Progress(row["epoch"], row["epoch"], (row,))
    better = row["val_score"] > progress.rows[progress.best_epoch]["val_score"]
    return Progress(row["epoch"], row["epoch"] if better else progress.best_epoch, (*progress.rows, row))


def _start_phase(objective: Objective, stage: Stage, experiment: Experiment, frozen: bool, steps: int) -> None:
    """Compiles for the phase that begins: which weights move, with a new optimizer and its own schedule."""
    encoder = stage.network.get_layer("encoder")
    set_trainable(encoder, trainable=not frozen, batch_norm=not stage.pretrained)
    if frozen:
        schedule: Any = FROZEN_LEARNING_RATE
    else:
        total = steps * (experiment.epochs - (experiment.frozen_epochs if stage.pretrained else 0))
        rising = max(1, int(WARM_UP * total))
        schedule = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0,
            warmup_target=experiment.learning_rate,
            warmup_steps=rising,
            decay_steps=max(1, total - rising),
            alpha=FINAL_LEARNING_RATE,
        )
    optimizer = FineTuning(
        levels(encoder),
        experiment.encoder_rate if stage.pretrained else 1.0,
        experiment.average,
        pause=steps if stage.pretrained and experiment.gradual_unfreezing else 0,
        learning_rate=schedule,
        weight_decay=WEIGHT_DECAY,
        global_clipnorm=GRADIENT_NORM,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    objective.compile(optimizer=optimizer)
    optimizer.build(objective.trainable_variables)


def _class_weights(labels: np.ndarray, weighting: bool) -> tuple[float, ...]:
    """1 for each class, or the inverse of its frequency, with a mean over images of 1."""
    if not weighting:
        return (1.0,) * len(CLASSES)
    counts = np.bincount(labels, minlength=len(CLASSES))
    return tuple(float(w) for w in len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1)))


class _Steps(keras.callbacks.Callback):
    def __init__(self, display: Display, raise_again: Callable[[], None]) -> None:
        super().__init__()
        self._display, self._raise_again = display, raise_again

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._raise_again()
        self._display.step(batch + 1, logs or {})
