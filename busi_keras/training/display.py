"""What a person sees while a network trains: a live line on a terminal, a line an epoch in a log. All on stderr."""

from collections.abc import Sequence
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class EpochLog(Protocol):
    """Takes the rows of the history."""

    def begin(self, stage: str, rows: Sequence[dict[str, Any]]) -> None:
        """A stage begins, or goes on after the epochs of these rows."""

    def write(self, row: dict[str, Any]) -> None:
        """Takes the row of an epoch that has ended."""


SHOWN = ("loss", "mask_loss", "label_loss", "heat_map_loss", "dice", "iou", "accuracy")


class ConsoleDisplay:
    """Epoch, step, time left, losses, Dice, IoU and accuracy.

    Args:
        console: where to; by default stderr, so that stdout stays free for results.
        log: what else takes each epoch's row.
    """

    def __init__(self, console: Console | None = None, log: EpochLog | None = None) -> None:
        self._log = log
        self._console = console or Console(stderr=True, soft_wrap=True, highlight=False)
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self._epochs = 0

    def begin(self, stage: str, rows: Sequence[dict[str, Any]]) -> None:
        if self._log is not None:
            self._log.begin(stage, rows)

    def start_stage(self, stage: str, epochs: int, seconds: float) -> None:
        self._console.print(f"{stage}: at most {epochs} epochs, about {duration(seconds)} expected")

    def start_epoch(self, stage: str, epoch: int, epochs: int, steps: int) -> None:
        self._epochs = epochs
        if not self._console.is_terminal:
            return
        self._live = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("step {task.completed:.0f}/{task.total:.0f}, epoch done in"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[scores]}"),
            console=self._console,
            transient=True,
        )
        self._task = self._live.add_task(f"{stage} epoch {epoch + 1}/{epochs}", total=steps, scores="")
        self._live.start()

    def step(self, step: int, logs: dict[str, float]) -> None:
        if self._live is not None and self._task is not None:
            self._live.update(self._task, completed=step, scores=_scores(logs, ""))

    def stop(self) -> None:
        """Takes the live line off the terminal, also when an epoch was cut short."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def end_epoch(self, row: dict[str, Any], best: bool) -> None:
        self.stop()
        if self._log is not None:
            self._log.write(row)
        left = duration((self._epochs - row["epoch"] - 1) * row["seconds"])
        self._console.print(
            f"{row['stage']} epoch {row['epoch'] + 1}/{self._epochs}, {duration(row['seconds'])}, {left} left at most: "
            f"{_scores(row, '')} | validation {_scores(row, 'val_')}{' (best)' if best else ''}",
            markup=False,
        )


def duration(seconds: float) -> str:
    """A time a person reads: `40 s`, `12 min`, `2 h 05 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def _scores(values: dict[str, Any], prefix: str) -> str:
    names = [name for name in SHOWN if f"{prefix}{name}" in values]
    if "mask_loss" not in names or "label_loss" not in names:
        names = [name for name in names if not name.endswith("_loss")]
    return ", ".join(f"{name.replace('_', ' ')} {values[f'{prefix}{name}']:.3f}" for name in names)
