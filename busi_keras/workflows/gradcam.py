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
from busi_keras.explain.gradcam import GradCam
from busi_keras.files import replacing
from busi_keras.imaging import Letterbox, read_image
from busi_keras.inference.engines.keras import KerasEngine
from busi_keras.inference.paths import image_files, output_names
from busi_keras.inference.predictor import Prediction, Predictor
from busi_keras.report.panels import PanelData, draw_panels
from busi_keras.workflows.models import load_predictor
from busi_keras.workflows.predict import Failed

FORMATS = ("png", "svg", "pdf")
PREDICTED, LESION = "predicted", "lesion"
TARGETS = (PREDICTED, *CLASSES, LESION)


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
    target: str = PREDICTED,
    method: str = "gradcam",
    figure_format: str = "png",
) -> Explanations:
    """Draws a figure for each image, into `output/NAME_gradcam.FORMAT`.

    Args:
        model: a run folder or a stored model; None for the newest run.
        paths: image files and folders.
        output: the figures' folder.
        mask: the true mask of the one image; without it, `_mask` files beside an image are used where there are any.
        target: `predicted`, a class, or `lesion`.
        method: key of `explain.methods.METHODS`.
        figure_format: `png`, `svg` or `pdf`.

    Raises:
        UsageError: a path or an option is not as it must be.
    """
    if target not in TARGETS:
        raise UsageError(f"--target is {target}; it must be one of {', '.join(TARGETS)}")
    if figure_format not in FORMATS:
        raise UsageError(f"--format is {figure_format}; it must be one of {', '.join(FORMATS)}")
    files = image_files(paths)
    if mask is not None and len(files) != 1:
        raise UsageError(f"--mask {mask} belongs to one image, but {len(files)} are given; name one image")
    names = output_names(files)
    predictor = load_predictor(model)
    explainer = Explainer(predictor, target, method)
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
        shown = prediction.label if target == PREDICTED else target
        figure = output / f"{names[path]}_gradcam.{figure_format}"
        data = PanelData(image, prediction, explainer.heat_map(image, prediction), shown, true_mask)
        with replacing(figure) as part:
            draw_panels(data, part)
        explained.append(Explained(path, figure, prediction, shown))
    return Explanations(tuple(explained), tuple(failed))


class Explainer:
    """Heat maps of one target, by one method, at each image's own size.

    Grad-CAM of the predicted class comes with each prediction, whatever the format of the model; everything else needs
    the network itself.

    Args:
        target: one of `TARGETS`.
        method: key of `explain.methods.METHODS`.

    Raises:
        UsageError: there is no such method, or the model is no run and no `.keras` file.
    """

    def __init__(self, predictor: Predictor, target: str = PREDICTED, method: str = "gradcam") -> None:
        self._predictor, self._target = predictor, target
        self._cam: GradCam | None = None
        if (target, method) != (PREDICTED, "gradcam"):
            if not isinstance(predictor.engine, KerasEngine):
                raise UsageError(
                    f"--target {target} by --method {method} needs the network itself; give a run or a .keras file"
                )
            self._cam = GradCam(predictor.engine.network, method)

    def heat_map(self, image: np.ndarray, prediction: Prediction) -> np.ndarray | None:
        """The heat map of an image, uint8 `(height, width, 3)`: float32 `(height, width)` in [0, 1]; None where flat."""
        if self._cam is None:
            return prediction.heat_map
        box = Letterbox.of(image, self._predictor.card.image_size)
        pixels = box.apply(image)[None]
        if self._target == LESION:
            found = self._cam.of_lesion(pixels)[0]
        else:
            name = prediction.label if self._target == PREDICTED else self._target
            found = self._cam.of_class(pixels, np.array([CLASSES.index(name)]))[0]
        return None if found.flat else np.clip(box.invert(found.values), 0, 1)


def _true_mask(path: Path, mask: Path | None, image: np.ndarray) -> np.ndarray | None:
    files = [mask] if mask is not None else mask_files(path)
    return read_masks(files, path, image) if files else None
