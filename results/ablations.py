"""`ABLATIONS.md`: what each change to the headline study did, helped or not, from `results/ablations/`."""

import json
from pathlib import Path

from busi_keras.evaluation.comparison import Comparison, Difference
from busi_keras.evaluation.intervals import Interval

PAGE = "ABLATIONS.md"
FOLDER = "ablations"
HEAD = """# Ablations

One change at a time, on the same held-out images, by paired bootstrap over groups of near-duplicates: a change is kept
only where the interval of the difference leaves 0 out on the right side. Each file in `ablations/` is what
`python cli.py compare CHANGED BASE --json` printed, with a `note` where the two differ in more than their settings;
this page is written from them by `python results/update.py`.
"""


def ablations_page(results: Path) -> str:
    """The page, as Markdown, a section for each comparison."""
    files = sorted((results / FOLDER).glob("*.json"))
    return "\n".join([HEAD, *(_section(file) for file in files)])


def _section(file: Path) -> str:
    found = json.loads(file.read_text())
    del found["intended_use"]
    note = found.pop("note", None)
    differences = {
        score: Difference(**{**one, "interval": Interval(**one["interval"])})
        for score, one in found.pop("differences").items()
    }
    comparison = Comparison(**{**found, "settings": tuple(found["settings"])}, differences=differences)
    parts = [f"## {file.stem.replace('-', ' ')}", *([note] if note else []), comparison.table()]
    return "\n\n".join(parts) + "\n"
