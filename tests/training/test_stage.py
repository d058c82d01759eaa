"""A stage's training in this process, on each backend: what an interruption changes."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from busi_keras.config import Experiment
from busi_keras.models import build
from busi_keras.training.batches import Arrays
from busi_keras.training.checkpoint import Checkpoints
from busi_keras.training.device import prepare
from busi_keras.training.display import ConsoleDisplay
from busi_keras.training.trainer import Stage, train_stage
from tests.tiny import TINY

FROZEN, EPOCHS = 1, 3


class StoppedError(Exception):
    """What ends a training at once."""


class Stopping(ConsoleDisplay):
    """A display that ends a training after an epoch."""

    def __init__(self, after: int | None) -> None:
        super().__init__()
        self._after = after

    def end_epoch(self, row: dict[str, Any], best: bool) -> None:
        if row["epoch"] == self._after:
            raise StoppedError


def squares() -> Arrays:
    """Grey images, half of them with a bright square."""
    rng = np.random.default_rng(0)
    images = rng.integers(60, 90, (16, 32, 32, 3), dtype=np.uint8)
    masks = np.zeros((16, 32, 32, 1), np.uint8)
    images[::2, 8:20, 8:20] = 220
    masks[::2, 8:20, 8:20] = 1
    return Arrays(images, masks, np.arange(16, dtype=np.int32) % 3)


def trained(folder: Path, stops: tuple[int, ...]) -> tuple[list[np.ndarray], list[float]]:
    """The weights and the losses of a training that is ended after these epochs, and gone on with."""
    experiment = Experiment(
        "multitask-cnn", "phantom", backbone=TINY, weights="none", image_size=32, epochs=EPOCHS, batch_size=8,
        frozen_epochs=FROZEN, average=0.9, backend=keras.backend.backend(),
    )  # fmt: skip
    for stop in (*stops, None):
        prepare(experiment)
        stage = Stage("multitask-cnn", build(experiment), pretrained=True)
        arguments = (stage, experiment, squares(), squares(), Checkpoints(folder, stage.name), Stopping(stop))
        if stop is None:
            progress = train_stage(*arguments, record=lambda rows: None)
        else:
            with pytest.raises(StoppedError):
                train_stage(*arguments, record=lambda rows: None)
    return stage.network.get_weights(), [row["loss"] for row in progress.rows]


@pytest.mark.backends
def test_a_training_that_is_interrupted_ends_as_one_that_is_not(tmp_path: Path) -> None:
    weights, losses = trained(tmp_path / "whole", ())
    again, same_losses = trained(tmp_path / "parts", (0, 1))  # before and after the encoder is freed
    np.testing.assert_allclose(same_losses, losses, rtol=1e-5)
    for one, other in zip(again, weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
