"""What test-time flips change: a study scored again, each image averaged with its mirror image.

Run from the root, with a finished study and a new folder:
`PYTHONPATH=. python benchmarks/flips.py studies/kfold-multitask-cnn studies/ablation-flips`, then
`python results/update.py studies/ablation-flips`, or `python cli.py compare` of the two.
"""

import argparse
import json
import shutil
from pathlib import Path

from machine import circumstances

from busi_keras.files import write_text
from busi_keras.inference.predictor import Predictor
from busi_keras.training.run import Run
from busi_keras.workflows.console import progress_bar
from busi_keras.workflows.data_set import part_records, records_of
from busi_keras.workflows.evaluate import evaluate_records
from results.made import MADE_FILE, made


def rescore(folder: Path, target: Path, data: str) -> None:
    """Scores a run's network with flips on its scored part and writes the result as a run without a model."""
    run = Run(folder)
    part = run.split.scored
    records = part_records(run.experiment, run.split, part, records_of(run, data))
    flipped = Predictor.load(folder).with_flips()
    with progress_bar(f"scoring {part} images of {folder.name}", len(records)) as advance:
        evaluation = evaluate_records(flipped, run.experiment, part, records, advance)
    target.mkdir(parents=True)
    for file in (run.experiment_file, run.split_file, run.history_file, run.data_file):
        shutil.copy(file, target / file.name)
    write_text(target / MADE_FILE, json.dumps(made(run) | {"scored_by": circumstances()["command"]}, indent=2) + "\n")
    Run(target).write_scores(evaluation.to_json(), evaluation.scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="a study's folder, with the models of its folds")
    parser.add_argument("output", type=Path, help="a new folder")
    parser.add_argument("--data", default="auto", help="as in `evaluate`")
    options = parser.parse_args()
    folds = sorted(options.study.glob("fold-*"))
    if not folds:
        raise SystemExit(f"{options.study} has no folds; name a study's folder")
    if options.output.exists():
        raise SystemExit(f"{options.output} is there already; name a new folder")
    for fold in folds:
        rescore(fold, options.output / fold.name, options.data)


if __name__ == "__main__":
    main()
