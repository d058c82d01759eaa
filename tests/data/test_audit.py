import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from busi_keras.data.audit import ImageFacts, audit
from busi_keras.data.busi import read_busi
from busi_keras.data.marks import MARKED, mark_score
from busi_keras.imaging import read_image


@pytest.fixture
def folder(phantom_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(phantom_folder, tmp_path / "data"))


def facts(folder: Path) -> dict[str, ImageFacts]:
    return {image.name: image for image in audit(read_busi(folder)).images}


def test_phantoms_are_clean(folder: Path) -> None:
    found = audit(read_busi(folder))
    assert len(found.images) == 48
    assert not found.distorts
    assert found.groups == ()
    one = found.images[0]
    image = read_image(folder / one.name)
    assert (one.height, one.width) == image.shape[:2]
    assert one.brightness == pytest.approx(image.mean())
    assert 0 < one.lesion_share < 1


def test_each_defect_is_named(folder: Path) -> None:
    benign = folder / "benign"
    (benign / "benign (1)_mask.png").unlink()
    Image.new("L", (9, 9)).save(benign / "benign (2)_mask.png")
    mask = np.asarray(Image.open(benign / "benign (3)_mask.png"))
    Image.new("L", mask.shape[::-1]).save(benign / "benign (3)_mask.png")
    (benign / "benign (4).png").write_bytes((benign / "benign (4).png").read_bytes()[:90])
    normal = folder / "normal" / "normal (1).png"
    Image.new("L", Image.open(normal).size, 255).save(normal.with_name("normal (1)_mask.png"))
    Image.new("L", Image.open(benign / "benign (5).png").size).save(benign / "benign (5)_mask_1.png")
    found = facts(folder)
    for name, problem in {
        "benign/benign (1).png": "has no mask",
        "benign/benign (2).png": "is 9 x 9",
        "benign/benign (3).png": "its mask benign (3)_mask.png is empty",
        "benign/benign (4).png": "is damaged",
        "benign/benign (5).png": "its mask benign (5)_mask_1.png is empty",
        "normal/normal (1).png": "its mask is not empty",
    }.items():
        (sentence,) = found[name].problems
        assert problem in sentence
    assert found["benign/benign (4).png"].brightness is None
    assert sum(bool(image.problems) for image in found.values()) == 6
    assert found["benign/benign (5).png"].remarks[0] == "2 masks"


def test_one_image_under_two_labels_conflicts(folder: Path) -> None:
    rng = np.random.default_rng(0)
    scan = Image.fromarray(rng.integers(0, 255, (24, 32), np.uint8)).resize((400, 300), Image.Resampling.BICUBIC)
    for name in ("benign/benign (90)", "malignant/malignant (91)"):
        scan.save(folder / f"{name}.png")
        Image.fromarray(np.full((300, 400), 255, np.uint8)).save(folder / f"{name}_mask.png")
    found = audit(read_busi(folder))
    pair = ("benign/benign (90).png", "malignant/malignant (91).png")
    assert pair in found.groups
    assert found.conflicts == (pair,)
    assert found.identical == (pair,)
    assert found.distorts


def test_a_split_that_tears_a_group_apart_leaks(folder: Path) -> None:
    rng = np.random.default_rng(0)
    scan = Image.fromarray(rng.integers(0, 255, (24, 32), np.uint8)).resize((400, 300), Image.Resampling.BICUBIC)
    for number in (1, 2):
        scan.save(folder / "normal" / f"normal ({90 + number}).png")
    names = ["normal/normal (91).png", "normal/normal (92).png"]
    parts = {"train": [names[0], "benign/benign (1).png"], "test": [names[1], "benign/benign (1).png"]}
    leaks = audit(read_busi(folder), parts).leaks
    assert leaks == (
        "benign/benign (1).png is in train and test",
        f"{names[0]}, {names[1]} show the same frame and are in test and train",
    )
    assert audit(read_busi(folder), {"train": names, "test": []}).leaks == ()


def test_what_is_unusual_is_remarked(folder: Path) -> None:
    image = folder / "normal" / "normal (1).png"
    Image.fromarray(np.full((640, 640, 3), [240, 10, 10], np.uint8)).save(image)
    remarks = facts(folder)["normal/normal (1).png"].remarks
    assert {"coloured", "unusual size", "unusual contrast"} <= set(remarks)


def test_a_lesion_that_is_marked_beside_the_scan_is_remarked(folder: Path) -> None:
    rng = np.random.default_rng(2)
    image, mask = np.zeros((100, 900, 3), np.uint8), np.zeros((100, 900), np.uint8)
    image[:, :100] = rng.integers(20, 200, (100, 100, 1))
    mask[20:60, 80:120] = 255
    Image.fromarray(image).save(folder / "benign" / "benign (1).png")
    Image.fromarray(mask).save(folder / "benign" / "benign (1)_mask.png")
    remarks = facts(folder)["benign/benign (1).png"].remarks
    assert {"50% of the mask lies where the image is black", "unusual shape"} <= set(remarks)


def test_drawn_marks_and_unusual_brightness_are_remarked(folder: Path) -> None:
    Image.fromarray(with_text(grey_scan())).save(folder / "normal" / "normal (1).png")
    Image.fromarray(np.random.default_rng(1).integers(240, 250, (64, 64), np.uint8)).save(
        folder / "normal" / "normal (2).png"
    )
    found = facts(folder)
    assert "marks are drawn on it" in found["normal/normal (1).png"].remarks
    assert "unusual brightness" in found["normal/normal (2).png"].remarks


def test_text_drawn_on_an_image_raises_the_score() -> None:
    scan = grey_scan()
    assert mark_score(scan) < MARKED < mark_score(with_text(scan))


def grey_scan() -> np.ndarray:
    grey = np.clip(np.random.default_rng(1).normal(90, 25, (400, 500)), 0, 255).astype(np.uint8)
    return np.stack([grey] * 3, axis=2)


def with_text(scan: np.ndarray) -> np.ndarray:
    drawn = Image.fromarray(scan)
    ImageDraw.Draw(drawn).text((30, 350), "RT UOQ 10:00", fill="white", font_size=28)
    return np.asarray(drawn)


def test_where_most_images_are_of_one_size_only_a_far_one_is_unusual(folder: Path) -> None:
    for file in folder.glob("*/*.png"):
        size = {"normal/normal (1).png": (640, 640), "normal/normal (2).png": (64, 63)}
        Image.open(file).resize(size.get(f"{file.parent.name}/{file.name.replace('_mask', '')}", (64, 64))).save(file)
    unusual = {name for name, one in facts(folder).items() if "unusual size" in one.remarks}
    assert unusual == {"normal/normal (1).png"}
