"""What a person sees while a network trains, on a terminal and in a log."""

from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from busi_keras.training.display import ConsoleDisplay, duration

ROW = {
    "stage": "multitask", "epoch": 1, "seconds": 75.0,
    "loss": 1.5, "mask_loss": 1.0, "label_loss": 0.5, "dice": 0.61234, "accuracy": 0.8,
    "val_loss": 1.7, "val_mask_loss": 1.1, "val_label_loss": 0.6, "val_dice": 0.5, "val_accuracy": 0.75,
}  # fmt: skip


def shown(is_terminal: bool, log: Any = None) -> str:
    """What stands on the screen after an epoch of ten steps, the second of five."""
    console = Console(file=StringIO(), force_terminal=is_terminal, width=200, soft_wrap=True, highlight=False)
    display = ConsoleDisplay(console, log)
    display.start_stage("multitask", epochs=5, seconds=400)
    display.start_epoch("multitask", epoch=1, epochs=5, steps=10)
    display.step(7, {"loss": 2.5, "mask_loss": 2.0, "label_loss": 0.5, "dice": 0.25})
    display.end_epoch(ROW, best=True)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_log_has_a_plain_line_an_epoch() -> None:
    stage, epoch = shown(is_terminal=False).splitlines()
    assert stage == "multitask: at most 5 epochs, about 7 min expected"
    assert epoch == (
        "multitask epoch 2/5, 75 s, 4 min left at most: "
        "loss 1.500, mask loss 1.000, label loss 0.500, dice 0.612, accuracy 0.800 | "
        "validation loss 1.700, mask loss 1.100, label loss 0.600, dice 0.500, accuracy 0.750 (best)"
    )


def test_a_terminal_shows_the_step_the_time_left_and_the_scores_while_they_change() -> None:
    screen = shown(is_terminal=True)
    assert "multitask epoch 2/5" in screen
    assert "step 7/10, epoch done in" in screen
    assert "loss 2.500, mask loss 2.000, label loss 0.500, dice 0.250" in screen
    assert screen.rstrip().endswith("(best)")  # the live line is gone, the epoch's line stays


def test_an_epoch_that_was_cut_short_leaves_a_terminal_that_can_be_written_on() -> None:
    console = Console(file=StringIO(), force_terminal=True)
    display = ConsoleDisplay(console)
    display.start_epoch("multitask", epoch=0, epochs=5, steps=10)
    display.stop()
    display.stop()
    assert console.file.getvalue().count("\x1b[?25l") == console.file.getvalue().count("\x1b[?25h") == 1  # type: ignore[attr-defined]


def test_each_epoch_reaches_the_log_that_was_asked_for() -> None:
    rows: list[dict[str, Any]] = []
    shown(is_terminal=False, log=SimpleNamespace(write=rows.append))
    assert rows == [ROW]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5_900, "98 min"), (6_000, "1 h 40 min"), (7_500, "2 h 05 min")],
)
def test_times_are_told_as_a_person_would(seconds: float, text: str) -> None:
    assert duration(seconds) == text
