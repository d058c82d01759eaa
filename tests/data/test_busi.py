import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from busi_keras.config import CLASSES, NORMAL
from busi_keras.data.busi import (
    BUSI_COUNTS,
    Record,
    fingerprint,
    first_mask_only,
    mask_files,
    masks_alone,
    natural_order,
    passed_over,
    read_busi,
    read_masks,
    read_sample,
)
from busi_keras.errors import UsageError
from busi_keras.imaging import read_image

BENIGN, MALIGNANT = 0, 1


Box = tuple[int, int, int, int]


def draw(path: Path, box: Box | None = None, size: tuple[int, int] = (40, 30)) -> Path:
    """A grey image, or with a box (x0, y0, x1, y1) its mask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("L", size, 0 if box else 90)
    if box:
        image.paste(255, box)
    image.save(path, "PNG")
    return path


def read_names(folder: Path) -> list[str]:
    return [record.name for record in read_busi(folder)]


def test_records_come_class_by_class_and_in_natural_order(tmp_path: Path) -> None:
    for name in ("normal/normal (1)", "malignant/malignant (3)", *(f"benign/benign ({n})" for n in (10, 2, 1, 21))):
        draw(tmp_path / f"{name}.png")
        draw(tmp_path / f"{name}_mask.png", (5, 5, 9, 9))
    records = read_busi(tmp_path)
    assert [record.name for record in records] == [
        "benign/benign (1).png",
        "benign/benign (2).png",
        "benign/benign (10).png",
        "benign/benign (21).png",
        "malignant/malignant (3).png",
        "normal/normal (1).png",
    ]
    assert [CLASSES[record.label] for record in records] == ["benign"] * 4 + ["malignant", "normal"]
    assert records[1] == Record(
        "benign/benign (2).png",
        tmp_path / "benign" / "benign (2).png",
        (tmp_path / "benign" / "benign (2)_mask.png",),
        BENIGN,
    )


def test_numbers_in_names_count_as_numbers() -> None:
    names = ["b²", "b03x", "a (10)_mask", "a (10)", "b3", "a (2)", "a (1)"]
    assert sorted(names, key=natural_order) == ["a (1)", "a (2)", "a (10)", "a (10)_mask", "b3", "b03x", "b²"]
    assert natural_order("a01") != natural_order("a1")


def test_several_masks_are_united(tmp_path: Path) -> None:
    image = draw(tmp_path / "benign" / "benign (4).png")
    draw(tmp_path / "benign" / "benign (4)_mask_2.png", (30, 20, 40, 30))
    draw(tmp_path / "benign" / "benign (4)_mask.png", (0, 0, 10, 10))
    draw(tmp_path / "benign" / "benign (4)_mask_1.png", (5, 5, 15, 15))
    draw(tmp_path / "benign" / "benign (44).png")
    draw(tmp_path / "benign" / "benign (44)_mask.png", (0, 0, 40, 30))
    record, _ = read_busi(tmp_path)
    assert [path.stem for path in record.masks] == ["benign (4)_mask", "benign (4)_mask_1", "benign (4)_mask_2"]
    assert mask_files(image) == list(record.masks)
    sample = read_sample(record)
    assert (sample.image.shape, sample.mask.shape, sample.mask.dtype) == ((30, 40, 3), (30, 40), np.bool_)
    assert sample.mask.sum() == 100 + 100 - 25 + 100
    assert (sample.image == 90).all()
    (original, _) = first_mask_only([record, record])
    assert original.masks == record.masks[:1]
    assert read_sample(original).mask.sum() == 100
    (without,) = first_mask_only([replace(record, masks=record.masks[1:])])
    assert without.masks == ()


def test_a_normal_image_without_a_mask_has_an_empty_one(tmp_path: Path) -> None:
    draw(tmp_path / "normal" / "normal (1).png")
    (record,) = read_busi(tmp_path)
    assert record.masks == ()
    assert record.label == NORMAL
    mask = read_sample(record).mask
    assert mask.shape == (30, 40)
    assert not mask.any()


def test_a_lesion_without_a_mask_is_refused_by_name(tmp_path: Path) -> None:
    image = draw(tmp_path / "malignant" / "malignant (5).png")
    (record,) = read_busi(tmp_path)
    with pytest.raises(UsageError) as refusal:
        read_sample(record)
    assert str(refusal.value) == (f"{image} shows a lesion and has no mask malignant (5)_mask.png beside it; add it")


@pytest.mark.parametrize(
    ("name", "box", "complaint"),
    [
        ("benign", (0, 0, 0, 0), "shows a lesion, but benign (1)_mask.png is empty; draw the lesion"),
        ("normal", (0, 0, 5, 5), "is normal, but normal (1)_mask.png is not empty; fix one of the two"),
    ],
)
def test_a_mask_that_contradicts_its_class_is_refused(name: str, box: Box, complaint: str, tmp_path: Path) -> None:
    image = draw(tmp_path / name / f"{name} (1).png")
    draw(tmp_path / name / f"{name} (1)_mask.png", box)
    (record,) = read_busi(tmp_path)
    with pytest.raises(UsageError) as refusal:
        read_sample(record)
    assert str(refusal.value) == f"{image} {complaint}"


def test_a_name_that_is_not_utf8_has_a_fingerprint(tmp_path: Path) -> None:
    plain = draw(tmp_path / "normal" / "a.png")
    plain.rename(os.fsdecode(os.fsencode(plain.parent) + b"/M\xfcller.png"))
    assert len(fingerprint(read_busi(tmp_path))) == 16


def test_a_mask_of_another_size_is_refused_by_name(tmp_path: Path) -> None:
    image = draw(tmp_path / "benign" / "benign (1).png")
    mask = draw(tmp_path / "benign" / "benign (1)_mask.png", (0, 0, 5, 5), size=(30, 40))
    (record,) = read_busi(tmp_path)
    with pytest.raises(UsageError) as refusal:
        read_sample(record)
    assert str(refusal.value).startswith(f"{mask} is 30 x 40, but {image} is 40 x 30; ")
    with pytest.raises(UsageError, match="30 x 40"):
        read_masks([mask], image, read_image(image))


def test_a_broken_file_is_found_when_it_is_read_and_not_before(tmp_path: Path) -> None:
    image = draw(tmp_path / "benign" / "benign (1).png")
    draw(tmp_path / "benign" / "benign (1)_mask.png", (0, 0, 5, 5))
    image.write_bytes(b"")
    (record,) = read_busi(tmp_path)
    with pytest.raises(UsageError, match=r"benign \(1\)\.png is not a readable image"):
        read_sample(record)


def test_suffixes_in_capitals_and_other_formats_count(tmp_path: Path) -> None:
    draw(tmp_path / "benign" / "A.PNG")
    draw(tmp_path / "benign" / "A_mask.Png", (0, 0, 2, 2))
    Image.new("L", (8, 8)).save(tmp_path / "benign" / "b.JPEG")
    Image.new("L", (8, 8)).save(tmp_path / "benign" / "c.tif")
    first, *others = read_busi(tmp_path)
    assert (first.name, [path.name for path in first.masks]) == ("benign/A.PNG", ["A_mask.Png"])
    assert [record.name for record in others] == ["benign/b.JPEG", "benign/c.tif"]


def test_files_that_are_no_images_are_passed_over(tmp_path: Path) -> None:
    draw(tmp_path / "benign" / "benign (1).png")
    for name in ("._benign (1).png", ".hidden.png", "Thumbs.db", "notes.txt"):
        (tmp_path / "benign" / name).touch()
    draw(tmp_path / "benign" / ".benign (1)_mask.png", (0, 0, 2, 2))
    draw(tmp_path / "other" / "other (1).png")
    draw(tmp_path / ".thumbnails" / "benign (1).png")
    (tmp_path / "benign" / "older").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").touch()
    assert read_names(tmp_path) == ["benign/benign (1).png"]
    (tmp_path / "normal").touch()
    is_file, entries, folder = passed_over(tmp_path)
    assert is_file == "normal is a file, not a folder of images"
    assert entries.startswith("benign: 3 entries are not read, Thumbs.db for one; images end in .png, ")
    assert folder == "other: its images are not read; classes are benign, malignant, normal"
    assert mask_files(tmp_path / "benign" / "benign (1).png") == []


def test_a_class_may_be_missing(tmp_path: Path) -> None:
    draw(tmp_path / "malignant" / "malignant (1).png")
    (record,) = read_busi(tmp_path)
    assert record.label == MALIGNANT


def test_a_folder_not_in_busis_layout_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere is not a folder; name one that holds benign, malignant, normal"):
        read_busi(tmp_path / "nowhere")
    image = draw(tmp_path / "loose" / "image.png")
    with pytest.raises(UsageError, match=r"image\.png is not a folder"):
        read_busi(image)
    with pytest.raises(UsageError, match="loose has none of the folders benign, malignant, normal; name the folder"):
        read_busi(tmp_path / "loose")
    for name in CLASSES:
        (tmp_path / "empty" / name).mkdir(parents=True)
    with pytest.raises(UsageError, match="empty holds no image in benign, malignant, normal; name a folder in"):
        read_busi(tmp_path / "empty")


@pytest.fixture(scope="module")
def busi() -> list[Record]:
    return read_busi(Path(os.environ["BUSI_DATA_DIR"]))


@pytest.mark.busi
def test_busi_has_780_images_and_798_masks(busi: list[Record]) -> None:
    assert len(busi) == 780
    assert [sum(record.label == label for record in busi) for label in range(3)] == [437, 210, 133]
    assert BUSI_COUNTS == {"benign": 437, "malignant": 210, "normal": 133}
    masks = [len(record.masks) for record in busi]
    assert sum(masks) == 798
    assert {n: masks.count(n) for n in set(masks)} == {1: 763, 2: 16, 3: 1}


@pytest.mark.busi
def test_every_busi_image_is_read_with_a_mask_of_its_size(busi: list[Record]) -> None:
    coloured = 0
    for record in busi:
        sample = read_sample(record)
        height, width = sample.mask.shape
        assert sample.image.shape == (height, width, 3)
        assert 190 <= width <= 1048
        assert 310 <= height <= 719
        assert sample.mask.any() == (record.label != NORMAL), record.name
        coloured += bool((sample.image != sample.image[..., :1]).any())
    assert coloured == 16


def test_a_mask_is_one_in_upper_case_too(tmp_path: Path) -> None:
    draw(tmp_path / "benign" / "A.PNG")
    draw(tmp_path / "benign" / "A_MASK.PNG", (0, 0, 5, 5))
    draw(tmp_path / "benign" / "A_Mask_1.png", (9, 9, 12, 12))
    (record,) = read_busi(tmp_path)
    assert [path.name for path in record.masks] == ["A_MASK.PNG", "A_Mask_1.png"]
    assert read_sample(record).mask.sum() == 25 + 9
    assert [path.name for path in first_mask_only([record])[0].masks] == ["A_MASK.PNG"]


def test_masks_whose_image_is_not_there_are_named(tmp_path: Path) -> None:
    draw(tmp_path / "benign" / "a.png")
    draw(tmp_path / "benign" / "a_mask.png", (0, 0, 5, 5))
    alone = [draw(tmp_path / "benign" / f"{name}.png", (0, 0, 5, 5)) for name in ("b (2)_mask", "b (10)_MASK_1")]
    assert masks_alone(tmp_path) == alone
    for path in alone:
        path.unlink()
    assert masks_alone(tmp_path) == []
