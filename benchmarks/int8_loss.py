"""What int8 costs in Dice and accuracy: networks in float32 and in int8, on the images that were held out.

Run from the root, with a run or the folds of a study, whose scored images are pooled:
`PYTHONPATH=. python benchmarks/int8_loss.py studies/kfold-multitask-cnn/fold-* --output results/int8_loss.json`.

All run in OpenVINO, so that only the arithmetic differs; what a run lacks of them is exported. BUSI is found as
`evaluate` finds it. Expect losses below 0.01 with 8-bit weights (`int8`) on a processor with VNNI; `int8-avx2` has
7 bits, for processors without.
"""

import argparse
import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from machine import circumstances

from busi_keras.config import CLASSES
from busi_keras.data.busi import Record, read_sample
from busi_keras.evaluation.scores import overlap
from busi_keras.files import write_text
from busi_keras.inference.predictor import Predictor
from busi_keras.inference.processor import adds_8_bit_products_exactly
from busi_keras.training.run import Run
from busi_keras.workflows.data_set import part_records, records_of
from busi_keras.workflows.evaluate import resolve_split
from busi_keras.workflows.export import export_run

FLOAT = "float32"
VARIANTS = {
    FLOAT: ("openvino", "model.xml"),
    "int8": ("openvino-int8", "model_int8.xml"),
    "int8-avx2": ("openvino-int8-avx2", "model_int8_avx2.xml"),
}
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
    looked_at = data if "int8" in export_format else "auto"
    return file if file.exists() else export_run(run.folder, export_format, file, looked_at)


def compare(folders: Sequence[Path], data: str) -> dict[str, Any]:
    """All that goes into the JSON."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in VARIANTS}
    for run in map(Run, folders):
        part = resolve_split("auto", run.split.scored)
        records = part_records(run.experiment, run.split, part, records_of(run, data))
        files = {name: exported(run, name, data) for name in VARIANTS}
        for name, file in files.items():
            rows[name] += score(file, records)
    sizes = {name: megabytes(file) for name, file in files.items()}
    experiment = run.experiment
    return {
        "what": f"{experiment.approach}, {experiment.backbone}, {experiment.image_size} px, at most "
        f"{experiment.epochs} epochs, protocol {experiment.protocol}, {len(folders)} networks in OpenVINO, "
        f"{part} images",
        **circumstances(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "vnni": adds_8_bit_products_exactly(),
        "n": len(rows[FLOAT]),
        FLOAT: summary(rows[FLOAT]) | {"megabytes": sizes[FLOAT]},
        "variants": {
            name: against_float(rows[FLOAT], found) | {"size_ratio": sizes[name] / sizes[FLOAT]}
            for name, found in rows.items()
            if name != FLOAT
        },
    }


def against_float(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> dict[str, Any]:
    """What a variant scores, and what it loses."""
    before, after = summary(rows), summary(others)
    pairs = list(zip(rows, others, strict=True))
    return {
        "scores": after,
        "loss": {name: before[name] - after[name] for name in before},
        "other_class": sum(one["predicted"] != other["predicted"] for one, other in pairs),
        "largest_probability_difference": float(
            max(np.abs(np.subtract(one["probabilities"], other["probabilities"])).max() for one, other in pairs)
        ),
    }


def table(results: dict[str, Any]) -> str:
    """The results for people."""
    lines = [f"{results['what']}, n = {results['n']}"]
    for variant, found in results["variants"].items():
        lines.append(
            f"{variant}: {found['size_ratio']:.1%} of the size, another class in {found['other_class']} images"
        )
        for name, loss in found["loss"].items():
            lines.append(f"  {name:<12} {results[FLOAT][name]:.4f} to {found['scores'][name]:.4f}, loss {loss:+.4f}")
    return "\n".join(lines)


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
