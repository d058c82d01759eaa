"""Phantoms a second on one core, at 256 x 256 px. Run from the root: `PYTHONPATH=. python benchmarks/phantom_speed.py`.

The ratio is to 30 a second: below that a first run without data would feel slow.
"""

import os
import platform
import statistics
import time

import numpy as np

from busi_keras.config import CLASSES
from busi_keras.data.phantom import make_phantom

IMAGES = 60
REPETITIONS = 5
WANTED_PER_SECOND = 30


def images_per_second() -> float:
    """Of processor time of this thread, so that other work on the machine does not count."""
    start = time.thread_time()
    for index in range(IMAGES):
        make_phantom(0, index, index % len(CLASSES))
    return IMAGES / (time.thread_time() - start)


def main() -> None:
    make_phantom(0, 0, 0)
    speeds = [images_per_second() for _ in range(REPETITIONS)]
    median = statistics.median(speeds)
    print(f"machine   {platform.machine()}, {os.cpu_count()} cores, {platform.system()}, numpy {np.__version__}")
    print(f"phantoms  {median:.0f} images/s on one core at 256 x 256 px ({min(speeds):.0f} to {max(speeds):.0f})")
    print(f"ratio     {median / WANTED_PER_SECOND:.1f} x the {WANTED_PER_SECOND} images/s wanted")


if __name__ == "__main__":
    main()
