"""Studies in `results/`: their numbers, fold by fold, and README's table of them."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from busi_keras.config import FOLDED_PROTOCOLS, PROTOCOL_PRESETS, Experiment
from busi_keras.errors import UsageError
from busi_keras.evaluation.intervals import Interval, group_numbers, headline
from busi_keras.evaluation.public_table import PublicScore, PublicScores
from busi_keras.evaluation.scores import summarize
from busi_keras.evaluation.study_folder import StudyFolder
from busi_keras.files import write_text
from busi_keras.report.comparison_table import signed
from busi_keras.report.markdown import table
from busi_keras.report.study_table import public_table, study_table
from busi_keras.training.run import Run
from results.made import MADE_FILE, made, shared_experiment, study_command

COLUMNS = {
    "dice": "Dice",
    "lesion_dice": "lesion Dice",
    "iou": "IoU",
    "normal_clean": "normals clean",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "malignant_auc": "malignant AUC",
    "calibration_error": "calibration error",
}
LEAKAGE = "leakage"
LEAKING = ("lesion_dice", "accuracy", "malignant_auc")
ORIGINAL = (
    "original multitask-cnn, ImageNet ResNet50, epoch chosen on these images", "0.650", "0.556", "0.910", "0.900"
)  # fmt: skip
SWITCHES = ("attention_gates", "deep_supervision", "class_balance", "gradual_unfreezing")
WEIGHTS = {
    "none": "from scratch",
    "imagenet": "ImageNet",
    "mobilenet_v2_1.0_224_imagenet_notop.weights.h5": "ImageNet in 8 bits",
}


def is_study(folder: Path) -> bool:
    """Whether a folder is a study's, not a run's."""
    return any(folder.glob("fold-*/experiment.json"))


def take_study(folder: Path, results: Path) -> Path:
    """Copies the numbers of a study's finished folds into `results/NAME/`; once it is complete, of the whole.

    The copy is a study without networks: put into `studies/`, `study` goes on with the folds that it lacks.

    Raises:
        UsageError: no fold is finished, folds do not belong together, or one was scored last on another part;
            `results/NAME/` has another experiment's folds.
    """
    study = StudyFolder.open(folder)
    place = results / folder.resolve().name
    take_folds(study, place)
    write_text(place / MADE_FILE, json.dumps({"command": study_command(study)}, indent=2) + "\n")
    whole = (study.study_file, study.table_file, study.predictions_file, study.reliability_file)
    known = (study.groups_file, study.marks_file, study.patients_file)
    for file in (*known, *(whole if is_complete(study) else ())):
        if file.exists():
            shutil.copy(file, place / file.name)
    if study.external.exists():
        shutil.copytree(study.external, place / study.external.name, dirs_exist_ok=True)
    return place


def take_folds(study: StudyFolder, place: Path) -> None:
    """Copies the numbers of a study's finished folds into `place/fold-N/`.

    Raises:
        UsageError: as `take_study`.
    """
    study.splits()  # refuses what was scored on other images than the fold's own
    for fold in StudyFolder(place).folds_begun():
        if differences := fold.experiment.differences(study.experiment, across_folds=True):
            raise UsageError(
                f"{fold.folder} is of another experiment than {study.folder} ({'; '.join(differences)}); "
                "remove it, or rename the study's folder"
            )
    for fold in study.folds_finished():
        target = place / fold.folder.name
        target.mkdir(parents=True, exist_ok=True)
        for file in fold.numbers:
            shutil.copy(file, target / file.name)
        run = Run(fold.folder)
        write_text(Run(target).experiment_file, shared_experiment(run).to_json())
        write_text(target / MADE_FILE, json.dumps(made(run), indent=2) + "\n")


def sum_up_again(results: Path) -> None:
    """Writes `study.json`, `table.md` and `predictions.csv` of each complete study anew, from its folds."""
    for study in complete_studies(results):
        found = study.sum_up()
        study.write(found, study_table(found))


def is_complete(study: StudyFolder) -> bool:
    """Whether all folds are finished and summed up."""
    return study.study_file.exists() and len(study.folds_finished()) == _folds(study.experiment)


def complete_studies(results: Path) -> list[StudyFolder]:
    """The studies in `results/` that have all their folds."""
    studies = [StudyFolder(folder) for folder in sorted(results.glob("*/")) if is_study(folder)]
    return [study for study in studies if is_complete(study)]


def studies_table(results: Path) -> str:
    """The studies in `results/`, a row each; those of the public table's protocol beside it, too."""
    studies = [StudyFolder(folder) for folder in sorted(results.glob("*/")) if is_study(folder)]
    if not studies:
        return "No study has been taken in yet."
    titles = ["study", "protocol", "encoder, starting weights", "epochs (chosen)", "folds", *COLUMNS.values(), "n"]
    public = {
        study.folder.name: PublicScores(**{way: PublicScore(**score) for way, score in scores.items()})
        for study in studies
        if is_complete(study) and (scores := _document(study)["public_table"])
    }
    return "\n\n".join([table(titles, map(_row, studies)), *([public_table(public)] if public else [])])


def seed_table(results: Path) -> str:
    """Studies of the original's own split beside the original's last row, the last epoch beside the chosen one."""
    rows: list[Sequence[str]] = [ORIGINAL]
    for study in complete_studies(results):
        if study.experiment.protocol != "seed":
            continue
        intervals = _document(study)["intervals"]
        scored = [Interval(**intervals[name]) for name in ("dice", "iou", "accuracy", "macro_f1")]
        rows.append([f"{study.folder.name}, scored the same way", *map(str, scored)])
        stages = list(study.folds_finished()[0].epochs().values())
        rows += [_epoch_row(kind, [stage[kind] for stage in stages]) for kind in ("chosen", "last")]
    return table(["n = 156", "Dice", "IoU", "accuracy", "macro F1"], rows)


def _epoch_row(kind: str, epochs: Sequence[dict[str, Any]]) -> list[str]:
    """One kind of epoch of all networks of a study: the mean over the networks, each scored alone."""
    numbers = ", ".join(str(epoch["epoch"] + 1) for epoch in epochs)
    values = [
        fmean(epoch[name] for epoch in epochs if name in epoch) for name in ("val_dice", "val_iou", "val_accuracy")
    ]
    whose = f"its {kind} epoch" if len(epochs) == 1 else f"its {len(epochs)} networks alone, mean of the {kind} epochs"
    return [f"{whose}, {numbers}, at the network's size", *(f"{value:.3f}" for value in values), ""]


def leakage_table(results: Path) -> str:
    """What plain folds report beyond grouped ones: all images, and those that can leak apart from those that cannot."""
    files = [results / LEAKAGE / f"{name}.json" for name in ("all", "duplicated", "unique")]
    if not all(file.exists() for file in files):
        return "Not measured yet."
    comparisons = [json.loads(file.read_text()) for file in files]
    plain, grouped = comparisons[0]["first"], comparisons[0]["second"]
    lead = (
        f"Plain folds (`{plain}`) against grouped ones (`{grouped}`), with the same settings; 95 % intervals by paired "
        "bootstrap over groups:"
    )
    titles = ["images", "n"]
    for name in LEAKING:
        titles += [f"{COLUMNS[name]}, plain and grouped", "difference"]
    rows = []
    for found in comparisons:
        row = [found["images"], str(found["n"])]
        for name in LEAKING:
            one = found["differences"][name]
            row += [f"{one['first']:.3f}, {one['second']:.3f}", signed(Interval(**one["interval"]))]
        rows.append(row)
    both = [StudyFolder(results / name) for name in (plain, grouped)]
    return "\n\n".join([lead, table(titles, rows), _leaked(*both)])


def _leaked(plain: StudyFolder, grouped: StudyFolder) -> str:
    """How much of what can leak does in each, and what else the folds differ in."""
    groups = plain.groups()
    (leaked, frames), (left, fewer) = (_trained_near(study, groups) for study in (plain, grouped))
    return (
        f"In plain folds {leaked} of the {sum(map(len, groups))} images with near-duplicates have one of theirs among "
        f"the images that their network was trained on, in grouped folds {left or 'none'}. Plain folds also train on "
        f"more different frames, {frames:.0f} against {fewer:.0f} on average, from as many images."
    )


def _trained_near(study: StudyFolder, groups: Sequence[Sequence[str]]) -> tuple[int, float]:
    """How many images are tested by a network that was trained on near-duplicates of theirs, and how many different
    frames a fold trains on, the mean."""
    splits = [Run(fold.folder).split for fold in study.folds_finished()]
    near = sum(len(set(s.test).intersection(group)) for s in splits for group in groups if set(group) & set(s.train))
    return near, fmean(len(set(group_numbers(s.train, groups))) for s in splits)


def _row(study: StudyFolder) -> list[str]:
    name = f"[{study.folder.name}](results/{study.folder.name}/)"
    folds, expected = len(study.folds_finished()), _folds(study.experiment)
    if is_complete(study):
        document = _document(study)
        found = {column: str(Interval(**document["intervals"][column])) for column in COLUMNS}
        n = sum(document["n"].values())
    else:
        scores = [score for split in study.splits() for score in split]
        found = {column: str(Interval(headline(summarize(scores))[column], None, None)) for column in COLUMNS}
        n = len(scores)
    return [
        name, study.experiment.protocol, encoder(asdict(study.experiment)), _epochs(study),
        str(folds) if folds == expected else f"{folds} of {expected}", *found.values(), str(n),
    ]  # fmt: skip


def encoder(experiment: dict[str, Any]) -> str:
    """What an experiment's network is made of and starts from."""
    weights = WEIGHTS.get(experiment["weights"], experiment["weights"])
    described = f"{experiment['backbone']}, {weights}, {experiment['image_size']} px"
    for option in SWITCHES:
        if experiment.get(option):
            described += f", {option.replace('_', ' ')}"
    if experiment["members"] > 1:
        described += f", {experiment['members']} networks"
    if experiment["approach"] == "two-stage":
        return f"{experiment['segmenter']} width {experiment['width']}, from scratch; {described}"
    return described


def _epochs(study: StudyFolder) -> str:
    """The most that a network was trained, and the least and the largest chosen, by what where it may be by IoU."""
    made_of = [json.loads((fold.folder / MADE_FILE).read_text()) for fold in study.folds_finished()]
    stages = [stage for one in made_of for stage in one["epochs"].values()]
    first, last = min(stage["chosen"] for stage in stages), max(stage["chosen"] for stage in stages)
    chosen = str(first) if first == last else f"{first} to {last}"
    by, usual = study.experiment.choose_by, PROTOCOL_PRESETS.get(study.experiment.protocol, {}).get("choose_by")
    if "iou" in (by, usual):
        chosen += {"iou": ", by IoU", "dice-accuracy": ", by Dice and accuracy"}[by]
    return f"{max(stage['trained'] for stage in stages)} ({chosen})"


def _folds(experiment: Experiment) -> int:
    return experiment.folds if experiment.protocol in FOLDED_PROTOCOLS else 1


def _document(study: StudyFolder) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(study.study_file.read_text())
    return found
