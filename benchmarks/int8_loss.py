"""What int8 costs in Dice and accuracy: networks in float32 and in int8, on the images that were held out.

Run from the root, with a run or the folds of a study, whose scored images are pooled:
`PYTHONPATH=. python benchmarks/int8_loss.py studies/kfold-multitask-cnn/fold-* --output results/int8_loss.json`.

Both run in OpenVINO, so that only the arithmetic differs; what a run lacks of the two is exported. BUSI is found as
`evaluate` finds it. Expect losses below 0.01.
"""

import argparse
import importlib.metadata
import json
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from busi_keras.config import CLASSES
from busi_keras.data.busi import Record, read_sample
from busi_keras.evaluation.scores import overlap
from busi_keras.files import write_text
from busi_keras.inference.predictor import Predictor
from busi_keras.training.run import Run
from busi_keras.workflows.data_set import part_records, records_of
from busi_keras.workflows.evaluate import resolve_split
from busi_keras.workflows.export import export_run

VARIANTS = {"float32": ("openvino", "model.xml"), "int8": ("openvino-int8", "model_int8.xml")}
PACKAGES = ("openvino", "nncf", "numpy")


def score(model: Path, records: list[Record]) -> list[dict[str, Any]]:
    """Dice, predicted class and its probability for each image, at the image's own size."""
    samples = ((record, read_sample(record)) for record in records)
    rows = []
    for ((record, mask), _), prediction in Predictor.load(model).stream(
        (((record, sample.mask), sample.image) for record, sample in samples)
    ):
        rows.append(
            {
                "name": record.name,
                "class": CLASSES[record.label],
                "predicted": prediction.label,
                "dice": overlap(mask, prediction.mask).dice,
                "probabilities": prediction.probabilities,
            }
        )
    return rows


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Means over images."""
    lesions = [row["dice"] for row in rows if row["class"] != "normal"]
    return {
        "dice": float(np.mean([row["dice"] for row in rows])),
        "lesion_dice": float(np.mean(lesions)),
        "accuracy": float(np.mean([row["class"] == row["predicted"] for row in rows])),
    }


def megabytes(model: Path) -> float:
    """Of both files of an OpenVINO model."""
    return (model.stat().st_size + model.with_suffix(".bin").stat().st_size) / 1e6


def exported(run: Run, variant: str, data: str) -> Path:
    """A variant's file in a run, made where it is not there yet."""
    export_format, name = VARIANTS[variant]
    file = run.folder / name
    return file if file.exists() else export_run(run.folder, export_format, file, data)


def compare(folders: Sequence[Path], data: str) -> dict[str, Any]:
    """All that goes into the JSON."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in VARIANTS}
    for run in map(Run, folders):
        part = resolve_split("auto", run.split.scored)
        records = part_records(run.experiment, run.split, part, records_of(run, data))
        files = {name: exported(run, name, data) for name in VARIANTS}
        for name, file in files.items():
            rows[name] += score(file, records)
    scores = {name: summary(found) for name, found in rows.items()}
    pairs = list(zip(rows["float32"], rows["int8"], strict=True))
    sizes = {name: megabytes(file) for name, file in files.items()}
    experiment = run.experiment
    return {
        "what": f"{experiment.approach}, {experiment.backbone}, {experiment.image_size} px, at most "
        f"{experiment.epochs} epochs, protocol {experiment.protocol}, {len(folders)} networks: float32 and int8 in "
        f"OpenVINO, {part} images",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", *sys.argv]),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "n": len(pairs),
        "scores": scores,
        "loss": {name: scores["float32"][name] - scores["int8"][name] for name in scores["float32"]},
        "other_class": sum(one["predicted"] != other["predicted"] for one, other in pairs),
        "largest_probability_difference": float(
            max(np.abs(np.subtract(one["probabilities"], other["probabilities"])).max() for one, other in pairs)
        ),
        "megabytes": sizes,
        "size_ratio": sizes["int8"] / sizes["float32"],
    }


def table(results: dict[str, Any]) -> str:
    """The results for people."""
    lines = [f"{results['what']}, n = {results['n']}", f"{'':<12}{'float32':>9}{'int8':>9}{'loss':>9}"]
    for name, loss in results["loss"].items():
        one, other = results["scores"]["float32"][name], results["scores"]["int8"][name]
        lines.append(f"{name:<12}{one:9.4f}{other:9.4f}{loss:9.4f}")
    sizes = results["megabytes"]
    lines.append(f"{'megabytes':<12}{sizes['float32']:9.1f}{sizes['int8']:9.1f}   ratio {results['size_ratio']:.2f}")
    return "\n".join([*lines, f"another class in {results['other_class']} of {results['n']} images"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="run folders, with their model.keras")
    parser.add_argument("--data", default="auto", help="as in `evaluate`")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()
    results = compare(options.runs, options.data)
    print(table(results))
    if options.output:
        write_text(options.output, json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
