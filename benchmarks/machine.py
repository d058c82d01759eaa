"""The machine: when, how and on what a benchmark was run, and what else it was doing; the latter Linux alone tells."""

import os
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from busi_keras.inference.processor import processor_name


def circumstances() -> dict[str, Any]:
    """What belongs to each result: date, command, processor and its cores."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", *sys.argv]),
        "processor": processor_name(),
        "cores": os.cpu_count(),
    }


def processor_seconds() -> float:
    """What all programs together have used of the processor since the machine started; 0 where Linux does not tell."""
    try:
        ticks = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    except OSError:
        return 0.0
    user, nice, system, _idle, _wait, interrupts, soft_interrupts, stolen = ticks[:8]
    return (user + nice + system + interrupts + soft_interrupts + stolen) / os.sysconf("SC_CLK_TCK")


def peak_megabytes() -> float | None:
    """The largest resident memory of this process; None where Linux does not tell.

    `getrusage` is no help: its maximum is that of the process which started this one, where that was larger.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM:")), None)
