"""The command line, in processes of its own: what is printed where, and the exit codes."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from busi_keras import __version__
from busi_keras.config import CLASSES, Experiment
from busi_keras.evaluation.study_folder import StudyFolder
from busi_keras.imaging import read_image, read_mask
from cli import app

ROOT = Path(__file__).parents[1]
TINY = ["--image-size", "32", "--batch-size", "8", "--epochs", "1", "--backbone", "mobilenet-v2", "--weights", "none"]


def cli(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "cli.py", *map(str, arguments)]
    without_data = {name: value for name, value in os.environ.items() if name != "BUSI_DATA_DIR"}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=without_data | environment)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, phantom_folder: Path) -> Path:
    """A folder in which a multi-task network was trained and exported."""
    folder = tmp_path_factory.mktemp("workplace")
    done = cli(
        "train", "--approach", "multitask-cnn", "--data", phantom_folder, *TINY, "--run-dir", "runs/first", "--json",
        cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder / "train.json").write_text(done.stdout)
    (folder / "train.log").write_text(done.stderr)
    return folder


def test_training_prints_one_json_document_and_tells_its_progress_on_stderr(workplace: Path) -> None:
    document = json.loads((workplace / "train.json").read_text())
    assert set(document) == {"run", "exported", "metrics"}
    assert document["run"] == "runs/first"
    assert document["exported"] == "saved_models/multitask-cnn/1"
    assert (workplace / document["exported"] / "saved_model.pb").exists()
    log = (workplace / "train.log").read_text()
    for expected in ("PHANTOMS", "CPU, tensorflow, float32", "from scratch", "epoch 1/1", "dice", "iou", "accuracy"):
        assert expected in log
    assert "Traceback" not in log
    assert "oneDNN" not in log


def test_compare_says_which_study_is_better(
    make_study: Callable[..., Path], phantom_folder: Path, tmp_path: Path
) -> None:
    make_study(tmp_path / "one", "kfold", range(2), dice=0.8)
    make_study(tmp_path / "other", "kfold", range(2), dice=0.6)
    done = cli("compare", "one", "other", "--data", phantom_folder, "--resamples", "20", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["first"], found["second"], found["n"]) == ("one", "other", 48)
    assert found["differences"]["lesion_dice"]["better"] == "first"
    assert set(found["differences"]["dice"]["interval"]) == {"estimate", "low", "high"}
    assert StudyFolder(tmp_path / "one").looked_over
    refused = cli("compare", "one", "nowhere", cwd=tmp_path)
    assert refused.returncode == 2
    assert "nowhere has no finished fold; name a folder made by `study`" in refused.stderr


def test_a_run_is_not_scored_on_other_images(workplace: Path) -> None:
    made = cli("data", "phantom", "--count", "48", "--size", "64", "--seed", "9", "--output", "others", cwd=workplace)
    assert made.returncode == 0
    done = cli("evaluate", "runs/first", "--data", "others", cwd=workplace)
    assert done.returncode == 2
    assert "the files in others are different; name the folder it was trained on with --data" in done.stderr


def test_evaluate_prints_the_documented_keys(workplace: Path, phantom_folder: Path) -> None:
    done = cli("evaluate", "runs/first", "--data", phantom_folder, "--split", "validation", "--json", cwd=workplace)
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)
    assert {
        "split", "dice", "iou", "lesion_dice", "lesion_iou", "normal_clean", "accuracy", "macro_f1", "auc",
        "confusion", "n",
    } <= set(metrics)  # fmt: skip
    assert metrics["split"] == "validation"
    assert set(metrics["heat_maps"]) == {"benign", "malignant", "normal"}
    assert metrics["heat_maps"]["normal"]["energy_inside"] is None
    benign = metrics["heat_maps"]["benign"]
    assert 0 <= benign["n_energy_inside"] <= metrics["n"]["benign"]
    assert benign["n_energy_inside"] == 0 or 0 < benign["chance"] < 1


def test_predict_writes_masks_of_the_images_own_size_and_lists_bad_files(workplace: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    sizes = {"wide": (90, 50), "tall": (40, 77)}
    for name, size in sizes.items():
        Image.fromarray(np.random.default_rng(1).integers(0, 255, size[::-1], dtype=np.uint8)).save(
            folder / f"{name}.png"
        )
    (folder / "broken.png").write_bytes((folder / "wide.png").read_bytes()[:200])
    (folder / "empty.jpg").touch()
    done = cli("predict", folder, "--output", tmp_path / "out", "--json", cwd=workplace)
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert [Path(one["path"]).name for one in document["predictions"]] == ["tall.png", "wide.png"]
    assert [Path(one["path"]).name for one in document["failed"]] == ["broken.png", "empty.jpg"]
    for one in document["predictions"]:
        name = Path(one["path"]).stem
        width, height = sizes[name]
        assert read_mask(Path(one["mask"])).shape == (height, width)
        assert read_image(tmp_path / "out" / f"{name}_overlay.png").shape == (height, width, 3)
        assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert any("phantoms" in warning for warning in one["warnings"])
    assert len((tmp_path / "out" / "predictions.csv").read_text().splitlines()) == 3


def test_gradcam_draws_five_panels_beside_a_mask_and_four_without(workplace: Path, phantom_folder: Path) -> None:
    image = phantom_folder / "benign" / "benign (1).png"
    shutil.copy(image, workplace / "alone.png")
    done = cli("gradcam", image, "alone.png", "--output", "figures", "--target", "malignant", "--json", cwd=workplace)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    five, four = (read_image(workplace / one["figure"]) for one in document["figures"])
    assert five.shape[1] > four.shape[1] >= 1500
    assert document["contact_sheets"] == ["figures/contact_sheet_1.png"]
    assert read_image(workplace / "figures/contact_sheet_1.png").shape[1] >= 1500
    for one in document["figures"]:
        assert one["label"] in CLASSES
        assert one["target"] == "malignant"
        assert set(one["probabilities"]) == set(CLASSES)
        assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        for lesion in one["lesions"]:
            x0, y0, x1, y1 = lesion["box"]
            assert 0 < lesion["area_px"] <= (x1 - x0) * (y1 - y0)
    with_mask, alone = (one["faithfulness"] for one in document["figures"])
    assert set(with_mask) == {
        "energy_inside", "pointing_game", "iou", "chance", "deletion", "insertion", "randomization",
        "deletion_curve", "insertion_curve",
    }  # fmt: skip
    assert alone["chance"] is None
    assert with_mask["chance"] is None or 0 < with_mask["chance"] < 1  # None: the map of so little training is flat


def test_gradcam_takes_a_folder_and_makes_a_contact_sheet_of_each_eight(workplace: Path, phantom_folder: Path) -> None:
    (workplace / "nine").mkdir()
    for number in range(1, 10):
        shutil.copy(phantom_folder / "benign" / f"benign ({number}).png", workplace / "nine")
    done = cli("gradcam", "nine", "--output", "of_nine", "--json", cwd=workplace)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [Path(one["path"]).name for one in document["figures"]] == [f"benign ({n}).png" for n in range(1, 10)]
    assert document["contact_sheets"] == ["of_nine/contact_sheet_1.png", "of_nine/contact_sheet_2.png"]
    eight, one = (read_image(workplace / sheet).shape[0] for sheet in document["contact_sheets"])
    assert eight > 4 * one


def test_gradcam_takes_the_true_mask_from_where_it_is_named(workplace: Path, phantom_folder: Path) -> None:
    shutil.copy(phantom_folder / "benign" / "benign (1).png", workplace / "named.png")
    mask = phantom_folder / "benign" / "benign (1)_mask.png"
    done = cli("gradcam", "named.png", "--mask", mask, "--output", "named", "--json", cwd=workplace)
    assert done.returncode == 0, done.stderr
    [one] = json.loads(done.stdout)["figures"]
    beside = cli("gradcam", phantom_folder / "benign" / "benign (1).png", "--output", "beside", "--json", cwd=workplace)
    assert one["faithfulness"] == json.loads(beside.stdout)["figures"][0]["faithfulness"]
    assert read_image(workplace / one["figure"]).shape == read_image(workplace / "beside/benign (1)_gradcam.png").shape
    shutil.copy(workplace / "named.png", workplace / "second.png")
    refused = cli("gradcam", "named.png", "second.png", "--mask", mask, "--output", "both", cwd=workplace)
    assert refused.returncode == 2
    assert "belongs to one image, but 2 are given" in " ".join(refused.stderr.split())


@pytest.mark.busi
def test_gradcam_on_an_image_of_each_class_of_busi(workplace: Path) -> None:
    images = [Path(os.environ["BUSI_DATA_DIR"]) / name / f"{name} (1).png" for name in CLASSES]
    done = cli("gradcam", *images, "--output", "busi", "--json", cwd=workplace)
    assert done.returncode == 0, done.stderr
    for one, image in zip(json.loads(done.stdout)["figures"], images, strict=True):
        assert one["path"] == str(image)
        height, width = read_image(image).shape[:2]
        assert all(0 <= x <= width for lesion in one["lesions"] for x in lesion["box"][::2])
        assert all(0 <= y <= height for lesion in one["lesions"] for y in lesion["box"][1::2])
        figure = read_image(workplace / one["figure"])
        assert figure.shape[1] >= 1500
        assert figure.shape[1] / figure.shape[0] > 3.5 * width / height  # five panels in a row
        assert any("phantoms" in warning for warning in one["warnings"])


def test_gradcam_explains_the_lesion_by_another_method_too(workplace: Path, phantom_folder: Path) -> None:
    options = ["--target", "lesion", "--method", "hirescam", "--format", "svg", "--colour-map", "jet"]
    done = cli("gradcam", phantom_folder / "benign" / "benign (2).png", *options, "--output", "lesion", cwd=workplace)
    assert done.returncode == 0, done.stderr
    assert "HiResCAM for lesion" in (workplace / "lesion" / "benign (2)_gradcam.svg").read_text()


def test_a_mask_of_another_size_is_a_failure_of_its_image(workplace: Path, phantom_folder: Path) -> None:
    Image.new("L", (9, 9)).save(workplace / "small.png")
    image = phantom_folder / "benign" / "benign (1).png"
    done = cli("gradcam", image, "--mask", "small.png", "--output", "never", "--json", cwd=workplace)
    assert done.returncode == 2
    failed = json.loads(done.stdout)["failed"]
    assert len(failed) == 1
    assert "9 x 9" in failed[0]["error"]
    assert not (workplace / "never").exists()


def test_an_audit_exits_1_where_something_would_distort_training(phantom_folder: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(phantom_folder, tmp_path / "data"))
    clean = cli("data", "audit", data, "--json", cwd=tmp_path)
    assert clean.returncode == 0, clean.stderr
    document = json.loads(clean.stdout)
    assert document["distorts"] is False
    assert len(document["images"]) == 48
    assert len((tmp_path / "audit" / "images.csv").read_text().splitlines()) == 49
    (data / "benign" / "benign (1)_mask.png").unlink()
    broken = cli("data", "audit", data, cwd=tmp_path)
    assert broken.returncode == 1
    assert "benign/benign (1).png shows a lesion and has no mask" in broken.stdout
    assert "shows a lesion and has no mask" in (tmp_path / "audit" / "audit.html").read_text()


def test_an_audit_names_what_a_split_has_in_two_parts(phantom_folder: Path, tmp_path: Path) -> None:
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": ["benign/benign (1).png"], "test": ["benign/benign (1).png"]}))
    leaking = cli("data", "audit", phantom_folder, "--split", split, cwd=tmp_path)
    assert leaking.returncode == 1, leaking.stderr
    assert "leak: benign/benign (1).png is in train and test" in leaking.stdout
    for parts, complaint in {
        '{"train": ["benign/benign (999).png"]}': "names benign/benign (999).png, which",
        '{"train": 7}': "is not a split (it holds no lists of names); name a run's split.json",
        "[": "is not a split",
    }.items():
        split.write_text(parts)
        refused = cli("data", "audit", phantom_folder, "--split", split, cwd=tmp_path)
        assert refused.returncode == 2
        assert complaint in " ".join(refused.stderr.split())


def test_without_a_model_the_command_that_trains_one_is_named(tmp_path: Path, phantom_folder: Path) -> None:
    for command in ("predict", "gradcam"):
        done = cli(command, phantom_folder / "benign", cwd=tmp_path)
        assert done.returncode == 2
        assert "python cli.py train --approach multitask" in done.stderr
        assert done.stdout == ""


def test_training_names_each_bad_image_and_leaves_it_out_on_request(
    tmp_path: Path, phantom_folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, which has Keras loaded already."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    data = tmp_path / "data"
    shutil.copytree(phantom_folder, data)
    (data / "benign" / "benign (2)_mask.png").unlink()
    (data / "malignant" / "malignant (1).png").write_bytes(b"")
    Image.new("L", (9, 9)).save(data / "benign" / "benign (3)_mask.png")
    mask = read_image(data / "benign" / "benign (4)_mask.png")[..., 0]
    grey = mask // 2 + np.arange(mask.shape[1], dtype=np.uint8) % 2
    Image.fromarray(grey).save(data / "benign" / "benign (4)_mask.png")
    whole = (data / "malignant" / "malignant (2).png").read_bytes()
    (data / "malignant" / "malignant (2).png").write_bytes(whole[: len(whole) // 2])
    options = ["train", "--approach", "multitask-cnn", "--data", str(data), *TINY, "--run-dir", "run", "--no-export"]
    with pytest.raises(SystemExit) as refused:
        app(options)
    assert refused.value.code == 2
    error = next(line for line in capfd.readouterr().err.splitlines() if line.startswith("error: "))
    for named in (
        "5 of 48 images",
        "benign (2).png",
        "malignant (1).png",
        "benign (3)_mask.png is 9 x 9",
        "benign (4)_mask.png is not a binary mask",
        "malignant (2).png is damaged",
        "--skip-bad",
    ):
        assert named in error
    assert not (tmp_path / "run").exists()
    with pytest.raises(SystemExit) as done:
        app([*options, "--skip-bad"])
    assert done.value.code == 0, capfd.readouterr().err
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    assert sum(map(len, split.values())) == 43


def test_a_class_without_images_is_refused(tmp_path: Path, phantom_folder: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(phantom_folder, data)
    shutil.rmtree(data / "normal")
    done = cli("train", "--data", data, *TINY, cwd=tmp_path)
    assert done.returncode == 2
    assert "class normal has no usable image" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_full_disk_ends_a_training_in_one_line_and_leaves_nothing_half_written(
    small_disk: Path, tmp_path: Path, phantom_folder: Path
) -> None:
    options = ["train", "--approach", "multitask-cnn", "--data", phantom_folder, *TINY, "--run-dir", small_disk / "run"]
    done = cli(*options, "--no-export", cwd=tmp_path)
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if "the disk is full, so " in line]
    assert "Traceback" not in done.stderr
    assert {path.name for path in (small_disk / "run").iterdir()} <= {
        "experiment.json", "split.json", "data.txt", "history.jsonl", "checkpoint",
    }  # fmt: skip
    assert not list((small_disk / "run" / "checkpoint").iterdir())


def test_where_no_file_can_be_read_nothing_is_written(workplace: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    done = cli("predict", tmp_path / "empty.png", "--output", tmp_path / "out", cwd=workplace)
    assert done.returncode == 2
    assert "failed: " in done.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("command", "fixed"), [("train", set()), ("study", {"fold"})])
def test_what_determines_a_training_is_an_option_of_train_and_study(command: str, fixed: set[str]) -> None:
    """But for the files' fingerprints and the epochs in which a pretrained encoder is frozen."""
    options = {option.name for option in typer.main.get_command(app).commands[command].params}
    fields = {field.name for field in dataclasses.fields(Experiment)}
    assert fields - options == {"fingerprint", "weights_fingerprint", "frozen_epochs"} | fixed


def test_the_version_is_printed(tmp_path: Path) -> None:
    done = cli("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, __version__, "")


def test_help_imports_neither_keras_nor_numpy() -> None:
    code = (
        "import sys; sys.argv = ['cli.py', '--help']\n"
        "try:\n    import cli; cli.app()\nexcept SystemExit as e:\n    assert e.code == 0\n"
        "assert not {'keras', 'numpy', 'tensorflow', 'rich'} & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for command in ("train", "evaluate", "predict", "gradcam", "export", "data"):
        assert command in done.stdout
