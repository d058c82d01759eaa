"""Progress for the person who waits, on stderr, so that stdout stays free for results."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def stderr_console() -> Console:
    """Where notices and progress go; plain lines in a notebook, where a bar would need widgets."""
    return Console(stderr=True, soft_wrap=True, highlight=False, force_jupyter=False)


@contextmanager
def progress_bar(what: str, total: int, console: Console | None = None) -> Iterator[Callable[[], None]]:
    """A bar while the block runs; gives the function to call after each item."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=console or stderr_console(), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)
