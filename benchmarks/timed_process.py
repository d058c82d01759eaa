"""A process that works when told to, so that rivals take turns and see the same machine.

Work during which other programs used the processor does not count.
"""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from machine import processor_seconds

QUIET = 0.05
"""The share of the machine that other programs may use during work that counts."""


class TimedProcess:
    """Starts a process that calls `work_when_told`, and waits until it is ready.

    Args:
        command: what to start.
        environment: variables to add to this process's own.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = shlex.join(command)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
        )
        self.ready = self._answer()

    def work(self, order: str) -> dict[str, Any]:
        """Has one order done: its `seconds`, the share of the machine that `others` used, and what `work` told."""
        assert self._process.stdin
        busy, started = processor_seconds(), time.monotonic()
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        answer = self._answer()
        available = (time.monotonic() - started) * (os.cpu_count() or 1)
        others = (processor_seconds() - busy - answer.pop("processor_seconds")) / available
        return answer | {"others": round(max(0.0, others), 3)}

    def stop(self) -> None:
        """Ends the process."""
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._command} ended with exit status {self._process.wait()}; its error is above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def work_when_told(work: Callable[[str], Mapping[str, Any]], ready: Mapping[str, Any]) -> None:
    """What the process does: tells that it is ready, then works once for each line it reads, and tells how long.

    Args:
        work: takes the line; what it returns is told, too.
        ready: what is told first.
    """
    print(json.dumps(ready), flush=True)
    for line in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        told = work(line)
        times = {"seconds": time.perf_counter() - wall, "processor_seconds": time.process_time() - processor}
        print(json.dumps(times | dict(told)), flush=True)


def quiet_seconds(answers: Sequence[Mapping[str, Any]]) -> list[float]:
    """Of the answers that count."""
    return [answer["seconds"] for answer in answers if answer["others"] <= QUIET]
