"""Each approach as a user trains it: from a folder of images to a run with all its files."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from busi_keras.card import attach_card, read_card
from busi_keras.errors import UsageError
from busi_keras.evaluation.predictions import read_predictions
from busi_keras.files import held
from busi_keras.imaging import read_image
from busi_keras.inference.predictor import TRAINED_ON_PHANTOMS, Predictor
from busi_keras.training import trainer
from busi_keras.training.device import gpu_names
from busi_keras.workflows.evaluate import evaluate_run
from busi_keras.workflows.study import run_study
from busi_keras.workflows.train import Trained, run_training
from tests.tiny import TINY

pytestmark = pytest.mark.slow

SMALL = {"image_size": 32, "epochs": 2, "weights": "none"}
APPROACHES = {
    "multitask": {"backbone": "mobilenet-v2"},
    "multitask-cnn": {"backbone": TINY},
    "two-stage": {"backbone": "mobilenet-v2", "segmenter": "attention-unet", "width": 2},
}
FILES = {
    "experiment.json", "split.json", "data.txt", "history.jsonl", "model.keras", "metrics.json", "predictions.csv",
    "report.md", "model_card.md", "checkpoint", "figures",
}  # fmt: skip


@pytest.fixture(scope="module")
def trained_once(phantom_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trained]:
    """A finished run of an approach, not to be changed but by evaluating it."""

    @cache
    def train(approach: str) -> Trained:
        given = {"approach": approach, **APPROACHES[approach], **SMALL}
        return run_training(given, str(phantom_folder), tmp_path_factory.mktemp("trained") / "run", export=False)

    return train


@pytest.mark.backends
@pytest.mark.parametrize("approach", APPROACHES)
def test_an_approach_is_trained_measured_and_reported(
    approach: str, phantom_folder: Path, trained_once: Callable[[str], Trained]
) -> None:
    trained = trained_once(approach)
    folder = trained.run.folder

    assert trained.run.experiment.batch_size == (16 if gpu_names() else 8)  # what phantoms are trained in
    assert {path.name for path in folder.iterdir()} == FILES
    assert {path.name for path in (folder / "figures").iterdir()} == {
        "history.png",
        "confusion.png",
        "reliability.png",
        "roc.png",
        "masks.png",
    }
    stages = ["segmenter", "classifier"] if approach == "two-stage" else [approach]
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [(row["stage"], row["epoch"]) for row in rows] == [(stage, epoch) for stage in stages for epoch in range(2)]
    assert all(np.isfinite(row["loss"]) and row["loss"] > 0 for row in rows)

    split = json.loads((folder / "split.json").read_text())
    assert sum(map(len, split.values())) == 48
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["split"] == "test"
    assert sum(metrics["n"].values()) == len(split["test"])
    assert np.sum(metrics["confusion"]) == len(split["test"])
    assert trained.to_json()["metrics"] == metrics
    with (folder / "predictions.csv").open() as stream:
        lines = list(csv.DictReader(stream))
    assert [line["name"] for line in lines] == split["test"]
    assert np.mean([float(line["dice"]) for line in lines]) == pytest.approx(metrics["dice"], abs=1e-5)
    assert np.mean([line["class"] == line["predicted"] for line in lines]) == pytest.approx(metrics["accuracy"])

    report = (folder / "report.md").read_text()
    assert "phantoms, synthetic images" in report
    assert f"{metrics['dice']:.4f}" in report
    assert "0.9104" in report

    model_card = (folder / "model_card.md").read_text()
    assert "Research use, not a diagnosis" in model_card
    card = read_card(folder / "model.keras")
    low, high = card.intervals["dice"]
    assert 0 <= low <= metrics["dice"] <= high <= 1
    assert f"| dice | {metrics['dice']:.4g} | {low:.4g} to {high:.4g} |" in model_card
    assert 0.2 <= card.temperature <= 5
    assert set(card.thresholds) == {"screening", "balanced"}
    malignant = [float(line["p_malignant"]) for line in lines if line["class"] == "malignant"]
    rounded = 1e-6  # as the table is
    least, most = (np.mean([p >= card.thresholds["screening"] + r for p in malignant]) for r in (rounded, -rounded))
    assert least <= card.operating["screening"]["sensitivity"] <= most
    assert card.phantom
    assert card.counts["train"] == {
        name: sum(path.startswith(name) for path in split["train"]) for name in ("benign", "malignant", "normal")
    }
    assert card.scores["dice"] == metrics["dice"]

    again = evaluate_run(folder, perturb=1)
    measured = any(found["n_deletion"] for found in again.heat_maps.values())
    assert (folder / "figures" / "perturbation.png").exists() == measured
    assert ("deletion and insertion" in (folder / "report.md").read_text()) == measured
    assert set(again.heat_maps) == {"benign", "malignant", "normal"}
    for found in again.heat_maps.values():
        assert found["n_deletion"] == found["n_insertion"] == found["n_randomization"] <= 1
        assert found["deletion"] is None or 0 <= found["deletion"] <= 1
    assert again.metrics.dice == pytest.approx(metrics["dice"], abs=1e-4)
    assert again.metrics.accuracy == metrics["accuracy"]

    image = read_image(phantom_folder / split["test"][0])
    prediction = Predictor.load(folder).predict([image])[0]
    assert prediction.mask.shape == image.shape[:2]
    assert sum(prediction.probabilities) == pytest.approx(1, abs=1e-5)
    assert TRAINED_ON_PHANTOMS in prediction.warnings


def test_training_stops_where_nothing_becomes_better_and_a_resumed_one_stays_there(
    phantom_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "validation_score", lambda row, _: (0.1, 0.5, 0.4, 0.5, 0.9, 0.9)[row["epoch"]])
    small = {"approach": "multitask-cnn", "backbone": TINY, **SMALL}
    given = {**small, "protocol": "seed", "epochs": 6, "patience": 2}
    run_training(given, str(phantom_folder), tmp_path / "run", export=False)
    history = (tmp_path / "run" / "history.jsonl").read_bytes()
    assert len(history.splitlines()) == 4  # the second 0.5 is no better than the first
    card = read_card(tmp_path / "run" / "model.keras")
    assert card.epochs == {"multitask-cnn": {"trained": 4, "chosen": 2}}
    assert (card.scored, card.operating) == ("validation", {})  # the images scored are those that chose the thresholds
    assert card.thresholds

    (tmp_path / "run" / "model.keras").unlink()
    run_training({}, str(phantom_folder), tmp_path / "run", resume=True, export=False)
    assert (tmp_path / "run" / "history.jsonl").read_bytes() == history
    assert read_card(tmp_path / "run" / "model.keras").epochs == card.epochs


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"fold": 3}, "--fold is 3, but protocol grouped has no folds; add --protocol kfold, or leave --fold out"),
        ({"width": 8}, "--width is 8, but approach multitask has no U-Net of its own; add --approach two-stage"),
        ({"protocol": "lesion-70-30", "folds": 5}, "--folds is 5; protocol lesion-70-30 has 3 splits"),
        (
            {"gradual_unfreezing": True, "weights": "none"},
            "--gradual-unfreezing is for a pretrained backbone, and this",
        ),
        ({"encoder_rate": 0.1, "weights": "none"}, "--encoder-rate is for a pretrained backbone, .* or leave it out"),
    ],
)
def test_an_option_that_would_be_passed_over_is_refused(
    given: dict[str, object], complaint: str, phantom_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=complaint):
        run_training({"approach": "multitask", **given}, str(phantom_folder), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_model_that_cannot_be_exported_is_kept_and_exported_later(
    phantom_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("saved_models").write_text("a file where the folder would be")
    given = {"approach": "multitask-cnn", "backbone": TINY, **SMALL, "epochs": 1}
    trained = run_training(given, str(phantom_folder), Path("run"))
    assert trained.exported is None
    assert trained.export_error.endswith("the run itself is complete; try again: python cli.py export run")
    assert trained.to_json()["metrics"]["dice"] == read_card(trained.run.model_file).scores["dice"]
    assert f"No SavedModel: {trained.export_error}" in trained.summary()

    Path("saved_models").unlink()
    again = run_training({}, run_dir=Path("run"), resume=True)
    assert again.exported == Path("saved_models/multitask-cnn/1")
    assert set(again.to_json()) == {"run", "exported", "metrics"}
    shutil.rmtree("saved_models")
    once_more = run_training({}, run_dir=Path("run"), resume=True)
    assert once_more.exported == again.exported
    assert (again.exported / "saved_model.pb").exists()


def test_a_run_folder_in_which_another_training_is_at_work_is_refused(phantom_folder: Path, tmp_path: Path) -> None:
    given = {"approach": "multitask-cnn", **APPROACHES["multitask-cnn"], **SMALL}
    with held(tmp_path / "run"), pytest.raises(UsageError, match=r"another process is at work in .*run; wait"):
        run_training(given, str(phantom_folder), tmp_path / "run", resume=True, export=False)
    assert not (tmp_path / "run").exists()


def test_a_start_that_may_have_seen_the_held_out_images_is_said_and_in_a_study_refused(
    phantom_folder: Path, trained_once: Callable[[str], Trained], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = trained_once("multitask-cnn").run
    given = {"approach": "multitask-cnn", **APPROACHES["multitask-cnn"], **SMALL, "weights": str(first.model_file)}
    again = run_training(given | {"epochs": 1}, str(phantom_folder), tmp_path / "run", export=False).run
    seen = "model.keras was trained on phantom, possibly on images that are held out here: scores may be too optimistic"
    assert seen in " ".join(capsys.readouterr().err.split())
    assert "starting weights: model.keras, which was trained on phantom, possibly" in again.model_card_file.read_text()
    assert "The network started from model.keras, which was trained on phantom" in again.report_file.read_text()
    assert "scores may be too optimistic" in evaluate_run(again.folder, data=str(phantom_folder), perturb=0).note
    with pytest.raises(UsageError, match=r"model\.keras was trained on phantom, .*; a study needs weights that have"):
        run_study({**given, "protocol": "kfold"}, str(phantom_folder), tmp_path / "study")
    assert not (tmp_path / "study").exists()

    other = shutil.copy(again.model_file, tmp_path / "model.keras")
    with pytest.raises(UsageError, match=r"belongs to another experiment \(weights_fingerprint \w+, not \w+ as asked"):
        run_training({"weights": str(other)}, str(phantom_folder), tmp_path / "run", resume=True, export=False)


def test_nothing_but_scores_follows_from_the_test_images(phantom_folder: Path, tmp_path: Path) -> None:
    given = {"approach": "multitask-cnn", "backbone": TINY, **SMALL}
    folder = Path(shutil.copytree(phantom_folder, tmp_path / "data"))
    runs = []
    for name in ("first", "second"):
        run = run_training(given, str(folder), tmp_path / name, export=False, near_duplicates=[]).run
        for image in run.split.test:
            pixels = 255 - read_image(folder / image)
            Image.fromarray(pixels).save(folder / image)
        runs.append(run)
    first, second = runs
    assert first.split == second.split
    assert first.predictions_file.read_bytes() != second.predictions_file.read_bytes()
    cards = [read_card(run.model_file) for run in runs]
    for field in ("temperature", "thresholds", "novelty_threshold", "epochs"):
        assert getattr(cards[0], field) == getattr(cards[1], field)
    networks = [keras.models.load_model(run.model_file, compile=False) for run in runs]
    for values, others in zip(*(network.get_weights() for network in networks), strict=True):
        np.testing.assert_array_equal(values, others)


def test_starting_weights_that_were_written_over_do_not_mix_into_a_run_that_goes_on(
    phantom_folder: Path, trained_once: Callable[[str], Trained], tmp_path: Path
) -> None:
    start = Path(shutil.copy(trained_once("multitask-cnn").run.model_file, tmp_path / "start.keras"))
    given = {"approach": "multitask-cnn", **APPROACHES["multitask-cnn"], **SMALL, "weights": str(start), "epochs": 1}
    run = run_training(given, str(phantom_folder), tmp_path / "run", export=False).run
    run.model_file.unlink()
    start.write_bytes(start.read_bytes() + b"other")
    with pytest.raises(UsageError, match=r"start\.keras is not the file that .*run was begun with; put that back"):
        run_training({}, str(phantom_folder), run.folder, resume=True, export=False)
    assert not run.model_file.exists()


def test_what_a_start_has_seen_is_looked_at_before_training_and_another_start_is_not_mixed_in(
    phantom_folder: Path, trained_once: Callable[[str], Trained], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Path(shutil.copy(trained_once("multitask-cnn").run.model_file, tmp_path / "start.keras"))
    given = {"approach": "multitask-cnn", **APPROACHES["multitask-cnn"], **SMALL, "weights": str(start), "epochs": 1}

    def train_and_replace(*arguments: object) -> object:
        trained = trainer.train_stage(*arguments)  # type: ignore[arg-type]
        start.write_bytes(b"another")
        return trained

    monkeypatch.setattr("busi_keras.training.plan.train_stage", train_and_replace)
    with pytest.raises(UsageError, match=r"start\.keras is not the file that this run was begun with"):
        run_training(given | {"members": 2}, str(phantom_folder), tmp_path / "pair", export=False)
    pair = replace(read_card(trained_once("multitask-cnn").run.model_file), epochs={"a": {}, "b": {}})
    attach_card(tmp_path / "pair.keras", pair)
    with pytest.raises(UsageError, match=r"pair\.keras is an ensemble of 2 networks, which cannot be trained further"):
        run_training(given | {"weights": str(tmp_path / "pair.keras")}, str(phantom_folder), tmp_path / "on")
    shutil.copy(trained_once("multitask-cnn").run.model_file, start)
    run = run_training(given, str(phantom_folder), tmp_path / "one", export=False).run
    card = read_card(run.model_file)
    assert card.weights == "start.keras, which was trained on phantom, possibly on images that are held out here"
    assert card.trained_on == {run.experiment.fingerprint: "phantom"}


def test_training_that_diverges_ends_with_a_way_out(phantom_folder: Path, tmp_path: Path) -> None:
    given = {"approach": "multitask-cnn", "backbone": TINY, **SMALL, "learning_rate": 1e30}
    with pytest.raises(UsageError, match=r"diverged.*--learning-rate lower than 1e\+30"):
        run_training(given, str(phantom_folder), tmp_path / "run", export=False)
    assert not (tmp_path / "run" / "model.keras").exists()


@pytest.mark.backends
def test_what_is_reported_is_what_the_stored_network_gives(phantom_folder: Path, tmp_path: Path) -> None:
    given = {"approach": "multitask-cnn", "backbone": TINY, **SMALL, "epochs": 1, "precision": "mixed_bfloat16"}
    run = run_training(given, str(phantom_folder), tmp_path / "run", export=False).run
    reported = read_predictions(run.predictions_file)
    assert run.experiment.precision == "mixed_bfloat16"
    evaluate_run(run.folder, data=str(phantom_folder))
    for one, other in zip(reported, read_predictions(run.predictions_file), strict=True):
        assert one.name == other.name
        assert one.probabilities == pytest.approx(other.probabilities, abs=2e-6)
        assert one.novelty == pytest.approx(other.novelty, abs=2e-4)


def test_a_finished_run_needs_neither_its_images_nor_its_starting_weights(
    trained_once: Callable[[str], Trained], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(trained_once("multitask-cnn").run.folder, tmp_path / "run"))
    experiment = json.loads((folder / "experiment.json").read_text())
    gone = str(tmp_path / "gone.keras")
    stored = {**experiment, "data": "scans", "weights": gone, "weights_fingerprint": "0"}
    stored |= {"protocol": "kfold", "folds": 10, "fold": 7}
    (folder / "experiment.json").write_text(json.dumps(stored))
    (folder / "data.txt").write_text(str(tmp_path / "scans"))
    trained = run_training({}, run_dir=folder, resume=True, export=False)
    assert trained.metrics == read_card(folder / "model.keras").scores
    for some in ({"weights": gone}, {"fold": 7}):  # of the options that it was begun with
        assert run_training(some, run_dir=folder, resume=True, export=False).metrics == trained.metrics
    with pytest.raises(UsageError, match=r"belongs to another experiment \(epochs 2, not 3 as asked for\)"):
        run_training({"epochs": 3}, run_dir=folder, resume=True, export=False)
    (folder / "model.keras").unlink()
    with pytest.raises(UsageError, match=r"run was begun on .*scans, which is not there"):
        run_training({}, run_dir=folder, resume=True, export=False)


def test_starting_weights_that_are_gone_are_named_where_a_run_goes_on(
    phantom_folder: Path, trained_once: Callable[[str], Trained], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(trained_once("multitask-cnn").run.folder, tmp_path / "run"))
    experiment = json.loads((folder / "experiment.json").read_text())
    start = tmp_path / "gone.keras"
    (folder / "experiment.json").write_text(json.dumps({**experiment, "weights": str(start)}))
    (folder / "model.keras").unlink()
    with pytest.raises(UsageError, match=rf"{start} does not exist; .*run was begun with these weights: put them back"):
        run_training({}, str(phantom_folder), folder, resume=True, export=False)


def test_a_run_folder_is_never_mixed(
    phantom_folder: Path, trained_once: Callable[[str], Trained], tmp_path: Path
) -> None:
    trained = trained_once("two-stage")
    folder, asked = trained.run.folder, trained.run.experiment
    given = {"approach": "two-stage", **APPROACHES["two-stage"], **SMALL}
    with pytest.raises(UsageError, match="holds a run already; add --resume"):
        run_training(given, str(phantom_folder), folder, export=False)
    with pytest.raises(UsageError, match=r"belongs to another experiment \(epochs 2, not 3 as asked for\)"):
        run_training(given | {"epochs": 3}, str(phantom_folder), folder, resume=True, export=False)
    before = (folder / "history.jsonl").read_bytes()
    assert run_training({}, str(phantom_folder), folder, resume=True, export=False).run.experiment == asked
    assert (folder / "history.jsonl").read_bytes() == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match="is not empty and holds no run"):
        run_training(given, str(phantom_folder), tmp_path / "other", resume=True, export=False)


def test_a_frozen_start_that_diverges_is_not_blamed_on_the_learning_rate(
    phantom_folder: Path, trained_once: Callable[[str], Trained], tmp_path: Path
) -> None:
    start = str(trained_once("multitask-cnn").run.model_file)
    given = {"approach": "multitask-cnn", **APPROACHES["multitask-cnn"], **SMALL, "weights": start, "epochs": 2}
    with pytest.raises(UsageError, match=r"diverged; check the starting weights \(model\.keras\) and the weights of"):
        run_training({**given, "mask_weight": 1e39}, str(phantom_folder), tmp_path / "run", export=False)
