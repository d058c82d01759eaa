"""Files to masks and tables, as one who leaves a long list of images alone relies on them."""

import csv
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from busi_keras.card import Card
from busi_keras.errors import UnreachableError, UnwritableError, UsageError
from busi_keras.imaging import read_image
from busi_keras.inference.engine import Outputs
from busi_keras.inference.paths import image_files
from busi_keras.inference.predictor import Predictor
from busi_keras.workflows.predict import predict_files, predict_paths

ROOT = Path(__file__).resolve().parents[2]
SIZE = 32
CARD = Card("multitask", SIZE, "BUSI", {}, "grouped", "none", "resnet50", {}, "test", {}, {}, "2026-11-27")


REFUSED = 77


class Server:
    """Says benign of everything, for so many batches."""

    def __init__(self, batches: int, end: BaseException | None = None) -> None:
        self._left, self._end = batches, end

    def run(self, images: np.ndarray) -> Outputs:
        if self._left == 0:
            raise self._end or UnreachableError("the server does not answer; start it again")
        if (images.max(axis=(1, 2, 3)) == REFUSED).any():
            raise UsageError("the server refuses this image")
        self._left -= 1
        empty = np.zeros(images.shape[:3], np.float32)
        return Outputs(empty, np.tile(np.float32([0.8, 0.1, 0.1]), (len(images), 1)), empty, np.ones(len(images)))


def predictor(batches: int = 99, end: BaseException | None = None) -> Predictor:
    return Predictor(Server(batches, end), CARD, batch_size=4)


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "images"
    folder.mkdir()
    files = [folder / f"scan {number}.png" for number in range(12)]
    for file in files:
        Image.fromarray(np.full((20, 30), 90, np.uint8)).save(file)
    return files


@pytest.mark.parametrize("interrupted", [False, True])
def test_what_was_predicted_before_the_end_is_in_the_tables(
    images: list[Path], tmp_path: Path, interrupted: bool
) -> None:
    for broken in (images[1], images[10]):
        broken.write_bytes(b"")
    if interrupted:
        with pytest.raises(KeyboardInterrupt):
            predict_files(predictor(2, KeyboardInterrupt()), images, tmp_path / "out")
    else:
        found = predict_files(predictor(2), images, tmp_path / "out")
        assert [one.path for one in found.failed] == [images[1], *images[9:]]
        unanswered = {one.path for one in found.failed if one.error == "the server does not answer; start it again"}
        assert unanswered == {images[9], images[11]}
    with (tmp_path / "out" / "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["path"] for row in rows] == [str(images[number]) for number in (0, *range(2, 9))]
    assert {row["label"] for row in rows} == {"benign"}
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())["predictions"]) == 8
    assert len(list((tmp_path / "out").glob("*_mask.png"))) == 8


def test_an_image_that_a_server_refuses_is_the_only_one_that_fails(images: list[Path], tmp_path: Path) -> None:
    Image.fromarray(np.full((20, 30), REFUSED, np.uint8)).save(images[5])
    found = predict_files(predictor(), images, tmp_path / "out")
    assert [(one.path, one.error) for one in found.failed] == [(images[5], "the server refuses this image")]
    assert [one.path for one in found.done] == [*images[:5], *images[6:]]


def test_true_masks_are_not_written_over(images: list[Path]) -> None:
    mask = images[0].with_name("scan 0_mask.png")
    Image.fromarray(np.full((20, 30), 255, np.uint8)).save(mask)
    before = mask.read_bytes()
    with pytest.raises(UsageError, match=r"--output .*images is the folder of .*scan 0\.png, .* name another folder"):
        predict_files(predictor(), images, images[0].parent)
    assert mask.read_bytes() == before
    assert len(list(images[0].parent.iterdir())) == 13


def test_true_masks_beside_links_to_images_are_not_written_over(images: list[Path], tmp_path: Path) -> None:
    links = tmp_path / "set"
    links.mkdir()
    for image in images:
        (links / image.name).symlink_to(image)
    with pytest.raises(UsageError, match=r"--output .*set is the folder of .*scan 0\.png"):
        predict_files(predictor(), sorted(links.iterdir()), links)
    assert len(list(links.iterdir())) == len(images)


def test_hidden_folders_hold_no_images(images: list[Path]) -> None:
    folder = images[0].parent
    for place in (folder / ".git" / "objects", folder / "sub" / ".ipynb_checkpoints"):
        place.mkdir(parents=True)
        (place / "scan 0.png").write_bytes(images[0].read_bytes())
    assert image_files([folder]) == images
    assert len(image_files([folder / ".git"])) == 1  # named itself


def test_pictures_of_an_earlier_prediction_are_no_images(images: list[Path], tmp_path: Path) -> None:
    folder = images[0].parent
    predict_files(predictor(), images[:2], folder / "predictions")
    for name in ("scan 1_gradcam.png", "contact_sheet_12.png"):
        (folder / "predictions" / name).write_bytes(images[0].read_bytes())
    assert image_files([folder]) == images
    overlay = folder / "predictions" / "scan 0_overlay.png"
    assert image_files([overlay]) == [overlay]  # named itself


def test_a_name_that_is_not_utf8_is_predicted_and_listed(images: list[Path], tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(images[0].parent) + b"/M\xfcller.png"))
    images[0].rename(odd)
    predict_files(predictor(), [odd, images[1]], tmp_path / "out")
    rows = (tmp_path / "out" / "predictions.csv").read_text().splitlines()
    assert "M\\udcfcller.png" in rows[1]
    assert len(rows) == 3
    assert (tmp_path / "out" / odd.with_name(f"{odd.stem}_mask.png").name).exists()


def test_a_name_that_is_too_long_for_its_results_is_cut(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    files = [folder / f"{'超' * 80}{number}.png" for number in range(2)]
    for file in files:
        Image.fromarray(np.full((20, 30), 90, np.uint8)).save(file)
    found = predict_files(predictor(), files, tmp_path / "out")
    assert found.failed == ()
    masks = [one.mask for one in found.done if one.mask]
    assert len(set(masks)) == 2
    assert all(mask.name.startswith("超" * 50) and mask.exists() for mask in masks)


def test_tables_of_an_earlier_run_do_not_stand_for_one_that_failed(images: list[Path], tmp_path: Path) -> None:
    predict_files(predictor(), images[:2], tmp_path / "out")
    for image in images:
        image.write_bytes(b"")
    predict_files(predictor(), images[:2], tmp_path / "out")
    document = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert document["predictions"] == []
    assert len(document["failed"]) == 2


def test_a_kill_leaves_the_tables_of_what_was_predicted_before(images: list[Path], tmp_path: Path) -> None:
    """The third batch never ends."""
    script = tmp_path / "predict.py"
    script.write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from busi_keras.workflows import predict\n"
        "from tests.workflows.test_predict import CARD, Predictor, Server\n"
        "class Slow(Server):\n"
        "    def run(self, images):\n"
        "        time.sleep(600 if self._left == 97 else 0)\n"
        "        return super().run(images)\n"
        "predict.TABLES_EVERY_S, predict.WRITING_SHARE = 0.0, 0\n"
        "files = [Path(name) for name in sys.argv[2:]]\n"
        "predict.predict_files(Predictor(Slow(99), CARD, batch_size=4), files, Path(sys.argv[1]))\n"
    )
    table = tmp_path / "out" / "predictions.csv"
    command = [sys.executable, script, table.parent, *images]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    until = time.monotonic() + 120
    while not (table.exists() and len(table.read_text().splitlines()) == 9) and time.monotonic() < until:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    with table.open(newline="") as stream:
        assert [row["path"] for row in csv.DictReader(stream)] == [str(image) for image in images[:8]]
    assert len(json.loads((table.parent / "predictions.json").read_text())["predictions"]) in (4, 8)


def test_a_full_disk_ends_a_prediction_and_leaves_whole_files(images: list[Path], small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free - 8192))
    with pytest.raises(UnwritableError, match="the disk is full, so"):
        predict_files(predictor(), images, small_disk / "out")
    for mask in (small_disk / "out").glob("*_mask.png"):
        assert read_image(mask).shape == (20, 30, 3)
    assert list((small_disk / "out").glob(".*")) == []


def test_a_server_that_switches_to_another_version_is_said_to(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    url = "http://localhost:8501"
    served = {"card": CARD}
    monkeypatch.setattr(Predictor, "connect", lambda _: Predictor(Server(99), served["card"], batch_size=4))
    with caplog.at_level(logging.WARNING):
        predict_paths(None, images, tmp_path / "out", url)
    assert caplog.text == ""

    class Switching(Server):
        def run(self, images: np.ndarray) -> Outputs:
            served["card"] = replace(CARD, date="2026-11-28")
            return super().run(images)

    monkeypatch.setattr(Predictor, "connect", lambda _: Predictor(Switching(99), served["card"], batch_size=4))
    with caplog.at_level(logging.WARNING):
        predict_paths(None, images, tmp_path / "again", url)
    assert f"{url} has switched to another version of the model" in caplog.text
