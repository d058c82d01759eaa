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
from busi_keras.evaluation.faithfulness import Faithfulness
from busi_keras.evaluation.lesions import Lesion
from busi_keras.files import replacing
from busi_keras.imaging import read_image
from busi_keras.inference.paths import image_files, output_names
from busi_keras.report.panels import COLOUR_MAP, COLOUR_MAPS, PanelData, draw_contact_sheet, draw_panels
from busi_keras.workflows.explainer import PREDICTED, TARGETS, Explainer
from busi_keras.workflows.models import load_predictor
from busi_keras.workflows.predicted import Failed

FORMATS = ("png", "svg", "pdf")
TITLES = {"gradcam": "Grad-CAM", "gradcam++": "Grad-CAM++", "hirescam": "HiResCAM"}
MEASURES = {
    "energy_inside": "inside the lesion",
    "chance": "a uniform map",
    "pointing_game": "largest value inside",
    "iou": "IoU",
    "deletion": "deletion",
    "insertion": "insertion",
    "randomization": "correlation with random heads",
}
SHEET_ROWS = 8


@dataclass(frozen=True)
class Explained:
    """One image's figure and what stands in it; `flat` where nothing speaks for the target, so that no map is drawn.

    Of the prediction the pixels are not kept, so that thousands of images fit into memory.
    """

    path: Path
    figure: Path
    label: str
    probabilities: tuple[float, ...]
    lesions: tuple[Lesion, ...]
    warnings: tuple[str, ...]
    target: str
    flat: bool
    faithfulness: Faithfulness

    def to_json(self) -> dict[str, Any]:
        """As `gradcam --json` prints it."""
        return {
            "path": str(self.path),
            "figure": str(self.figure),
            "label": self.label,
            "probabilities": dict(zip(CLASSES, self.probabilities, strict=True)),
            "lesions": [asdict(lesion) for lesion in self.lesions],
            "target": self.target,
            "flat": self.flat,
            "faithfulness": self.faithfulness.to_json(),
            "warnings": list(self.warnings),
        }

    def summary(self) -> str:
        """A line: the figure, what it explains, and whether to believe it; and a line for each warning."""
        if self.flat:
            said = [f"no heat map: no region of the image supports {self.target}"]
        else:
            numbers = self.faithfulness.numbers()
            said = [f"heat map for {self.target}"]
            said += [f"{name} {numbers[key]:.2f}" for key, name in MEASURES.items() if numbers[key] is not None]
        line = ", ".join([f"{self.figure}: {self.label}", *said])
        return "\n".join([line, *(f"  warning: {warning}" for warning in self.warnings)])


@dataclass(frozen=True)
class Explanations:
    """What came of a list of images."""

    done: tuple[Explained, ...]
    failed: tuple[Failed, ...]
    contact_sheets: tuple[Path, ...]

    def to_json(self) -> dict[str, Any]:
        """What `gradcam --json` prints."""
        return {
            "figures": [one.to_json() for one in self.done],
            "contact_sheets": [str(path) for path in self.contact_sheets],
            "failed": [one.to_json() for one in self.failed],
            "intended_use": RESEARCH_USE,
        }

    def summary(self) -> str:
        """A line a figure with its warnings, and what went wrong."""
        lines = [one.summary() for one in self.done]
        lines += [f"contact sheet: {path}" for path in self.contact_sheets]
        return "\n".join([*lines, *(f"failed: {one.error}" for one in self.failed), RESEARCH_USE])


def explain_paths(
    model: Path | None,
    paths: Sequence[Path],
    output: Path,
    mask: Path | None = None,
    target: str = PREDICTED,
    method: str = "gradcam",
    figure_format: str = "png",
    colour_map: str = COLOUR_MAP,
) -> Explanations:
    """Draws a figure for each image, into `output/NAME_gradcam.FORMAT`; of several images contact sheets, too.

    Args:
        model: a run folder or a stored model; None for the newest run.
        paths: image files and folders.
        output: the figures' folder.
        mask: the true mask of the one image; without it, `_mask` files beside an image are used where there are any.
        target: `predicted`, a class, or `lesion`.
        method: key of `explain.methods.METHODS`.
        figure_format: `png`, `svg` or `pdf`.
        colour_map: one of `report.panels.COLOUR_MAPS`.

    Raises:
        UsageError: a path or an option is not as it must be.
    """
    if target not in TARGETS:
        raise UsageError(f"--target is {target}; it must be one of {', '.join(TARGETS)}")
    if method not in TITLES:
        raise UsageError(f"--method is {method}; it must be one of {', '.join(TITLES)}")
    if figure_format not in FORMATS:
        raise UsageError(f"--format is {figure_format}; it must be one of {', '.join(FORMATS)}")
    if colour_map not in COLOUR_MAPS:
        raise UsageError(f"--colour-map is {colour_map}; it must be one of {', '.join(COLOUR_MAPS)}")
    files = image_files(paths)
    if mask is not None and len(files) != 1:
        raise UsageError(f"--mask {mask} belongs to one image, but {len(files)} are given; name one image")
    names = output_names(files)
    predictor = load_predictor(model)
    explainer = Explainer(predictor, target, method)
    explained: list[Explained] = []
    failed: list[Failed] = []
    page: list[tuple[str, PanelData]] = []
    sheets: list[Path] = []

    def write_page() -> None:
        sheets.append(output / f"contact_sheet_{len(sheets) + 1}.png")
        with replacing(sheets[-1]) as part:
            draw_contact_sheet(page, part, colour_map)
        page.clear()

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
        heat_map = explainer.heat_map(image, prediction)
        data = PanelData(image, prediction, heat_map, shown, TITLES[method], true_mask)
        with replacing(figure) as part:
            draw_panels(data, part, colour_map)
        faithfulness = explainer.faithfulness(image, prediction, heat_map, true_mask)
        said = (prediction.label, prediction.probabilities, prediction.lesions, prediction.warnings)
        explained.append(Explained(path, figure, *said, shown, heat_map is None, faithfulness))
        page.append((names[path], data))
        if len(page) == SHEET_ROWS:
            write_page()
    if page and len(explained) > 1:
        write_page()
    return Explanations(tuple(explained), tuple(failed), tuple(sheets))


def _true_mask(path: Path, mask: Path | None, image: np.ndarray) -> np.ndarray | None:
    files = [mask] if mask is not None else mask_files(path)
    return read_masks(files, path, image) if files else None
