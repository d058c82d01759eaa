"""`predictions.csv`: scores of images, a line each."""

import csv
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from busi_keras.config import CLASSES
from busi_keras.errors import UsageError
from busi_keras.evaluation.detection import Detection
from busi_keras.evaluation.faithfulness import Localization
from busi_keras.evaluation.scores import ImageScore, Overlap
from busi_keras.evaluation.surface import SurfaceDistance
from busi_keras.files import UTF8

PROBABILITY_COLUMNS = tuple(f"p_{name}" for name in CLASSES)
HEAT_MAP_COLUMNS = ("heat_energy_inside", "heat_pointing_game", "heat_iou", "heat_chance")
COLUMNS = {
    **dict.fromkeys(("name", "class", "predicted"), ""),
    **dict.fromkeys((*PROBABILITY_COLUMNS, "dice", "iou"), ".6f"),
    **dict.fromkeys(("true_area", "predicted_area"), ".9g"),
    **dict.fromkeys(("hd95_px", "surface_distance_px", "diagonal_px"), ".2f"),
    **dict.fromkeys(("pixel_sensitivity", "pixel_precision"), ".6f"),
    **dict.fromkeys(("lesions", "lesions_found", "false_finds"), "d"),
    "novelty": ".4f",
    "novel": "d",
    **dict.fromkeys(HEAT_MAP_COLUMNS, ".6f"),
}
"""How the values of each column are written, in their order."""


def write_predictions(path: Path, scores: Sequence[ImageScore]) -> None:
    """A CSV with a line an image; areas are shares of the image, a single pixel's above 0; what is not defined stays
    empty."""
    with path.open("w", newline="", **UTF8) as stream:
        writer = csv.DictWriter(stream, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(map(_row, scores))


def read_predictions(path: Path) -> list[ImageScore]:
    """The scores that `write_predictions` wrote, as precisely as it wrote them.

    Raises:
        UsageError: there is no such file, or it was written by another version.
    """
    scores: list[ImageScore] = []
    line = 1
    try:
        with path.open(newline="", **UTF8) as stream:
            rows = csv.DictReader(stream)
            for row in rows:
                line = rows.line_num
                scores.append(_score(row))
        return scores
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist; repeat the training that writes it") from None
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise UsageError(
            f"line {line} of {path} is damaged, or not of a table of predictions of this version ({error}); score the "
            "run again"
        ) from None


def _row(score: ImageScore) -> dict[str, str]:
    values: dict[str, Any] = {"name": score.name, "class": CLASSES[score.label]}
    for name in ("true_area", "predicted_area", "pixel_sensitivity", "pixel_precision", "novelty", "novel"):
        values[name] = getattr(score, name)
    if score.predicted is not None:
        values["predicted"] = CLASSES[score.predicted]
    if score.probabilities:
        values |= dict(zip(PROBABILITY_COLUMNS, score.probabilities, strict=True))
    if masks := score.overlap:
        values |= {"dice": masks.dice, "iou": masks.iou}
    if surface := score.surface:
        values |= {"hd95_px": surface.hd95_px, "surface_distance_px": surface.average_px}
        values["diagonal_px"] = surface.diagonal_px
    if found := score.detection:
        values |= {"lesions": found.lesions, "lesions_found": found.found, "false_finds": found.false_finds}
    if score.heat_map:
        values |= dict(zip(HEAT_MAP_COLUMNS, astuple(score.heat_map), strict=True))
    return {name: format(value, COLUMNS[name]) for name, value in values.items() if value is not None}


def _score(row: dict[str, str]) -> ImageScore:
    def numbers(*names: str) -> list[float]:
        return [float(row[name]) for name in names if row[name]]

    def localization() -> Localization | None:
        if HEAT_MAP_COLUMNS[0] not in row:  # a table from before heat maps were in it
            return None
        values = numbers(*HEAT_MAP_COLUMNS)
        return Localization(values[0], bool(values[1]), values[2], values[3]) if values else None

    surface = numbers("hd95_px", "surface_distance_px", "diagonal_px")
    overlaps = numbers(*(field.name for field in fields(Overlap)))
    detection = [int(value) for value in numbers("lesions", "lesions_found", "false_finds")]
    return ImageScore(
        name=row["name"],
        label=CLASSES.index(row["class"]),
        predicted=CLASSES.index(row["predicted"]) if row["predicted"] else None,
        probabilities=tuple(numbers(*PROBABILITY_COLUMNS)),
        overlap=Overlap(*overlaps) if overlaps else None,
        true_area=float(row["true_area"]),
        predicted_area=float(row["predicted_area"]),
        surface=SurfaceDistance(*surface) if surface else None,
        detection=Detection(*detection) if detection else None,
        pixel_sensitivity=next(iter(numbers("pixel_sensitivity")), None),
        pixel_precision=next(iter(numbers("pixel_precision")), None),
        novelty=next(iter(numbers("novelty")), None),
        novel=next((bool(value) for value in numbers("novel")), None),
        heat_map=localization(),
    )
