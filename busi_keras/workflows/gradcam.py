"""`gradcam`: a figure of panels for each image."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from busi_keras.card import RESEARCH_USE
from busi_keras.config import CLASSES
from busi_keras.data.busi import mask_files, read_masks
from busi_keras.errors import UsageError
from busi_keras.explain.gradcam import gradcam
from busi_keras.files import replacing
from busi_keras.imaging import Letterbox, read_image
from busi_keras.inference.engines.keras import KerasEngine
from busi_keras.inference.paths import image_files, output_names
from busi_keras.inference.predictor import Prediction, Predictor
from busi_keras.report.panels import PanelData, draw_panels
from busi_keras.workflows.models import load_predictor
from busi_keras.workflows.predict import Failed

FORMATS = ("png", "svg", "pdf")


@dataclass(frozen=True)
class Explained:
    """One image's figure and what stands in it."""

    path: Path
    figure: Path
    prediction: Prediction
    target: str

    def to_json(self) -> dict[str, Any]:
        """As `gradcam --json` prints it."""
        return {
            "path": str(self.path),
            "figure": str(self.figure),
            "label": self.prediction.label,
            "probabilities": dict(zip(CLASSES, self.prediction.probabilities, strict=True)),
            "lesions": [asdict(lesion) for lesion in self.prediction.lesions],
            "target": self.target,
            "faithfulness": {},
            "warnings": list(self.prediction.warnings),
        }


@dataclass(frozen=True)
class Explanations:
    """What came of a list of images."""

    done: tuple[Explained, ...]
    failed: tuple[Failed, ...]

    def to_json(self) -> dict[str, Any]:
        """What `gradcam --json` prints."""
        return {
            "figures": [one.to_json() for one in self.done],
            "failed": [one.to_json() for one in self.failed],
            "intended_use": RESEARCH_USE,
        }

    def summary(self) -> str:
        """A line a figure, and what went wrong."""
        lines = [f"{one.figure}: {one.prediction.label}, Grad-CAM for {one.target}" for one in self.done]
        return "\n".join([*lines, *(f"failed: {one.error}" for one in self.failed), RESEARCH_USE])


def explain_paths(
    model: Path | None,
    paths: Sequence[Path],
    output: Path,
    mask: Path | None = None,
    target: str = "predicted",
    figure_format: str = "png",
) -> Explanations:
    """Draws a figure for each image, into `output/NAME_gradcam.FORMAT`.

    Args:
        model: a run folder or a `.keras` file; None for the newest run.
        paths: image files and folders.
        output: the figures' folder.
        mask: the true mask of the one image; without it, `_mask` files beside an image are used where there are any.
        target: a class, or `predicted`.
        figure_format: `png`, `svg` or `pdf`.

    Raises:
        UsageError: a path or an option is not as it must be.
    """
    if target not in ("predicted", *CLASSES):
        raise UsageError(f"--target is {target}; it must be predicted, {', '.join(CLASSES)}")
    if figure_format not in FORMATS:
        raise UsageError(f"--format is {figure_format}; it must be one of {', '.join(FORMATS)}")
    files = image_files(paths)
    if mask is not None and len(files) != 1:
        raise UsageError(f"--mask {mask} belongs to one image, but {len(files)} are given; name one image")
    names = output_names(files)
    predictor = load_predictor(model)
    explained: list[Explained] = []
    failed: list[Failed] = []
    for path in files:
        try:
            image = read_image(path)
            true_mask = _true_mask(path, mask, image)
        except UsageError as error:
            failed.append(Failed(path, str(error)))
            continue
        prediction = predictor.predict([image])[0]
        chosen = prediction.label if target == "predicted" else target
        figure = output / f"{names[path]}_gradcam.{figure_format}"
        data = PanelData(image, prediction, heat_map(predictor, image, chosen), chosen, true_mask)
        with replacing(figure) as part:
            draw_panels(data, part)
        explained.append(Explained(path, figure, prediction, chosen))
    return Explanations(tuple(explained), tuple(failed))


def heat_map(predictor: Predictor, image: np.ndarray, target: str) -> np.ndarray | None:
    """Grad-CAM of one class at the image's own size, float32 in [0, 1]; None where it is flat.

    Args:
        image: uint8 `(height, width, 3)`.
        target: one of `CLASSES`.
    """
    if not isinstance(predictor.engine, KerasEngine):
        raise UsageError("Grad-CAM needs the network itself: give a run or a .keras file")
    box = Letterbox.of(image, predictor.card.image_size)
    index = np.array([CLASSES.index(target)])
    found = gradcam(predictor.engine.network, box.apply(image)[None], index)[0]
    return None if found.flat else np.clip(box.invert(found.values), 0, 1)


def _true_mask(path: Path, mask: Path | None, image: np.ndarray) -> np.ndarray | None:
    files = [mask] if mask is not None else mask_files(path)
    return read_masks(files, path, image) if files else None
