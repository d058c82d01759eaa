"""What a heat map reaches on lesions that does not depend on the image: the mean mask of other folds' lesions.

Run from the root, with the folds of a study in `results/`:
`PYTHONPATH=. python benchmarks/heat_map_null.py BUSI results/kfold-... --output results/heat_map_null.json`.

The mean is over the masks of a fold's training and validation images, each stretched to a square, and laid over each of
the fold's test images: lesions lie in the middle more often than at the edge, so it reaches more than a uniform map.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from machine import circumstances

from busi_keras.config import CLASSES, NORMAL
from busi_keras.data.busi import read_busi, read_sample
from busi_keras.evaluation.faithfulness import Localization, localization
from busi_keras.evaluation.study_folder import StudyFolder
from busi_keras.files import write_text
from busi_keras.imaging import resize
from busi_keras.training.run import Run

SIZE = 64


def measure(data: Path, study: StudyFolder) -> dict[str, Any]:
    """All that goes into the JSON."""
    lesions = {record.name: record for record in read_busi(data) if record.label != NORMAL}
    masks = {name: read_sample(record).mask for name, record in lesions.items()}
    squares = {name: resize(mask.astype(np.float32), SIZE, SIZE) for name, mask in masks.items()}
    located: dict[str, Localization] = {}
    for fold in study.folds_finished():
        split = Run(fold.folder).split
        others = [squares[name] for name in (*split.train, *split.validation) if name in squares]
        everywhere = np.mean(others, axis=0)
        for name in split.test:
            if name in masks:
                located[name] = localization(resize(everywhere, *masks[name].shape), masks[name])
    scores = {"all lesions": _means(list(located.values()))}
    for label, title in enumerate(CLASSES):
        if label != NORMAL:
            scores[title] = _means([one for name, one in located.items() if lesions[name].label == label])
    return {
        "what": f"the mean mask of other folds' lesions as the heat map of each image, {study.folder.name}",
        **circumstances(),
        "scores": scores,
    }


def _means(located: Sequence[Localization]) -> dict[str, float]:
    rows = [asdict(one) for one in located]
    return {"n": len(rows), **{name: float(np.mean([row[name] for row in rows])) for name in rows[0]}}


def table(results: dict[str, Any]) -> str:
    """The results for people."""
    lines = [results["what"]]
    for name, one in results["scores"].items():
        lines.append(f"  {name:<14}{' '.join(f'{key} {value:.3f}' for key, value in one.items())}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the data set of the study")
    parser.add_argument("study", type=Path, help="a kfold study")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()
    results = measure(options.data, StudyFolder.open(options.study))
    print(table(results))
    if options.output:
        write_text(options.output, json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
