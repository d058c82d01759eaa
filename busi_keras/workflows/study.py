"""`study`: one protocol from its first fold to its table; stop it when you like, repeat the command, and it goes on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from busi_keras.card import RESEARCH_USE
from busi_keras.config import CLASSES, NORMAL
from busi_keras.data.source import find_source
from busi_keras.errors import UsageError
from busi_keras.evaluation.intervals import Interval, metric_intervals
from busi_keras.evaluation.scores import ImageScore, summarize
from busi_keras.files import replacing, write_text
from busi_keras.training.run import Run, read_predictions, write_predictions
from busi_keras.workflows.data_set import find_groups
from busi_keras.workflows.train import run_training

STUDIES = Path("studies")
PROTOCOLS = ("kfold", "leaky", "seed")
FOLDS = 5
SMALL_LESION = 0.05
"""Share of the image: the median of BUSI's lesions is 0.06."""


@dataclass(frozen=True)
class Study:
    """What a protocol gave, over all its folds.

    Attributes:
        folder: holds `fold-N/`, `groups.json`, `study.json`, `predictions.csv` and `table.md`.
        protocol: one of `PROTOCOLS`.
        scores: of each image that was held out, in the order of folds.
        intervals: of the headline scores, over groups of near-duplicates.
        subsets: the same scores, without intervals, of parts of the images.
        last_epoch: of each fold, validation Dice and accuracy of the last epoch, beside those of the chosen one.
    """

    folder: Path
    protocol: str
    scores: tuple[ImageScore, ...]
    intervals: dict[str, Interval]
    subsets: dict[str, dict[str, Any]]
    last_epoch: tuple[dict[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """What `study --json` prints and `study.json` holds."""
        return {
            "protocol": self.protocol,
            "n": {name: sum(one.label == i for one in self.scores) for i, name in enumerate(CLASSES)},
            "intervals": {name: asdict(interval) for name, interval in self.intervals.items()},
            "metrics": asdict(summarize(self.scores)),
            "subsets": self.subsets,
            "epochs": list(self.last_epoch),
            "intended_use": RESEARCH_USE,
        }

    def table(self) -> str:
        """The headline scores with their intervals, as Markdown."""
        rows = [f"| {name.replace('_', ' ')} | {_shown(one)} |" for name, one in self.intervals.items()]
        return "\n".join(["| score | estimate (95 % interval) |", "|---|---|", *rows])


def run_study(given: Mapping[str, Any], data: str = "auto", folder: Path | None = None, resamples: int = 1000) -> Study:
    """Trains and scores every fold of a protocol, and sums up.

    Args:
        given: as in `run_training`; with `protocol`, one of `PROTOCOLS`.
        data: as in `run_training`.
        folder: where to; by default `studies/PROTOCOL-APPROACH/`. What is there already is gone on with.
        resamples: of the bootstrap.

    Raises:
        UsageError: options, data or folder are not as they must be.
    """
    protocol = given.get("protocol", "kfold")
    if protocol not in PROTOCOLS:
        raise UsageError(f"--protocol is {protocol!r}; a study has one of {', '.join(PROTOCOLS)}")
    folder = folder or STUDIES / f"{protocol}-{given.get('approach', 'multitask')}"
    asked = given.get("folds")
    folds = 1 if protocol == "seed" else FOLDS if asked is None else asked
    if protocol != "seed" and folds < 2:
        raise UsageError(f"--folds is {folds}; it must be at least 2")
    runs = []
    for fold in range(folds):
        chosen = {} if protocol == "seed" else {"folds": folds, "fold": fold}
        fold_options = {**given, "protocol": protocol, **chosen}
        runs.append(run_training(fold_options, data, folder / f"fold-{fold}", resume=True, export=False).run)
    return _summed_up(folder, protocol, runs, _groups(folder, data), resamples)


def _summed_up(
    folder: Path, protocol: str, runs: Sequence[Run], groups: Sequence[Sequence[str]], resamples: int
) -> Study:
    scores = [score for run in runs for score in read_predictions(run.predictions_file)]
    group_of = {name: number for number, group in enumerate(groups) for name in group}
    numbers = [group_of.get(score.name, len(groups) + i) for i, score in enumerate(scores)]
    study = Study(
        folder,
        protocol,
        tuple(scores),
        metric_intervals(scores, numbers, resamples),
        _subsets(scores, groups),
        tuple(_epochs(run) for run in runs),
    )
    with replacing(folder / "predictions.csv") as part:
        write_predictions(part, scores)
    write_text(folder / "study.json", json.dumps(study.to_json(), indent=2) + "\n")
    write_text(folder / "table.md", study.table() + "\n")
    return study


def _groups(folder: Path, data: str) -> list[list[str]]:
    """Near-duplicate groups of the study's images, searched for once."""
    stored = folder / "groups.json"
    if not stored.exists():
        images = Run(folder / "fold-0").data_folder or find_source(data).folder
        write_text(stored, json.dumps(find_groups(images), indent=1) + "\n")
    return json.loads(stored.read_text())


def _subsets(scores: Sequence[ImageScore], groups: Sequence[Sequence[str]]) -> dict[str, dict[str, Any]]:
    label_of = {score.name: score.label for score in scores}
    conflicting = {name for group in groups if len({label_of[n] for n in group if n in label_of}) > 1 for name in group}
    lesions = [score for score in scores if score.label != NORMAL]
    parts = {
        "without label conflicts": [score for score in scores if score.name not in conflicting],
        "small lesions": [score for score in lesions if score.true_area < SMALL_LESION],
        "large lesions": [score for score in lesions if score.true_area >= SMALL_LESION],
        **{name: [score for score in scores if score.label == i] for i, name in enumerate(CLASSES)},
    }
    return {name: asdict(summarize(chosen)) for name, chosen in parts.items() if chosen}


def _epochs(run: Run) -> dict[str, Any]:
    """The chosen epoch and the last, of the last stage, as validation had them at the network's size."""
    history = run.history()
    rows = [row for row in history if row["stage"] == history[-1]["stage"]]
    best = max(rows, key=lambda row: (row["val_score"], -row["epoch"]))
    kept = ("epoch", "val_dice", "val_iou", "val_accuracy")
    return {
        kind: {name: row[name] for name in kept if name in row} for kind, row in (("chosen", best), ("last", rows[-1]))
    }


def _shown(one: Interval) -> str:
    if one.estimate is None:
        return "not defined"
    return f"{one.estimate:.3f}" + ("" if one.low is None else f" ({one.low:.3f} to {one.high:.3f})")
