"""What a user waits for before and beside training: seconds, processor seconds and peak memory. Linux and macOS.

Run from the root: `PYTHONPATH=. python benchmarks/everyday.py BUSI --output results/everyday.json`; BUSI is its folder.
Each command runs in a process of its own. Expect `--help` within three times what importing typer takes, 30 phantoms a
second and more, near-duplicates and audit of BUSI within a minute each, and an audit of so many times as many phantoms
in about so many times as long. `--first-command` adds README's first command, in a fresh clone without BUSI.
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from machine import circumstances

from busi_keras.config import CLASSES
from busi_keras.data.phantom import make_phantom
from busi_keras.data.phantom_set import write_phantoms
from busi_keras.files import write_text

ROOT = Path(__file__).resolve().parents[1]
STARTS = 9
PHANTOMS, REPETITIONS = 60, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("busi", type=Path, help="BUSI's folder")
    parser.add_argument("--audit", type=int, nargs="*", default=[1000, 10_000], help="so many phantoms each")
    parser.add_argument("--first-command", action="store_true", help="run README's first command, too: some minutes")
    parser.add_argument("--output", type=Path, help="JSON file to write; what it holds and is not measured now stays")
    options = parser.parse_args()

    result = json.loads(options.output.read_text()) if options.output and options.output.exists() else {}
    help_seconds, typer_seconds = start_seconds("cli.py", "--help"), start_seconds("-c", "import typer")
    result |= {
        "help": {"seconds": help_seconds, "import_typer_seconds": typer_seconds, "ratio": help_seconds / typer_seconds},
        "phantoms_per_second_and_core": phantoms_per_second(),
        "near_duplicates_of_busi": command("data", "groups", options.busi, "--json"),
    }
    audits = result.setdefault("audit_of_phantoms", {})
    with tempfile.TemporaryDirectory() as folder:
        found = (0, 1)  # 1: something in BUSI would distort training
        busi = Path(folder) / "busi"
        result["audit_of_busi"] = command("data", "audit", options.busi, "--output", busi, allowed=found)
        assert (busi / "audit.html").exists(), "the audit of BUSI failed"
        for count in options.audit:
            images = Path(folder) / f"phantoms-{count}"
            write_phantoms(images, count)
            audits[str(count)] = command("data", "audit", images, "--output", Path(folder) / f"audit-{count}")
    if options.first_command:
        result["first_command"] = first_command()
    result |= {
        **circumstances(),
    }
    print(json.dumps(result, indent=2))
    if options.output:
        write_text(options.output, json.dumps(result, indent=2) + "\n")


def start_seconds(*arguments: str) -> float:
    """Of a Python process, the median."""
    return statistics.median(measured([sys.executable, *arguments])["seconds"] for _ in range(STARTS))


def phantoms_per_second() -> float:
    """At 256 x 256 px, the median, by processor time: other work on the machine does not count."""
    speeds = []
    for _ in range(REPETITIONS):
        start = time.thread_time()
        for index in range(PHANTOMS):
            make_phantom(0, index, index % len(CLASSES))
        speeds.append(PHANTOMS / (time.thread_time() - start))
    return statistics.median(speeds)


def command(*arguments: str | Path, allowed: Sequence[int] = (0,)) -> dict[str, float]:
    """A command of cli.py."""
    return measured([sys.executable, "cli.py", *map(str, arguments)], allowed)


def first_command() -> dict[str, float]:
    """README's first command, from a fresh clone to the end."""
    text = re.search(r"```bash\n(.+?)\n```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert text, "README has no command"
    without_busi = {name: value for name, value in os.environ.items() if name not in ("BUSI_DATA_DIR", "PYTHONPATH")}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "-q", ROOT, folder], check=True)
        return measured(["bash", "-c", text[1]], cwd=Path(folder), env=without_busi)


def measured(
    arguments: Sequence[str], allowed: Sequence[int] = (0,), cwd: Path = ROOT, env: dict[str, str] | None = None
) -> dict[str, Any]:
    """Wall and processor seconds of a process and its children, the peak memory of the largest of them, and when."""
    started = time.perf_counter()
    process = subprocess.Popen(arguments, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    code = os.waitstatus_to_exitcode(status)
    if code not in allowed:
        raise SystemExit(f"{' '.join(arguments)} ended with {code}")
    return {
        "seconds": round(seconds, 3),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 3),
        "peak_megabytes": round(_megabytes(used)),
        "date": circumstances()["date"],
    }


def _megabytes(used: resource.struct_rusage) -> float:
    return used.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


if __name__ == "__main__":
    main()
