"""Corrections in BUSI's layout: numbers, pairs that give way, phantoms apart, and what is refused."""

import json
import os
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from busi_keras.data.busi import read_busi, read_sample
from busi_keras.data.corrections import Provenance, save_correction
from busi_keras.data.source import find_source
from busi_keras.errors import UnwritableError, UsageError

BEFORE = Provenance("malignant", "multitask resnet50", "2026-11-24T12:00:00+00:00")


def pair(value: int) -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros((20, 30), bool)
    mask[5:9, 5:9] = True
    return np.full((20, 30, 3), value, np.uint8), mask


def test_pairs_are_numbered_and_read_as_a_data_set(tmp_path: Path) -> None:
    for value in (10, 20):
        save_correction(tmp_path, *pair(value), "benign", BEFORE)
    save_correction(tmp_path, pair(30)[0], np.zeros((20, 30), bool), "normal", BEFORE)
    records = read_busi(tmp_path)
    assert [record.name for record in records] == [
        "benign/benign (1).png",
        "benign/benign (2).png",
        "normal/normal (1).png",
    ]
    for record, value in zip(records, (10, 20, 30), strict=True):
        assert (read_sample(record).image == value).all()
    assert read_sample(records[0]).mask.sum() == 16
    assert find_source(str(tmp_path)).phantom is False


def test_the_same_image_corrected_again_takes_its_old_place(tmp_path: Path) -> None:
    image, mask = pair(10)
    save_correction(tmp_path, image, mask, "benign", BEFORE)
    save_correction(tmp_path, image, np.ones_like(mask), "benign", BEFORE)
    [record] = read_busi(tmp_path)
    assert read_sample(record).mask.all()
    assert save_correction(tmp_path, image, mask, "malignant", BEFORE) == Path("malignant/malignant (1).png")
    assert [record.name for record in read_busi(tmp_path)] == ["malignant/malignant (1).png"]
    assert not list((tmp_path / "benign").iterdir())
    [noted] = json.loads((tmp_path / "corrections.json").read_text()).values()
    assert noted == {
        "file": "malignant/malignant (1).png", "label": "malignant", "predicted": "malignant",
        "model": "multitask resnet50", "date": "2026-11-24T12:00:00+00:00",
    }  # fmt: skip


def test_phantoms_make_a_data_set_of_their_own_that_says_so(tmp_path: Path) -> None:
    image, mask = pair(10)
    assert save_correction(tmp_path, image, mask, "benign", BEFORE, phantom=True) == Path(
        "phantoms/benign/benign (1).png"
    )
    assert find_source(str(tmp_path / "phantoms")).phantom is True
    with pytest.raises(UsageError, match="has none of the folders"):
        read_busi(tmp_path)


def test_a_place_that_another_image_has_taken_is_left_to_it(tmp_path: Path) -> None:
    (first, mask), (second, _) = pair(10), pair(20)
    file = tmp_path / save_correction(tmp_path, first, mask, "benign", BEFORE)
    file.unlink()
    file.with_name("benign (1)_mask.png").unlink()
    assert tmp_path / save_correction(tmp_path, second, mask, "benign", BEFORE) == file
    other = np.roll(mask, 3)
    assert save_correction(tmp_path, first, other, "malignant", BEFORE) == Path("malignant/malignant (1).png")
    assert save_correction(tmp_path, first, other, "benign", BEFORE) == Path("benign/benign (2).png")
    records = read_busi(tmp_path)
    assert [record.name for record in records] == ["benign/benign (1).png", "benign/benign (2).png"]
    assert (read_sample(records[0]).image == 20).all()
    assert (read_sample(records[0]).mask == mask).all()
    assert (read_sample(records[1]).mask == other).all()


def test_what_a_kill_left_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "benign").mkdir()
    (tmp_path / "benign" / "benign (1)_mask.png").write_bytes(b"")
    assert save_correction(tmp_path, *pair(10), "benign", BEFORE) == Path("benign/benign (2).png")
    assert [record.name for record in read_busi(tmp_path)] == ["benign/benign (2).png"]


def test_a_damaged_index_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "corrections.json").write_text("{")
    with pytest.raises(UsageError, match=r"corrections\.json cannot be read .*; move it away"):
        save_correction(tmp_path, *pair(10), "benign", BEFORE)
    assert [path.name for path in tmp_path.iterdir()] == ["corrections.json"]


def test_a_known_pair_keeps_its_image_and_on_a_full_disk_its_mask(small_disk: Path) -> None:
    folder = small_disk / "corrections"
    image, mask = pair(10)
    file = folder / save_correction(folder, image, mask, "benign", BEFORE)
    written = file.stat()
    save_correction(folder, image, np.roll(mask, 3), "benign", BEFORE)
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free - 4096))  # the mask fits, no index
    with pytest.raises(UnwritableError, match=r"corrections\.json was not written"):
        save_correction(folder, image, np.ones_like(mask), "benign", BEFORE)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")
def test_who_saves_to_the_same_folder_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    others = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(others, fcntl.LOCK_EX)
    lock, asked = fcntl.flock, threading.Event()
    monkeypatch.setattr(fcntl, "flock", lambda *arguments: (asked.set(), lock(*arguments)))
    saving = threading.Thread(target=save_correction, args=(tmp_path, *pair(10), "benign", BEFORE))
    saving.start()
    assert asked.wait(20)
    saving.join(0.3)
    assert saving.is_alive()
    assert not list(tmp_path.iterdir())
    os.close(others)
    saving.join(20)
    assert [record.name for record in read_busi(tmp_path)] == ["benign/benign (1).png"]
