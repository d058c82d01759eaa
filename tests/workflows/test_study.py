"""A protocol from its first fold to its table, as a user runs it."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import pytest

from busi_keras.config import CLASSES
from busi_keras.data.patients import PATIENTS_FILE, add_patients
from busi_keras.data.phantom_set import INFO_FILE, write_phantoms
from busi_keras.errors import UsageError
from busi_keras.evaluation.predictions import read_predictions, write_predictions
from busi_keras.evaluation.study_folder import StudyFolder
from busi_keras.training.run import Run
from busi_keras.workflows.study import run_study
from tests.tiny import TINY

MakeStudy = Callable[..., Path]
ASKED = {"approach": "multitask-cnn", "backbone": TINY, "weights": "none", "image_size": 32}


@pytest.mark.parametrize("begun", [{}, {"choose_by": "dice-accuracy"}])
def test_a_study_goes_on_with_the_fold_that_is_missing_and_pools_them(
    make_study: MakeStudy, phantom_folder: Path, tmp_path: Path, begun: dict[str, str]
) -> None:
    """The third fold is trained, without normal images, as the first two were: they are of one epoch, and chosen by
    what the protocol says unless they were begun otherwise."""
    folder = make_study(tmp_path / "study", "lesion-70-30", range(2), backbone=TINY, **begun)
    before = {path: path.stat().st_mtime_ns for path in folder.glob("fold-*/*")}
    given = {**ASKED, "protocol": "lesion-70-30"}
    study = run_study(given, str(phantom_folder), folder, resamples=50).study

    assert {path: path.stat().st_mtime_ns for path in before} == before
    trained = Run(folder / "fold-2")
    assert (trained.experiment.epochs, trained.experiment.batch_size, trained.experiment.fold) == (1, 8, 2)
    row = json.loads(trained.history_file.read_text())
    by, score = "IoU", row["val_iou"]
    if begun:
        by, score = "(Dice + accuracy) / 2", (row["val_dice"] + row["val_accuracy"]) / 2
    assert row["val_score"] == pytest.approx(score)
    assert f"epoch 1 chosen, by {by} on validation" in " ".join(trained.report_file.read_text().split())
    metrics = json.loads(trained.metrics_file.read_text())
    assert metrics["n"]["normal"] == 0
    assert (metrics["normal_clean"], metrics["classes"]["normal"]["f1"], metrics["auc"]["normal"]) == (None, None, None)
    assert "256 x 256" in metrics["note"]
    diagonals = {score.surface.diagonal_px for score in read_predictions(trained.predictions_file) if score.surface}
    assert diagonals
    assert all(diagonal == pytest.approx(256 * 2**0.5, abs=0.01) for diagonal in diagonals)

    parts = [len(fold.scores()) for fold in StudyFolder(folder).folds_finished()]
    assert len(study.scores) == sum(parts)
    document = json.loads((folder / "study.json").read_text())
    dice = document["intervals"]["dice"]
    assert dice["low"] <= dice["estimate"] <= dice["high"]
    assert dice["estimate"] == pytest.approx(sum(score.overlap.dice for score in study.scores) / sum(parts))
    assert document["intervals"]["normal_clean"] == {"estimate": None, "low": None, "high": None}
    public = document["public_table"]["image_by_image"]
    assert public["f1"] == pytest.approx(
        fmean(fmean(s.overlap.dice for s in split) for split in study.splits), abs=1e-3
    )
    assert "The splits are not the table's own" in document["note"]
    table = (folder / "table.md").read_text()
    assert "| normal clean | not defined |" in table
    assert "| CMUNeXt, published | 71.56 ± 2.43 | 79.86 ± 2.58 |" in table

    write_predictions(tmp_path / "again.csv", read_predictions(folder / "predictions.csv"))
    assert (tmp_path / "again.csv").read_bytes() == (folder / "predictions.csv").read_bytes()
    trained.model_file.unlink()
    assert not StudyFolder(folder).fold(2).finished  # as after a kill before the network was written
    shutil.rmtree(folder / "fold-2" / "checkpoint")
    assert run_study(given, folder=folder, resamples=50).study.intervals == study.intervals


def test_a_study_is_of_one_experiment(make_study: MakeStudy, phantom_folder: Path, tmp_path: Path) -> None:
    folder = make_study(tmp_path, "kfold", range(1), backbone=TINY)
    given = {**ASKED, "folds": 2}
    with pytest.raises(UsageError, match=r"fold-0 belongs to another experiment \(protocol kfold, not leaky as asked"):
        run_study({**given, "protocol": "leaky"}, str(phantom_folder), folder)
    with pytest.raises(UsageError, match=r"epochs 1, not 2 as asked for.*name a new --output"):
        run_study({**given, "epochs": 2}, str(phantom_folder), folder)
    with pytest.raises(UsageError, match="folds 2, not 5 as asked for"):
        run_study(ASKED, str(phantom_folder), folder)
    with pytest.raises(UsageError, match="epochs 1, not 0 as asked for"):
        run_study({**given, "epochs": 0}, str(phantom_folder), folder)
    write_phantoms(tmp_path / "others", 12, seed=1, size=64)
    with pytest.raises(UsageError, match=r"was trained on phantom, but the files in .*others are different"):
        run_study(given, str(tmp_path / "others"), folder)
    make_study(folder, "kfold", range(1, 2), backbone=TINY, learning_rate=0.1)
    with pytest.raises(UsageError, match=r"fold-1 belongs to another experiment than fold-0 beside it \(learning_rate"):
        run_study(given, str(phantom_folder), folder)
    assert not (folder / "study.json").exists()


def test_a_study_goes_on_with_the_same_files_in_another_folder(
    make_study: MakeStudy, phantom_folder: Path, tmp_path: Path
) -> None:
    folder = make_study(tmp_path / "study", "kfold", range(1), backbone=TINY, data="BUSI")
    data = Path(shutil.copytree(phantom_folder, tmp_path / "elsewhere"))
    (data / INFO_FILE).unlink()
    run_study({**ASKED, "folds": 2}, str(data), folder, resamples=20)
    names = [Run(folder / f"fold-{fold}").experiment.data for fold in range(2)]
    assert names == ["BUSI", "elsewhere"]
    assert run_study({**ASKED, "folds": 2}, folder=folder, resamples=20).study.intervals["dice"].low is not None


def test_patients_that_are_named_between_two_folds_are_refused_before_training(
    make_study: MakeStudy, phantom_folder: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(phantom_folder, tmp_path / "data"))
    folder = make_study(tmp_path / "study", "kfold", range(1), backbone=TINY)
    StudyFolder(folder).write_looks([], {}, [])
    add_patients(data, [["benign/benign (1).png", "benign/benign (2).png"]])
    with pytest.raises(UsageError, match=r"patients\.json beside the images has changed since .*study began"):
        run_study({**ASKED, "folds": 2}, str(data), folder)
    assert not (folder / "fold-1").exists()


def test_a_fold_that_lacks_its_numbers_is_not_left_out_unsaid(
    make_study: MakeStudy, stored_network: Path, phantom_folder: Path, tmp_path: Path
) -> None:
    folder = make_study(tmp_path / "study", "kfold", range(3), folds=3, backbone=TINY)
    shutil.copy(stored_network, folder / "fold-2" / "model.keras")
    (folder / "fold-2" / "predictions.csv").unlink()
    with pytest.raises(UsageError, match=r"fold-2 is trained, but lacks predictions\.csv; .*evaluate .*fold-2 makes"):
        run_study({**ASKED, "protocol": "kfold", "folds": 3}, str(phantom_folder), folder)
    assert not (folder / "study.json").exists()


def test_a_fold_that_was_scored_on_another_part_is_not_pooled(
    make_study: MakeStudy, phantom_folder: Path, tmp_path: Path
) -> None:
    folder = make_study(tmp_path, "kfold", range(2), backbone=TINY)
    (folder / "fold-1" / "metrics.json").write_text('{"split": "train"}')
    with pytest.raises(UsageError, match="fold-1 was scored last on train images that are not its test part"):
        run_study({**ASKED, "folds": 2}, str(phantom_folder), folder)


def test_folds_of_two_partitions_are_not_pooled(make_study: MakeStudy, phantom_folder: Path, tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", "kfold", range(2))
    for name in ("split.json", "predictions.csv", "metrics.json"):
        shutil.copy(folder / "fold-0" / name, folder / "fold-1" / name)
    with pytest.raises(UsageError, match=r"fold-0 and fold-1 beside it both hold out benign/.*: they are folds of two"):
        run_study({"protocol": "kfold", "approach": "multitask-cnn", "folds": 2}, str(phantom_folder), folder)


def test_an_external_folder_is_scored_without_what_was_trained_on(
    make_study: MakeStudy, stored_network: Path, phantom_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_study(tmp_path / "study", "external", range(1), backbone=TINY, skip_bad=True)
    shutil.copy(stored_network, folder / "fold-0" / "model.keras")
    other = tmp_path / "elsewhere"
    write_phantoms(other, 9, seed=5, size=64)
    shutil.rmtree(other / "normal")
    (other / INFO_FILE).unlink()
    for file in ("benign (1).png", "benign (1)_mask.png"):
        shutil.copy(phantom_folder / "benign" / file, other / "benign" / file.replace("(1)", "(77)"))
    (other / "malignant" / "malignant (1)_mask.png").unlink()
    (other / PATIENTS_FILE).write_text(json.dumps([["benign/benign (77).png", "benign/benign (2).png"]]))
    given = {**ASKED, "protocol": "external"}
    with caplog.at_level(logging.WARNING):
        study = run_study(given, str(phantom_folder), folder, external=other, resamples=20).study

    assert study.external is not None
    assert study.external.left_out == ("benign/benign (2).png", "benign/benign (77).png")  # the same patient's
    assert study.external.unusable == ("malignant/malignant (1).png",)
    assert "2 of 7 images" in caplog.text
    assert len(study.scores) == 5
    assert study.metrics.n["normal"] == 0
    assert (study.metrics.normal_clean, study.metrics.auc["normal"]) == (None, None)
    assert study.metrics.dice is not None
    table = (folder / "table.md").read_text()
    assert (
        "because they show frames, or are of patients, that were trained on: 2; because their files are broken" in table
    )
    (other / "benign" / "benign (77).png").unlink()
    with pytest.raises(UsageError, match=r"external has scores of elsewhere, but the files in .* are different"):
        run_study(given, str(phantom_folder), folder, external=other)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (shutil.rmtree, "is not a folder; name one that holds benign"),
        (lambda folder: (folder / "malignant" / "malignant (1).png").write_bytes(b"no image"), "1 of 9 images cannot"),
        (lambda folder: (folder / "malignant" / "malignant (1)_mask.png").unlink(), "add it; fix them, or leave them"),
    ],
)
def test_an_external_folder_that_could_not_be_scored_is_refused_before_training(
    damage: Callable[[Path], object], complaint: str, phantom_folder: Path, tmp_path: Path
) -> None:
    write_phantoms(tmp_path / "elsewhere", 9, seed=5, size=64)
    damage(tmp_path / "elsewhere")
    asked = {**ASKED, "protocol": "external"}
    with pytest.raises(UsageError, match=complaint):
        run_study(asked, str(phantom_folder), tmp_path / "study", external=tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="holds the files that are trained on"):
        run_study(asked, str(phantom_folder), tmp_path / "study", external=phantom_folder)
    assert not (tmp_path / "study").exists()


def test_a_study_is_not_mixed_with_one_whose_folds_are_gone(
    make_study: MakeStudy, phantom_folder: Path, tmp_path: Path
) -> None:
    folder = make_study(tmp_path, "kfold", range(2), backbone=TINY)
    given = {**ASKED, "folds": 2}
    run_study(given, str(phantom_folder), folder, resamples=20)
    for fold in folder.glob("fold-*"):
        shutil.rmtree(fold)
    with pytest.raises(UsageError, match=r"has groups\.json, marks\.json, study\.json of a study whose folds are gone"):
        run_study({**given, "epochs": 3}, str(phantom_folder), folder)
    assert not list(folder.glob("fold-*"))


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("metrics.json", "{}", r"metrics\.json is damaged \('split'\); python cli.py evaluate .*fold-1 rewrites it"),
        ("metrics.json", "", r"metrics\.json is damaged \(Expecting value"),
        ("history.jsonl", '{"stage": "mul', r"history\.jsonl is damaged .* or train this fold again"),
        (
            "predictions.csv",
            "name,class\nbenign/benign (1).png",
            r"line 2 of .*predictions\.csv is damaged, or not of a table",
        ),
    ],
)
def test_a_damaged_file_of_a_fold_is_named(
    file: str, content: str, complaint: str, make_study: MakeStudy, phantom_folder: Path, tmp_path: Path
) -> None:
    folder = make_study(tmp_path, "kfold", range(2), backbone=TINY)
    (folder / "fold-1" / file).write_text(content)
    with pytest.raises(UsageError, match=complaint):
        run_study({**ASKED, "folds": 2}, str(phantom_folder), folder)


@pytest.mark.parametrize("file", ["groups.json", "marks.json"])
def test_a_damaged_file_of_all_folds_is_named(
    file: str, make_study: MakeStudy, phantom_folder: Path, tmp_path: Path
) -> None:
    folder = make_study(tmp_path, "kfold", range(2), backbone=TINY)
    StudyFolder(folder).write_looks([], {}, [])
    (folder / file).write_text("[[")
    with pytest.raises(
        UsageError, match=rf"{file.replace('.', '[.]')} is damaged .* or remove it and repeat the study"
    ):
        run_study({**ASKED, "folds": 2}, str(phantom_folder), folder)


def test_a_study_needs_a_protocol_of_its_own(phantom_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="--protocol is 'grouped'; a study has one of seed, kfold, leaky, lesion-70-30"
    ):
        run_study({**ASKED, "protocol": "grouped"}, str(phantom_folder), tmp_path)
    with pytest.raises(UsageError, match="--protocol is external; --external FOLDER goes with"):
        run_study({**ASKED, "protocol": "external"}, str(phantom_folder), tmp_path)
    with pytest.raises(UsageError, match="--protocol is kfold; --external FOLDER goes with --protocol external"):
        run_study({**ASKED, "protocol": "kfold"}, str(phantom_folder), tmp_path, external=phantom_folder)


@pytest.mark.parametrize("folds", [0, 1, -3])
def test_a_study_needs_two_folds(folds: int, phantom_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"--folds is {folds}; it must be at least 2"):
        run_study({**ASKED, "folds": folds}, str(phantom_folder), tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_protocol_without_folds_has_no_number_of_them(phantom_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--folds is 10, but protocol seed has no folds; leave --folds out"):
        run_study({**ASKED, "protocol": "seed", "folds": 10}, str(phantom_folder), tmp_path)


def test_the_public_tables_splits_are_three(phantom_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--folds is 5; protocol lesion-70-30 has 3 splits"):
        run_study({**ASKED, "protocol": "lesion-70-30", "folds": 5}, str(phantom_folder), tmp_path)


def test_folds_that_cannot_be_stratified_name_the_class_that_is_short(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_phantoms(data, 12, seed=0, size=64)
    assert len(list((data / CLASSES[1]).glob("*).png"))) == 3
    with pytest.raises(
        UsageError, match=r"class malignant has 3 different images .* fold \d would have none; give more"
    ):
        run_study(ASKED, str(data), tmp_path / "study")
    assert not (tmp_path / "study").exists()
