"""`ABLATIONS.md`: what each change to the headline study did, helped or not, from `results/ablations/`."""

import json
from pathlib import Path

from busi_keras.evaluation.comparison import Comparison, Difference
from busi_keras.evaluation.intervals import Interval

PAGE = "ABLATIONS.md"
FOLDER = "ablations"
SEED_NOISE = "seed_noise.json"
HEAD = """# Ablations

One change at a time, on the same held-out images, by paired bootstrap over groups of near-duplicates: a change is kept
only where the interval of the difference leaves 0 out on the right side. Each file in `ablations/` is what
`python cli.py compare CHANGED BASE --json` printed, with a `note` where the two differ in more than their settings;
this page is written from them by `python results/update.py`.
"""


def ablations_page(results: Path) -> str:
    """The page, as Markdown, a section for each comparison."""
    files = sorted((results / FOLDER).glob("*.json"))
    return "\n".join([HEAD, _seed_noise(results / SEED_NOISE), *(_section(file) for file in files)])


def _seed_noise(file: Path) -> str:
    """What another seed of training does to the scores: intervals over images do not hold that."""
    if not file.exists():
        return ""
    found = json.loads(file.read_text())
    titles = [f"seed {number + 1}" for number in range(found["seeds"])]
    rows = [
        f"| {name.replace('_', ' ')} | {' | '.join(f'{value:.3f}' for value in one['of_each'])} | "
        f"{one['deviation']:.3f} | {one['pairs_decided']} of {found['pairs']} |"
        for name, one in found["scores"].items()
    ]
    header = f"| score | {' | '.join(titles)} | standard deviation | pairs decided |"
    lead = (
        f"{found['what']}: {found['seeds']} networks a fold that differ in the seed of training alone, scored one "
        "by one (`benchmarks/seed_noise.py`). The intervals of this page are over images and do not hold that: a "
        "difference no larger than these says nothing. Last column: pairs of seeds that the bootstrap calls decided."
    )
    return "\n".join(["## what the seed alone does", "", lead, "", header, f"|{'---|' * (len(titles) + 3)}", *rows, ""])


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
