"""The page in a process of its own, for benchmarks."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx


class PageServer:
    """A process that serves a model."""

    def __init__(self, model: Path, log: Path) -> None:
        command = [sys.executable, "cli.py", "serve", "--model", str(model), "--port", "0"]
        started = time.monotonic()
        with log.open("w") as stream:
            self.process = subprocess.Popen(command, stdout=stream, stderr=stream)
        while not (found := re.search(r"http://[\d.]+:\d+", log.read_text())):
            self._check(log)
        self.address = found[0]
        while not _answers(f"{self.address}/"):
            self._check(log)
        self.seconds_to_page = time.monotonic() - started
        while not _answers(f"{self.address}/ready"):
            self._check(log)
        self.seconds_to_ready = time.monotonic() - started

    def _check(self, log: Path) -> None:
        if self.process.poll() is not None:
            raise SystemExit(f"the server ended:\n{log.read_text()}")
        time.sleep(0.02)

    def megabytes(self, field_name: str = "VmRSS") -> float:
        """Resident memory now, or `VmHWM`, the most it was."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith(f"{field_name}:"))

    def processor_seconds(self) -> float:
        """What it has used of the processor."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """Ends it as Ctrl+C does."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)


def _answers(address: str) -> bool:
    try:
        return httpx.get(address).status_code == 200
    except httpx.HTTPError:
        return False
