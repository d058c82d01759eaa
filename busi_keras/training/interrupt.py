"""Ctrl-C that is not lost while a network is trained."""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


@contextlib.contextmanager
def remembered_interrupt() -> Iterator[Callable[[], None]]:
    """Inside, Ctrl-C raises KeyboardInterrupt as ever; the function given raises it once more where it was swallowed.

    Python drops what is raised in `__del__` and in callbacks of weak references and of the garbage collector, and
    prints a traceback. These take a good part of the time between two epochs on TensorFlow. Outside the main thread,
    and where Ctrl-C does something else already, everything stays as it is.
    """
    pressed = False
    handler_before, hook_before = signal.getsignal(signal.SIGINT), sys.unraisablehook

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.default_int_handler(number, frame)

    def report(dropped: Any) -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            hook_before(dropped)

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    if not main or handler_before is not signal.default_int_handler:
        yield check
        return
    signal.signal(signal.SIGINT, remember)
    sys.unraisablehook = report
    try:
        yield check
    finally:
        sys.unraisablehook = hook_before
        signal.signal(signal.SIGINT, handler_before)
