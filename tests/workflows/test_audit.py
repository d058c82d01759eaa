"""`data audit` as a user calls it: what the page, the table and the summary say of a folder."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from busi_keras.config import BUSI_FOLDER
from busi_keras.data.patients import add_patients
from busi_keras.workflows.audit import audit_folder
from busi_keras.workflows.data_set import find_groups


def test_what_the_reader_passes_over_is_named(phantom_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(phantom_folder, tmp_path / "data"))
    assert not audit_folder(folder, tmp_path / "audit").audit.distorts
    shutil.rmtree(folder / "normal")
    lesions = audit_folder(folder, tmp_path / "audit")
    assert "no image of class normal: only protocol lesion-70-30 and --external accept" in lesions.summary()
    assert not lesions.audit.distorts
    (folder / "malignant").rename(folder / "carcinoma")
    renamed = audit_folder(folder, tmp_path / "audit")
    assert "no image of class malignant: only --external accepts such a folder" in renamed.summary()
    assert "carcinoma: its images are not read; classes are benign, malignant, normal" in renamed.summary()
    assert "Not read: 1<" in renamed.page.read_text()

    image = folder / "benign" / "benign (3).png"
    image.unlink()
    audited = audit_folder(folder, tmp_path / "audit")
    assert f"{image.with_stem('benign (3)_mask')} is a mask whose image is missing" in audited.summary()
    assert "Masks without an image: 1<" in audited.page.read_text()
    assert audited.audit.distorts


def test_leaks_are_spoken_of_where_a_split_is_given_alone(phantom_folder: Path, tmp_path: Path) -> None:
    plain = audit_folder(phantom_folder, tmp_path / "plain")
    assert plain.to_json()["leaks"] is None
    assert "parts of the split" not in plain.page.read_text()
    (tmp_path / "split.json").write_text(json.dumps({"train": ["benign/benign (1).png"], "test": []}))
    split = audit_folder(phantom_folder, tmp_path / "split", tmp_path / "split.json")
    assert split.to_json()["leaks"] == ()
    assert "Leaks between parts of the split: none" in split.page.read_text()


def test_patients_are_counted_and_kaggles_outer_folder_will_do(phantom_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(phantom_folder, tmp_path / "archive" / BUSI_FOLDER))
    add_patients(folder, [["benign/benign (1).png", "benign/benign (2).png"], ["normal/normal (1).png"] * 2])
    audited = audit_folder(tmp_path / "archive", tmp_path / "audit")
    assert "2 images share a patient with another image" in audited.summary()
    assert '<td>that share a patient with another image</td><td class="n">2</td>' in audited.page.read_text()
    assert find_groups(tmp_path / "archive") == [list(group) for group in audited.audit.groups]


def test_remarks_are_counted_by_image_and_names_need_not_be_utf8(phantom_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(phantom_folder, tmp_path / "data"))
    normal = folder / "normal"
    for number in (1, 2):
        Image.fromarray(np.full((64, 64, 3), [240, 10, 10 * number], np.uint8)).save(normal / f"normal ({number}).png")
    for ending in (b".png", b"_mask.png"):
        (normal / f"normal (2){ending.decode()}").rename(normal / os.fsdecode(b"M\xfc (2)" + ending))
    audited = audit_folder(folder, tmp_path / "audit")
    remarked = sum(bool(image.remarks) for image in audited.audit.images)
    assert remarked >= 2
    assert f"Remarks: {remarked}<".encode() in audited.page.read_bytes()
    assert b"normal/M\xfc (2).png" in audited.page.read_bytes()
    assert b"normal/M\xfc (2).png,normal" in audited.table.read_bytes()
