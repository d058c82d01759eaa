"""`data audit` as a user calls it: what the page, the table and the summary say of a folder."""

import os
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from busi_keras.workflows.audit import audit_folder


def test_what_the_reader_passes_over_is_named(phantom_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(phantom_folder, tmp_path / "data"))
    assert not audit_folder(folder, tmp_path / "audit").audit.distorts
    shutil.rmtree(folder / "normal")
    lesions = audit_folder(folder, tmp_path / "audit")
    assert "no image of class normal: only protocol lesion-70-30 and --external accept" in lesions.summary()
    assert not lesions.audit.distorts

    image = folder / "benign" / "benign (3).png"
    image.unlink()
    audited = audit_folder(folder, tmp_path / "audit")
    assert f"{image.with_stem('benign (3)_mask')} is a mask whose image is missing" in audited.summary()
    assert "Masks without an image: 1<" in audited.page.read_text()
    assert audited.audit.distorts


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
