"""`predictions.csv`: scores of images, a line each."""

import csv
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path

from busi_keras.config import CLASSES
from busi_keras.errors import UsageError
from busi_keras.evaluation.detection import Detection
from busi_keras.evaluation.faithfulness import Localization
from busi_keras.evaluation.scores import ImageScore, Overlap
from busi_keras.evaluation.surface import SurfaceDistance
from busi_keras.files import UTF8

HEAT_MAP_COLUMNS = ("heat_energy_inside", "heat_pointing_game", "heat_iou", "heat_chance")
COLUMNS = (
    "name",
    "class",
    "predicted",
    *(f"p_{name}" for name in CLASSES),
    "dice",
    "iou",
    "true_area",
    "predicted_area",
    "hd95_px",
    "surface_distance_px",
    "diagonal_px",
    "pixel_sensitivity",
    "pixel_precision",
    "lesions",
    "lesions_found",
    "false_finds",
    "novelty",
    "novel",
    *HEAT_MAP_COLUMNS,
)


def write_predictions(path: Path, scores: Sequence[ImageScore]) -> None:
    """A CSV with a line an image; areas are shares of the image, a single pixel's above 0; what is not defined stays
    empty."""
    with path.open("w", newline="", **UTF8) as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for score in scores:
            writer.writerow(
                (
                    score.name,
                    CLASSES[score.label],
                    "" if score.predicted is None else CLASSES[score.predicted],
                    *([f"{p:.6f}" for p in score.probabilities] or [""] * len(CLASSES)),
                    *(
                        [f"{getattr(score.overlap, f.name):.6f}" for f in fields(Overlap)]
                        if score.overlap
                        else ["", ""]
                    ),
                    *(f"{area:.9g}" for area in (score.true_area, score.predicted_area)),
                    *([f"{value:.2f}" for value in astuple(score.surface)] if score.surface else [""] * 3),
                    *(
                        "" if value is None else f"{value:.6f}"
                        for value in (score.pixel_sensitivity, score.pixel_precision)
                    ),
                    *((d.lesions, d.found, d.false_finds) if (d := score.detection) else ("", "", "")),
                    "" if score.novelty is None else f"{score.novelty:.4f}",
                    "" if score.novel is None else int(score.novel),
                    *([f"{value:.6f}" for value in astuple(score.heat_map)] if score.heat_map else [""] * 4),
                )
            )


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
        probabilities=tuple(numbers(*(f"p_{name}" for name in CLASSES))),
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
