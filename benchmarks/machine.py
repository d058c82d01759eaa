"""What the machine is doing, for benchmarks that must not be disturbed. Linux alone tells."""

import os
from pathlib import Path


def processor_seconds() -> float:
    """What all programs together have used of the processor since the machine started; 0 where Linux does not tell."""
    try:
        ticks = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    except OSError:
        return 0.0
    user, nice, system, _idle, _wait, interrupts, soft_interrupts, stolen = ticks[:8]
    return (user + nice + system + interrupts + soft_interrupts + stolen) / os.sysconf("SC_CLK_TCK")
