"""README's table of heat maps: how they lie on the lesion, and what the network does where they are covered."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from busi_keras.config import CLASSES
from busi_keras.evaluation.intervals import Interval
from busi_keras.evaluation.study_folder import StudyFolder
from busi_keras.report.markdown import table

TITLES = ("energy inside", "uniform map", "pointing game", "IoU", "deletion", "insertion", "randomization")
PERTURBED = ("deletion", "insertion", "randomization")
NULL = "heat_map_null.json"


def heat_map_table(studies: Sequence[StudyFolder], results: Path) -> str:
    """A row for all lesions of each study, and one for each class that has any; last, a map that ignores the image.

    Args:
        studies: complete ones; one of another protocol than `kfold`, whose images are not held out or not held out
            cleanly, has no row, nor has one that was summed up before heat maps were scored an image.
    """
    rows = [row for study in studies if study.experiment.protocol == "kfold" for row in _rows(study)]
    if not rows:
        return "Not measured yet."
    return table(["study", "images", "n", *TITLES], [*rows, *_null_rows(results / NULL)])


def _null_rows(file: Path) -> list[list[str]]:
    """What `benchmarks/heat_map_null.py` measured."""
    if not file.exists():
        return []
    scores = json.loads(file.read_text())["scores"]
    measured = ("energy_inside", "chance", "pointing_game", "iou")
    return [
        [
            "the same map for each image: mean mask of other folds",
            images,
            str(one["n"]),
            *(f"{one[name]:.3f}" for name in measured),
            *("–" for _ in PERTURBED),
        ]
        for images, one in scores.items()
    ]


def _rows(study: StudyFolder) -> list[list[str]]:
    document = json.loads(study.study_file.read_text())
    whole = document["metrics"]
    if whole.get("heat_map_energy") is None:
        return []
    folds = [json.loads(fold.metrics_file.read_text())["heat_maps"] for fold in study.folds_finished()]
    intervals = document["intervals"]
    shown = [str(Interval(**intervals[f"heat_map_{name}"])) for name in ("energy", "pointing", "iou")]
    lesions = [name for name in CLASSES if document["subsets"].get(name, {}).get("heat_map_energy") is not None]
    rows = [_row(study, "all lesions", shown, whole["heat_map_chance"], _pooled(folds, lesions))]
    for name in lesions:
        part = document["subsets"][name]
        shown = [f"{part[f'heat_map_{score}']:.3f}" for score in ("energy", "pointing", "iou")]
        rows.append(_row(study, name, shown, part["heat_map_chance"], _pooled(folds, [name])))
    return rows


def _row(study: StudyFolder, images: str, shown: Sequence[str], chance: float, pooled: dict[str, Any]) -> list[str]:
    energy, pointing, iou = shown
    perturbed = [f"{pooled[name]:.3f}" if pooled[f"n_{name}"] else "–" for name in PERTURBED]
    tested = f"{pooled['n_energy_inside']}, {pooled['n_deletion']} of them perturbed"
    return [study.folder.name, images, tested, energy, f"{chance:.3f}", pointing, iou, *perturbed]


def _pooled(folds: Sequence[dict[str, Any]], classes: Sequence[str]) -> dict[str, Any]:
    """Means over the images of all folds, from the means and counts that each fold has a class.

    As many images of each class are perturbed, so of several classes each counts by all of its images.
    """
    of_class = [_of_class([fold[name] for fold in folds]) for name in classes]
    found: dict[str, Any] = {}
    for score in (name for name in of_class[0] if not name.startswith("n_")):
        measured = [one for one in of_class if one[f"n_{score}"]]
        images = sum(one["n_energy_inside"] for one in measured)
        total = sum(one[score] * one["n_energy_inside"] for one in measured)
        count = sum(one[f"n_{score}"] for one in measured)
        found |= {score: total / images if images else None, f"n_{score}": count}
    return found


def _of_class(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for score in (name for name in parts[0] if not name.startswith("n_")):
        count = sum(part[f"n_{score}"] for part in parts)
        total = sum(part[score] * part[f"n_{score}"] for part in parts if part[f"n_{score}"])
        found |= {score: total / count if count else None, f"n_{score}": count}
    return found
