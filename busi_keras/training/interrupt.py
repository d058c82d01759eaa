"""Ctrl-C that is not lost while a network is trained."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def remembered_interrupt() -> Iterator[Callable[[], None]]:
    """Inside, Ctrl-C raises KeyboardInterrupt as ever; the function given raises it once more where it was swallowed.

    Python drops what is raised in `__del__` and in callbacks of weak references and of the garbage collector. These
    take a good part of the time between two epochs on TensorFlow. Outside the main thread, and where Ctrl-C does
    something else already, everything stays as it is.
    """
    pressed = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def remember(number: int, frame: FrameType | None) -> None:
        pressed.set()
        signal.default_int_handler(number, frame)

    def check() -> None:
        if pressed.is_set():
            raise KeyboardInterrupt

    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield check
        return
    signal.signal(signal.SIGINT, remember)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
