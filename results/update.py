"""Takes the numbers of runs and studies into `results/` and writes README's tables from all that is there.

    python results/update.py runs/busi-multitask-resnet50 ...   # take runs in, then write the tables
    python results/update.py studies/kfold-multitask-cnn ...    # take in what a study has so far, then the tables
    python results/update.py studies/ablation-boundary-loss     # the same of one that changes one of the studies here
    python results/update.py                                    # write the tables alone
    python results/update.py --again                            # sum up the studies here anew before

Only numbers and plots of numbers are taken: no image of the data set, and no figure that shows one.
"""

import json
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from busi_keras.errors import UsageError  # noqa: E402
from busi_keras.files import write_text  # noqa: E402
from busi_keras.report.markdown import table  # noqa: E402
from busi_keras.training.run import Run  # noqa: E402
from results import benchmarks  # noqa: E402
from results.ablations import PAGE, ablations_page, is_change, take_change  # noqa: E402
from results.heat_maps import heat_map_table  # noqa: E402
from results.limits import limits  # noqa: E402
from results.made import MADE_FILE, made, shared_experiment  # noqa: E402
from results.studies import (  # noqa: E402
    complete_studies,
    encoder,
    is_study,
    leakage_table,
    seed_table,
    studies_table,
    sum_up_again,
    take_study,
)

RESULTS = ROOT / "results"
README = ROOT / "README.md"
AGAIN = "--again"
PLOTS = ("history.png", "confusion.png", "roc.png", "reliability.png")


def take(run: Run) -> Path:
    """Copies a finished run's numbers and plots of numbers into `results/NAME/`."""
    files = [*run.numbers, *(run.figures / name for name in PLOTS)]
    if missing := [file for file in files if not file.is_file()]:
        raise UsageError(f"{run.folder} is no finished run: it has no {missing[0].name}; name a run or a study")
    if json.loads(run.metrics_file.read_text())["split"] != run.split.scored:
        raise UsageError(f"{run.folder} was last scored on another part; python cli.py evaluate {run.folder} first")
    folder = RESULTS / run.folder.resolve().name
    folder.mkdir(exist_ok=True)
    for file in files:
        shutil.copy(file, folder / file.name)
    write_text(Run(folder).experiment_file, shared_experiment(run).to_json())
    of_run = made(run)
    of_run["command"] += f" --run-dir runs/{folder.name}"
    write_text(folder / MADE_FILE, json.dumps(of_run, indent=2) + "\n")
    return folder


def results_table() -> str:
    """The runs in `results/`, a row each."""
    titles = [
        "approach", "encoder, starting weights", "epochs trained (chosen)", "Dice", "lesion Dice", "IoU",
        "normals clean", "accuracy", "macro F1", "malignant AUC", "n",
    ]  # fmt: skip
    runs = [folder for folder in sorted(RESULTS.glob("*/")) if (folder / MADE_FILE).exists() and not is_study(folder)]
    return table(titles, map(_row, runs))


def readme(text: str) -> str:
    """README with its tables as `results/` has them now, between a pair of marks each."""
    for name, block in {
        "results": results_table(),
        "studies": studies_table(RESULTS),
        "leakage": leakage_table(RESULTS),
        "seed": seed_table(RESULTS),
        "limits": limits(complete_studies(RESULTS)),
        "heat maps": heat_map_table(complete_studies(RESULTS), RESULTS),
        "speed": benchmarks.speed_table(RESULTS),
        "feeding": benchmarks.feeding_and_memory(RESULTS),
        "everyday": benchmarks.everyday_lines(RESULTS),
        "gradcam": benchmarks.gradcam_table(RESULTS),
        "engines": benchmarks.engine_table(RESULTS),
        "page": benchmarks.page_lines(RESULTS),
        "int8": benchmarks.int8_line(RESULTS),
        "novelty": benchmarks.novelty_line(RESULTS),
    }.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if text.count(start) != 1 or text.count(end) != 1:
            raise SystemExit(f"error: README.md must have {start} and {end} once each; put them back")
        before, rest = text.split(start)
        text = f"{before}{start}\n{block}\n{end}{rest.split(end)[1]}"
    return text


def _row(folder: Path) -> list[str]:
    experiment = json.loads(Run(folder).experiment_file.read_text())
    metrics: dict[str, Any] = json.loads(Run(folder).metrics_file.read_text())
    stages = json.loads((folder / MADE_FILE).read_text())["epochs"].values()
    epochs = ", ".join(f"{stage['trained']} ({stage['chosen']})" for stage in stages)
    numbers = [metrics[name] for name in ("dice", "lesion_dice", "iou", "normal_clean", "accuracy", "macro_f1")]
    cells = ["" if value is None else f"{value:.3f}" for value in [*numbers, metrics["auc"]["malignant"]]]
    name = f"[{experiment['approach']}](results/{folder.name}/)"
    return [name, encoder(experiment), epochs, *cells, str(sum(metrics["n"].values()))]


def _taker(folder: Path) -> Callable[[Path], Path]:
    if not is_study(folder):
        return lambda folder: take(Run(folder))
    return partial(take_change if is_change(folder) else take_study, results=RESULTS)


def main(folders: list[str]) -> None:
    """Takes runs and studies in, then writes README."""
    try:
        if AGAIN in folders:
            sum_up_again(RESULTS)
        for folder in (Path(folder) for folder in folders if folder != AGAIN):
            print(f"taken into {_taker(folder)(folder).relative_to(ROOT)}")
    except UsageError as error:
        raise SystemExit(f"error: {error}") from None
    write_text(README, readme(README.read_text()))
    write_text(RESULTS / PAGE, ablations_page(RESULTS))


if __name__ == "__main__":
    main(sys.argv[1:])
