"""Progress for the person who waits, on stderr, so that stdout stays free for results."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


def stderr_console() -> Console:
    """Where notices and progress go; plain lines in a notebook, where a bar would need widgets."""
    return Console(
        stderr=True, soft_wrap=True, highlight=False, force_jupyter=False, force_terminal=sys.stderr.isatty()
    )


@dataclass(frozen=True)
class Advance:
    """What is called after each item of a bar."""

    bar: Progress
    task: TaskID

    def __call__(self) -> None:
        self.bar.advance(self.task)

    def more(self, items: int) -> None:
        """So many items more than was thought."""
        self.bar.update(self.task, total=(self.bar.tasks[self.task].total or 0) + items)


@contextmanager
def progress_bar(what: str, total: int, console: Console | None = None) -> Iterator[Advance]:
    """A bar while the block runs; gives what to call after each item."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=console or stderr_console(), transient=True) as bar:
        yield Advance(bar, bar.add_task(what, total=total))
