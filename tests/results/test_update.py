"""README's numbers are those in `results/`, and a run's numbers get there without a picture of the data."""

import csv
import importlib.util
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from busi_keras.config import MALIGNANT, NORMAL, Experiment
from busi_keras.data.split import Split
from busi_keras.evaluation.comparison import Difference, compare_studies
from busi_keras.evaluation.intervals import Interval
from busi_keras.evaluation.study_folder import StudyFolder
from busi_keras.workflows.study import run_study

MakeStudy = Callable[..., Path]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def update() -> ModuleType:
    spec = importlib.util.spec_from_file_location("results_update", ROOT / "results" / "update.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_readme_shows_what_results_hold(update: ModuleType) -> None:
    text = (ROOT / "README.md").read_text()
    assert update.readme(text) == text
    assert update.ablations_page(ROOT / "results") == (ROOT / "results" / "ABLATIONS.md").read_text()


def test_a_study_is_taken_in_fold_by_fold_and_goes_on_from_there(
    update: ModuleType, make_study: MakeStudy, phantom_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    monkeypatch.setattr(update, "ROOT", tmp_path)
    monkeypatch.setattr(update, "RESULTS", results)
    monkeypatch.setattr(update, "README", tmp_path / "README.md")
    (tmp_path / "README.md").write_text((ROOT / "README.md").read_text())
    weights = tmp_path / "net.weights.h5"
    fields = {"folds": 3, "weights": str(weights)}
    study = make_study(tmp_path / "kfold-small", "kfold", range(2), **fields)
    (study / "fold-1" / "figures").mkdir()

    update.main([str(study)])
    taken = results / "kfold-small"
    numbers = {"metrics.json", "predictions.csv", "history.jsonl", "experiment.json", "split.json", "made.json"}
    assert {path.name for path in taken.iterdir()} == {"made.json", "fold-0", "fold-1"}
    assert all({file.name for file in fold.iterdir()} == numbers for fold in taken.glob("fold-*"))
    command = json.loads((taken / "made.json").read_text())["command"]
    assert command.startswith("python cli.py study --approach multitask-cnn --data phantom --backbone mobilenet-v2 ")
    assert "--protocol kfold --folds 3 " in command
    assert command.endswith(" --output studies/kfold-small")
    assert "--fold " not in command
    assert json.loads((taken / "fold-0" / "experiment.json").read_text())["weights"] == "net.weights.h5"
    assert "--protocol kfold --folds 3 " in json.loads((taken / "fold-0" / "made.json").read_text())["command"] + " "
    scored = sum(len(fold.scores()) for fold in StudyFolder(study).folds_finished())
    readme = (tmp_path / "README.md").read_text()
    assert (
        "| [kfold-small](results/kfold-small/) | kfold | mobilenet-v2, net.weights.h5, 32 px | 1 (1) | 2 of 3 |"
        in readme
    )
    row = next(line for line in readme.splitlines() if "| 2 of 3 |" in line)
    assert row.endswith(f"| {scored} |")
    assert " to " not in row

    elsewhere = shutil.copytree(taken, tmp_path / "studies" / "kfold-small")
    assert [fold.number for fold in StudyFolder(elsewhere).folds_finished()] == [0, 1]
    make_study(elsewhere, "kfold", range(2, 3), folds=3, weights="/elsewhere/net.weights.h5")
    given = {"protocol": "kfold", "approach": "multitask-cnn", "folds": 3, "weights": str(weights)}
    whole = run_study(given, str(phantom_folder), elsewhere, resamples=20).study
    update.main([str(elsewhere)])
    dice = whole.intervals["lesion_dice"]
    readme = (tmp_path / "README.md").read_text()
    assert (
        f"| 1 (1) | 3 | {whole.intervals['dice']} | {dice.estimate:.3f} ({dice.low:.3f} to {dice.high:.3f}) |" in readme
    )
    assert "| 48 |" in readme
    assert {path.name for path in taken.iterdir() if path.is_file()} == {
        "study.json", "table.md", "predictions.csv", "reliability.png", "groups.json", "marks.json", "made.json"
    }  # fmt: skip

    other = make_study(tmp_path / "other" / "kfold-small", "kfold", range(1), folds=3, epochs=9)
    with pytest.raises(SystemExit, match=r"fold-0 is of another experiment than .* \(weights .*; epochs 1, not 9\)"):
        update.main([str(other)])


def test_the_original_stands_beside_the_study_of_its_split(
    update: ModuleType, make_study: MakeStudy, phantom_folder: Path, tmp_path: Path
) -> None:
    study = make_study(tmp_path / "seed-small", "seed", range(1))
    row = {"stage": "multitask-cnn", "epoch": 1, "val_dice": 0.4, "val_iou": 0.3, "val_accuracy": 0.2, "val_score": 0.3}
    first = row | {"epoch": 0, "val_dice": 0.6, "val_score": 0.4}
    (study / "fold-0" / "history.jsonl").write_text(f"{json.dumps(first)}\n{json.dumps(row)}\n")
    given = {"protocol": "seed", "approach": "multitask-cnn"}
    dice = run_study(given, str(phantom_folder), study, resamples=20).study.intervals["dice"]
    lines = update.seed_table(tmp_path).splitlines()
    assert lines[2].endswith("| 0.650 | 0.556 | 0.910 | 0.900 |")
    assert lines[3].startswith(f"| seed-small, scored the same way | {dice} |")
    assert lines[4:] == [
        "| its chosen epoch, 1, at the network's size | 0.600 | 0.300 | 0.200 |  |",
        "| its last epoch, 2, at the network's size | 0.400 | 0.300 | 0.200 |  |",
    ]

    second = [{**one, "stage": "multitask-cnn-2", "val_dice": one["val_dice"] - 0.2} for one in (row, first)]
    rows = [first, row, *({**one, "epoch": epoch} for epoch, one in enumerate(second))]
    (study / "fold-0" / "history.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in rows))
    assert update.seed_table(tmp_path).splitlines()[4:] == [
        "| its 2 networks alone, mean of the chosen epochs, 1, 2, at the network's size | 0.500 | 0.300 | 0.200 |  |",
        "| its 2 networks alone, mean of the last epochs, 2, 2, at the network's size | 0.400 | 0.300 | 0.200 |  |",
    ]


def test_a_folder_that_is_no_finished_run_is_refused_and_leaves_nothing(update: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no-such is no finished run: it has no metrics\.json"):
        update.main([str(tmp_path / "no-such")])
    assert not (ROOT / "results" / "no-such").exists()


def test_heat_maps_have_a_row_for_all_lesions_and_one_for_each_class(
    update: ModuleType, make_study: MakeStudy, phantom_folder: Path, tmp_path: Path
) -> None:
    folder = make_study(tmp_path / "kfold-small", "kfold", range(2))
    assert update.heat_map_table([], tmp_path) == "Not measured yet."
    given = {"protocol": "kfold", "approach": "multitask-cnn", "folds": 2}
    study = run_study(given, str(phantom_folder), folder, resamples=20).study
    scored = {"n": 9, "energy_inside": 0.25, "chance": 0.1, "pointing_game": 0.5, "iou": 0.125}
    (tmp_path / "heat_map_null.json").write_text(json.dumps({"scores": {"all lesions": scored}}))
    table = update.heat_map_table(update.complete_studies(tmp_path), tmp_path)
    *_, every, benign, malignant, null = table.splitlines()
    assert null.endswith(" | all lesions | 9 | 0.250 | 0.100 | 0.500 | 0.125 | – | – | – |")
    n = study.metrics.n
    lesions = n["benign"] + n["malignant"]
    assert every.startswith(f"| kfold-small | all lesions | {lesions}, 2 of them perturbed | ")
    intervals = [study.intervals[f"heat_map_{name}"] for name in ("energy", "pointing", "iou")]
    energy, pointing, iou = map(str, intervals)
    assert f"| {energy} | 0.080 | {pointing} | {iou} | 0.250 | 0.750 | – |" in every
    energies = [study.subsets[name].heat_map_energy for name in ("benign", "malignant")]
    pooled = sum(energy * n[name] for energy, name in zip(energies, ("benign", "malignant"), strict=True)) / lesions
    assert pooled == pytest.approx(study.metrics.heat_map_energy)
    for row, name, mean in zip((benign, malignant), ("benign", "malignant"), energies, strict=True):
        assert row.startswith(f"| kfold-small | {name} | {n[name]}, ")
        assert f"perturbed | {mean:.3f} | 0.080 | " in row
    chosen_on_them = make_study(tmp_path / "seed-small", "seed", range(1))
    run_study({"protocol": "seed", "approach": "multitask-cnn"}, str(phantom_folder), chosen_on_them, resamples=20)
    assert "seed-small" not in update.heat_map_table(update.complete_studies(tmp_path), tmp_path)


def test_leakage_is_what_plain_folds_report_beyond_grouped_ones(
    update: ModuleType, make_study: MakeStudy, tmp_path: Path
) -> None:
    folders = (
        make_study(tmp_path / "leaky", "leaky", range(2), dice=0.8),
        make_study(tmp_path / "kfold", "kfold", range(2)),
    )
    found = compare_studies(*map(StudyFolder, folders), groups=[], resamples=50)
    assert update.leakage_table(tmp_path) == "Not measured yet."
    (tmp_path / "leakage").mkdir()
    for name in ("all", "duplicated", "unique"):
        (tmp_path / "leakage" / f"{name}.json").write_text(json.dumps(found.to_json()))
    group = [f"benign/benign ({number}).png" for number in range(1, 9)]
    StudyFolder(folders[0]).write_looks([group], {}, [])
    row, _, leaked = update.leakage_table(tmp_path).splitlines()[-3:]
    one = found.differences["lesion_dice"]
    assert row.startswith(f"| all | 48 | {one.first:.3f}, {one.second:.3f} | +0.")
    assert one.interval.low > 0.05
    assert leaked.startswith("In plain folds 8 of the 8 images with near-duplicates have one of theirs among")
    assert "in grouped folds 8. Plain folds also train on more different frames, 17 against 17" in leaked


def test_results_agree_with_their_own_per_image_numbers(update: ModuleType) -> None:
    folders = [path.parent for path in ROOT.glob("results/**/metrics.json")]
    assert folders
    for folder in folders:
        metrics = json.loads((folder / "metrics.json").read_text())
        with (folder / "predictions.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        assert metrics["split"] == Split.read(folder / "split.json").scored
        assert len(rows) == sum(metrics["n"].values())
        assert sum(row["class"] == row["predicted"] for row in rows) / len(rows) == pytest.approx(metrics["accuracy"])
        assert sum(float(row["dice"]) for row in rows) / len(rows) == pytest.approx(metrics["dice"], abs=1e-5)
        assert {path.suffix for path in folder.iterdir()} <= {".json", ".jsonl", ".csv", ".png"}
        assert {path.name for path in folder.glob("*.png")} <= {*update.PLOTS}


def test_studies_and_differences_agree_with_the_folds_they_are_of(update: ModuleType) -> None:
    studies = update.complete_studies(ROOT / "results")
    assert studies
    for study in studies:
        stored = json.loads(study.study_file.read_text())
        found = study.sum_up(resamples=2)
        for name, interval in found.intervals.items():
            assert stored["intervals"][name]["estimate"] == pytest.approx(interval.estimate), (study.folder, name)
        assert stored["n"] == found.metrics.n
        assert stored["reliability"] == [asdict(one) for one in found.reliability]
    for changed in ROOT.glob("results/ablations/*/"):
        stored = json.loads(changed.with_suffix(".json").read_text())
        base = StudyFolder(ROOT / "results" / stored["second"])
        found = compare_studies(StudyFolder(changed), base, base.groups(), common=True, resamples=2)
        assert (stored["n"], tuple(stored["settings"])) == (found.n, found.settings)
        for score, one in found.differences.items():
            assert stored["differences"][score]["interval"]["estimate"] == pytest.approx(one.interval.estimate)
    for name, duplicated in {"all": None, "duplicated": True, "unique": False}.items():
        stored = json.loads((ROOT / "results" / "leakage" / f"{name}.json").read_text())
        pair = [StudyFolder(ROOT / "results" / stored[side]) for side in ("first", "second")]
        found = compare_studies(*pair, groups=pair[0].groups(), resamples=2, duplicated=duplicated)
        assert stored["n"] == found.n
        for score, one in found.differences.items():
            assert stored["differences"][score]["interval"]["estimate"] == pytest.approx(one.interval.estimate)


def test_a_changed_study_is_taken_in_beside_what_it_changes(
    update: ModuleType, make_study: MakeStudy, phantom_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    for name, value in {"ROOT": tmp_path, "RESULTS": results, "README": tmp_path / "README.md"}.items():
        monkeypatch.setattr(update, name, value)
    shutil.copy(ROOT / "README.md", tmp_path)
    base = make_study(tmp_path / "kfold-multitask-cnn-mobilenet-v2-128px", "kfold", range(2))
    larger_base = make_study(tmp_path / "kfold-larger", "kfold", range(2), image_size=64)
    for folder in (base, larger_base):
        asked = {"protocol": "kfold", "approach": "multitask-cnn", "folds": 2}
        run_study(asked, str(phantom_folder), folder, resamples=20)
    changed = make_study(tmp_path / "ablation-longer", "kfold", range(1), dice=0.8, epochs=9)
    update.main([str(base), str(larger_base), str(changed)])
    file = results / "ablations" / "longer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"note": "Not kept."}))
    update.main([str(changed)])
    stored = json.loads(file.read_text())
    scored = len(StudyFolder(changed).splits()[0])
    assert (stored["n"], stored["settings"], stored["note"]) == (scored, ["epochs 9, not 1"], "Not kept.")
    assert stored["differences"]["lesion_dice"]["better"] == "first"
    page = (results / "ABLATIONS.md").read_text()
    assert f"`epochs 9, not 1`; beside kfold-multitask-cnn-mobilenet-v2-128px, n = {scored}. Not kept." in page
    assert (results / "ablations" / "longer" / "fold-0" / "predictions.csv").exists()
    assert "ablation" not in update.studies_table(results)
    larger = make_study(tmp_path / "ablation-longer-and-larger", "kfold", range(1), epochs=9, image_size=64)
    update.main([str(larger)])
    page = (results / "ABLATIONS.md").read_text()
    assert "`epochs 9, not 1`; beside kfold-larger," in page
    alone = make_study(tmp_path / "ablation-leaky", "leaky", range(1))
    with pytest.raises(SystemExit, match=r"no complete study of protocol leaky to set .*ablation-leaky beside"):
        update.main([str(alone)])
    assert not (results / "ablations" / "leaky").exists()


def test_what_was_perturbed_counts_by_the_size_of_its_class() -> None:
    from results.heat_maps import _pooled

    def measured(deletion: float | None, images: int, perturbed: int) -> dict[str, float | None]:
        return {"energy_inside": 0.5, "n_energy_inside": images, "deletion": deletion, "n_deletion": perturbed}

    folds = [
        {"benign": measured(0.2, 40, 5), "malignant": measured(0.8, 10, 5)},
        {"benign": measured(0.4, 20, 5), "malignant": measured(None, 10, 0)},
    ]
    pooled = _pooled(folds, ["benign", "malignant"])
    assert pooled["deletion"] == pytest.approx((60 * 0.3 + 20 * 0.8) / 80)
    assert (pooled["n_deletion"], pooled["n_energy_inside"]) == (15, 80)


def test_a_score_that_repeats_another_is_counted_once() -> None:
    from results.ablations import decided, distinct

    def difference(by: float) -> Difference:
        return Difference(by, 0.0, Interval(by, by / 2, 2 * by), "first")

    scores = {"dice": 0.1, "lesion_dice": 0.1, "iou": 0.1, "lesion_iou": 0.2, "hd95_px": 9.0, "hd95_percent": 1.0}
    found = {score: difference(by) for score, by in scores.items()} | {"lesions_found": difference(0.1)}
    kept = ["dice", "iou", "lesion_iou", "hd95_percent", "lesions_found"]
    assert list(distinct(found)) == list(decided(found, "first")) == kept
    assert not decided(found, "second")


def test_few_held_out_images_are_said_to_be_unlike_those_of_training(update: ModuleType) -> None:
    """The project's own bound, for each complete study of grouped folds."""
    headline = [study for study in update.complete_studies(ROOT / "results") if study.experiment.protocol == "kfold"]
    assert headline
    for study in headline:
        assert study.sum_up(resamples=2).intervals["novel"].estimate <= 0.05


def test_a_run_that_was_scored_on_another_part_leaves_the_results_as_they_were(
    update: ModuleType, make_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(update, "RESULTS", tmp_path / "results")
    run = make_study(tmp_path / "study", "kfold", range(1)) / "fold-0"
    (run / "figures").mkdir()
    for name in update.PLOTS:
        (run / "figures" / name).touch()
    scored = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(json.dumps(scored | {"split": "validation"}))
    with pytest.raises(SystemExit, match=r"fold-0 was last scored on another part; python cli\.py evaluate"):
        update.main([str(run)])
    assert not (tmp_path / "results").exists()


def test_the_command_in_made_repeats_the_experiment() -> None:
    from results.made import command, study_command
    from results.studies import is_study

    base = Experiment("multitask-cnn", "Dataset_BUSI_with_GT", epochs=9, attention_gates=True, augment=1.5, members=3)
    words = command("train", base).split()
    assert "--attention-gates" in words
    assert words[words.index("--augment") + 1] == "1.5"
    assert words[words.index("--members") + 1] == "3"
    assert "--augment" not in command("train", replace(base, augment=1.0))

    stored = [path.parent for path in ROOT.glob("results/**/made.json")]
    assert stored
    for folder in stored:  # a default that changes must not change what the stored commands repeat
        if is_study(folder):
            expected = study_command(StudyFolder(folder))
        else:
            expected = command("train", Experiment.read(folder / "experiment.json"))
            expected += "" if folder.name.startswith("fold-") else f" --run-dir runs/{folder.name}"
        assert json.loads((folder / "made.json").read_text())["command"] == expected


def test_tables_go_between_their_marks_and_nowhere_else(update: ModuleType) -> None:
    text = (ROOT / "README.md").read_text()
    for damaged in (text.replace("<!-- /speed -->", "<!-- speed/ -->"), text + "<!-- seed -->"):
        with pytest.raises(SystemExit, match=r"must have <!-- (speed|seed) --> and .* once each; put them back"):
            update.readme(damaged)


def test_what_normals_left_clean_cost_is_read_off_the_scores(
    update: ModuleType, make_study: MakeStudy, tmp_path: Path
) -> None:
    study = StudyFolder(make_study(tmp_path / "kfold", "kfold", range(2)))
    said = update.limits([study])
    rows = re.findall(r"^\| (0\.\d) \| (\S+) \| (\S+) \| (\S+) \|$", said, re.MULTILINE)
    bounds, lesion_dice, clean, dice = np.array(rows, float).T
    assert bounds.tolist() == [0.5, 0.3, 0.2, 0.1]
    assert (np.diff(lesion_dice) <= 0).all()
    assert (np.diff(clean) >= 0).all()
    scores = [score for split in study.splits() for score in split]
    lesions = [score for score in scores if score.label != NORMAL]
    kept = [score.overlap.dice if score.probabilities[NORMAL] <= 0.1 else 0 for score in lesions if score.overlap]
    assert lesion_dice[-1] == pytest.approx(np.mean(kept), abs=5e-4)
    called = [score.label == MALIGNANT for score in scores if score.predicted == MALIGNANT]
    malignant = sum(score.label == MALIGNANT for score in scores)
    spared = 1 - called.count(False) / (len(scores) - malignant)
    assert (
        f"finds {sum(called)} of {malignant} malignant images, a sensitivity of {sum(called) / malignant:.3f}" in said
    )
    assert f"at a specificity of {spared:.3f}." in said
    shares = np.array([len(lesions), len(scores) - len(lesions)]) / len(scores)
    np.testing.assert_allclose(dice, shares @ [lesion_dice, clean], atol=0.002)


def test_studies_are_summed_up_anew_from_their_folds(update: ModuleType, make_study: MakeStudy, tmp_path: Path) -> None:
    study = StudyFolder(make_study(tmp_path / "kfold", "kfold", range(2)))
    study.write_looks([], {}, [])
    study.write(study.sum_up(resamples=2), "a table of before")
    written = study.study_file.read_text()
    update.sum_up_again(tmp_path)
    assert "a table of before" not in study.table_file.read_text()
    assert json.loads(study.study_file.read_text())["metrics"] == json.loads(written)["metrics"]
