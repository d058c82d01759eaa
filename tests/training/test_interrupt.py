"""Ctrl-C while a network is trained, where Python drops the exception that it raises."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from busi_keras.config import Experiment
from busi_keras.models import build_unet
from busi_keras.training.batches import Arrays
from busi_keras.training.checkpoint import Checkpoints
from busi_keras.training.interrupt import remembered_interrupt
from busi_keras.training.trainer import Stage, train_stage

SIDE = 32


@pytest.fixture(autouse=True)
def heeded() -> Iterator[None]:
    """Ctrl-C does what it does in a terminal; a shell's background jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class PressesWhenDeleted:
    """What is raised in `__del__` is dropped."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        sum(range(10))


class Presses:
    """A display whose second epoch begins with a Ctrl-C that is dropped."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []

    def begin(self, stage: str, rows: Sequence[dict[str, Any]]) -> None: ...

    def start_stage(self, stage: str, epochs: int, seconds: float) -> None: ...

    def start_epoch(self, stage: str, epoch: int, epochs: int, steps: int) -> None:
        self.epoch = epoch
        if epoch == 1:
            PressesWhenDeleted()

    def step(self, step: int, logs: dict[str, float]) -> None:
        self.steps.append((self.epoch, step))

    def end_epoch(self, row: dict[str, Any], best: bool) -> None: ...


class FailsWhenDeleted:
    """The same for another exception."""

    def __del__(self) -> None:
        raise ValueError("dropped")


def test_an_interrupt_that_was_dropped_is_raised_again_and_nothing_else_is_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    printed: list[type[BaseException]] = []
    hook = lambda dropped: printed.append(dropped.exc_type)  # noqa: E731
    monkeypatch.setattr(sys, "unraisablehook", hook)
    with remembered_interrupt() as raise_again:
        raise_again()
        PressesWhenDeleted()
        with pytest.raises(KeyboardInterrupt):
            raise_again()
        FailsWhenDeleted()
    assert printed == [ValueError]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert sys.unraisablehook is hook


def test_an_interrupt_is_raised_at_once_where_it_can_be() -> None:
    with pytest.raises(KeyboardInterrupt), remembered_interrupt():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_who_handles_ctrl_c_in_another_way_keeps_it() -> None:
    pressed: list[int] = []
    own = lambda number, frame: pressed.append(number)  # noqa: E731
    signal.signal(signal.SIGINT, own)
    with remembered_interrupt() as raise_again:
        assert signal.getsignal(signal.SIGINT) is own
        PressesWhenDeleted()
        raise_again()
    assert pressed == [signal.SIGINT]


def test_outside_the_main_thread_nothing_is_touched() -> None:
    done: list[bool] = []

    def work() -> None:
        with remembered_interrupt() as raise_again:
            raise_again()
            done.append(signal.getsignal(signal.SIGINT) is signal.default_int_handler)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]


@pytest.mark.backends
def test_training_ends_with_the_next_step_and_keeps_the_epoch_before(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, SIDE, SIDE, 3), dtype=np.uint8)
    arrays = Arrays(images, images[..., :1] // 128, np.arange(8, dtype=np.int32) % 3)
    experiment = Experiment("two-stage", "phantom", image_size=SIDE, batch_size=2, epochs=3)
    stage = Stage("segmenter", build_unet(SIDE, width=2), pretrained=False)
    checkpoints, display = Checkpoints(tmp_path, stage.name), Presses()
    with pytest.raises(KeyboardInterrupt):
        train_stage(stage, experiment, arrays, arrays, checkpoints, display, lambda rows: None)
    assert display.steps == [(0, 1), (0, 2), (0, 3), (0, 4)]
    progress = checkpoints.latest()
    assert progress is not None
    assert progress.epoch == 0
