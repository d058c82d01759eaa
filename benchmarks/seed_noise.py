"""How far the seed of training alone moves a study's scores: the members of an ensemble, scored one by one.

Run from the root, with a study of ensembles whose checkpoints are there:
`PYTHONPATH=. python benchmarks/seed_noise.py studies/ablation-ensemble --output results/seed_noise.json`.

The members of a fold have the same images and settings, and other initial weights, orders of images and augmentation.
What the paired bootstrap calls decided between two of them is the seeds' doing: a difference as small as that says
nothing of a change. Expect standard deviations of about .01.
"""

import argparse
import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from machine import circumstances

from busi_keras.card import read_card
from busi_keras.evaluation.intervals import group_numbers, headline, paired_differences
from busi_keras.evaluation.scores import ImageScore, summarize
from busi_keras.evaluation.study_folder import StudyFolder
from busi_keras.files import write_text
from busi_keras.inference.engines.keras import KerasEngine
from busi_keras.inference.predictor import Predictor
from busi_keras.models import build
from busi_keras.training.batches import load_arrays
from busi_keras.training.calibrate import calibrate
from busi_keras.training.checkpoint import Checkpoints
from busi_keras.training.device import prepare
from busi_keras.training.plan import member
from busi_keras.training.run import Run
from busi_keras.workflows.data_set import part_records, records_of
from busi_keras.workflows.evaluate import evaluate_records

SCORES = ("dice", "lesion_dice", "iou", "normal_clean", "accuracy", "macro_f1", "malignant_auc", "brier", "false_finds",
          "pixel_sensitivity", "hd95_percent", "heat_map_energy", "heat_map_pointing")  # fmt: skip


def members_scores(run: Run, data: str) -> Iterator[tuple[ImageScore, ...]]:
    """Of each member of a run, calibrated by itself, on the images that the run scores."""
    experiment, split = run.experiment, run.split
    records = records_of(run, data)
    parts = {part: part_records(experiment, split, part, records) for part in ("train", "validation", split.scored)}
    training, validation = (load_arrays(parts[part], experiment.image_size) for part in ("train", "validation"))
    for number in range(experiment.members):
        name, own = member(experiment, number)
        prepare(own)
        network = build(own)
        checkpoints = Checkpoints(run.checkpoint_folder, name)
        progress = checkpoints.latest()
        if progress is None:
            raise SystemExit(f"{run.folder} has no checkpoint of member {number + 1}")
        checkpoints.restore_best(progress, network)
        found = calibrate(network, training, validation, experiment.batch_size)
        card = replace(read_card(run.model_file), novelty_threshold=found.novelty_threshold)
        predictor = Predictor(KerasEngine(network), card, experiment.batch_size)
        yield evaluate_records(predictor, own, split.scored, parts[split.scored]).scores


def measure(study: StudyFolder, data: str) -> dict[str, Any]:
    """All that goes into the JSON."""
    folds = study.folds_finished()
    scores: list[list[ImageScore]] = [[] for _ in range(study.experiment.members)]
    for fold in folds:
        for own, found in zip(scores, members_scores(Run(fold.folder), data), strict=True):
            own.extend(found)
            print(f"{fold.folder.name}: {len(own)} images", flush=True)
    pooled = [headline(summarize(own)) for own in scores]
    numbers = group_numbers([one.name for one in scores[0]], study.groups())
    decided: dict[str, int] = dict.fromkeys(SCORES, 0)
    pairs = list(itertools.combinations(scores, 2))
    for one, other in pairs:
        for name, interval in paired_differences(one, other, numbers).items():
            if name in decided and interval.low is not None and interval.high is not None:
                decided[name] += not interval.low <= 0 <= interval.high
    experiment = asdict(study.experiment)
    return {
        "what": f"{experiment['approach']}, {experiment['backbone']}, {experiment['image_size']} px, at most "
        f"{experiment['epochs']} epochs, protocol {experiment['protocol']}, {len(folds)} folds, n = {len(scores[0])}",
        **circumstances(),
        "seeds": len(scores),
        "pairs": len(pairs),
        "scores": {
            name: {
                "of_each": [one[name] for one in pooled],
                "deviation": float(np.std(np.array([one[name] for one in pooled], float), ddof=1)),
                "pairs_decided": decided[name],
            }
            for name in SCORES
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="a study's folder, trained with --members 2 or more")
    parser.add_argument("--data", default="auto", help="as in `evaluate`")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()
    study = StudyFolder.open(options.study)
    if study.experiment.members < 2:
        parser.error(f"{options.study} has single networks; name a study trained with --members 2 or more")
    results = measure(study, options.data)
    for name, one in results["scores"].items():
        shown = ", ".join(f"{value:.3f}" for value in one["of_each"])
        print(f"{name:<20} {shown}; sd {one['deviation']:.4f}; decided in {one['pairs_decided']} of {results['pairs']}")
    if options.output:
        write_text(options.output, json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
