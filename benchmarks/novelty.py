"""Whether networks notice images that are not like those of training, and how often they cry wolf.

Run from the root, with the folds of a study:
`PYTHONPATH=. python benchmarks/novelty.py studies/kfold-multitask-cnn/fold-* --output results/novelty.json`.

For each network the distance of photographs (those that scikit-learn brings), radiographs, a CT and an MR image (test
files of pydicom, which `pip install pydicom-data` brings), noise, blank images and a phantom, over its threshold: above
1 it warns. And the share of held-out images of the data set that it warns of. Expect every foreign image above 1, and
at most 0.05 of the held-out ones.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from machine import circumstances
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from sklearn.datasets import load_sample_image

from busi_keras.config import CLASSES
from busi_keras.data.phantom import make_phantom
from busi_keras.evaluation.predictions import read_predictions
from busi_keras.evaluation.scores import ImageScore
from busi_keras.files import write_text
from busi_keras.inference.predictor import Predictor
from busi_keras.training.run import Run

SIZE = 512
RADIOLOGY = {
    "a radiograph": "RG1_UNCR.dcm",
    "another radiograph": "RG3_UNCR.dcm",
    "a CT image": "693_UNCR.dcm",
    "an MR image": "MR2_UNCR.dcm",
}


def foreign_images() -> dict[str, np.ndarray]:
    """Images that are no ultrasound, uint8 `(height, width, 3)`."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 255, SIZE)[None, :, None]
    return {
        "photograph of a temple": load_sample_image("china.jpg"),
        "photograph of a flower": load_sample_image("flower.jpg"),
        "a photograph in grey": np.repeat(load_sample_image("china.jpg").mean(-1, keepdims=True), 3, -1).astype(
            np.uint8
        ),
        **{name: _radiology(file) for name, file in RADIOLOGY.items()},
        "noise": rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8),
        "black": np.zeros((SIZE, SIZE, 3), np.uint8),
        "grey": np.full((SIZE, SIZE, 3), 128, np.uint8),
        "a ramp": np.broadcast_to(ramp, (SIZE, SIZE, 3)).astype(np.uint8),
        "phantom": np.repeat(make_phantom(0, 0, 0, SIZE, SIZE).image[..., None], 3, axis=-1),
    }


def _radiology(file: str) -> np.ndarray:
    """A test file of pydicom as it is shown."""
    dataset = dcmread(str(get_testdata_file(file)))
    pixels = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset).astype(float)
    grey = np.rint(255 * (pixels - pixels.min()) / np.ptp(pixels)).astype(np.uint8)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        grey = 255 - grey
    return np.repeat(grey[..., None], 3, axis=-1)


def measure(folders: Sequence[Path]) -> dict[str, Any]:
    """All that goes into the JSON."""
    images = foreign_images()
    ratios: dict[str, list[float]] = {name: [] for name in images}
    scores: list[ImageScore] = []
    for folder in folders:
        predictor = Predictor.load(folder)
        threshold = predictor.card.novelty_threshold
        assert threshold is not None, f"{folder} was trained before networks knew novelty"
        for name, prediction in zip(images, predictor.predict(list(images.values())), strict=True):
            ratios[name].append(prediction.novelty / threshold)
        scores += read_predictions(Run(folder).predictions_file)
    experiment = Run(folders[0]).experiment
    members = f" of {experiment.members} members each" * (experiment.members > 1)
    return {
        "what": f"{experiment.approach}, {experiment.backbone}, {experiment.image_size} px"
        f"{', attention gates' * experiment.attention_gates}, protocol {experiment.protocol}, {len(folders)} networks"
        f"{members}",
        **circumstances(),
        "distance_over_threshold": {
            name: {"least": min(r), "median": float(np.median(r))} for name, r in ratios.items()
        },
        "held_out": {
            "n": len(scores),
            "share_warned_of": float(np.mean([score.novel for score in scores])),
            **{
                name: float(np.mean([score.novel for score in scores if score.label == label]))
                for label, name in enumerate(CLASSES)
            },
        },
    }


def table(results: dict[str, Any]) -> str:
    """The results for people."""
    lines = [results["what"], "distance over threshold, the least and the median of the networks"]
    for name, one in results["distance_over_threshold"].items():
        lines.append(f"  {name:<26}{one['least']:8.2f}{one['median']:8.2f}")
    held_out = results["held_out"]
    lines.append(f"warned of {held_out['share_warned_of']:.1%} of {held_out['n']} held-out images")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="run folders, with their model.keras")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()
    results = measure(options.runs)
    print(table(results))
    if options.output:
        write_text(options.output, json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
