import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from busi_keras.config import CLASSES
from busi_keras.data.busi import read_busi, read_sample
from busi_keras.data.phantom_set import write_phantoms
from busi_keras.errors import UsageError

BENIGN, MALIGNANT, NORMAL = range(3)


def test_a_folder_of_phantoms_reads_as_busi(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "phantoms"
    seen: list[tuple[int, int]] = []
    write_phantoms(folder, 18, seed=4, size=64, progress=lambda done, count: seen.append((done, count)))

    assert seen == [(done, 18) for done in range(1, 19)]
    assert json.loads((folder / "phantoms.json").read_text()) == {"seed": 4, "count": 18, "size": 64}
    assert {path.name for path in folder.iterdir()} == {*CLASSES, "phantoms.json"}
    expected = {f"normal ({number}){suffix}.png" for number in (1, 2, 3) for suffix in ("", "_mask")}
    assert {path.name for path in (folder / "normal").iterdir()} == expected

    records = read_busi(folder)
    assert [sum(record.label == label for record in records) for label in range(3)] == [10, 5, 3]  # 56, 27 and 17 %
    for record in records:
        assert read_sample(record).mask.any() == (record.label != NORMAL)
        with Image.open(record.image) as image, Image.open(record.masks[0]) as mask:
            assert (image.mode, mask.mode, image.format, mask.format) == ("L", "L", "PNG", "PNG")
            assert max(image.size) == 64
            assert image.size == mask.size
            assert set(np.unique(np.asarray(mask))) <= {0, 255}
    assert len({Image.open(record.image).size for record in records}) > 3


@pytest.mark.parametrize("count", [3, 4, 5, 6, 7])
def test_the_smallest_folders_have_every_class(tmp_path: Path, count: int) -> None:
    write_phantoms(tmp_path / "phantoms", count, size=32)
    found = [record.label for record in read_busi(tmp_path / "phantoms")]
    assert len(found) == count
    assert set(found) == {BENIGN, MALIGNANT, NORMAL}


def test_an_image_is_the_same_in_a_larger_folder(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "few", 3, seed=1, size=48)
    write_phantoms(tmp_path / "many", 9, seed=1, size=48)
    few = list((tmp_path / "few").rglob("*.png"))
    assert len(few) == 6
    for path in few:
        assert path.read_bytes() == (tmp_path / "many" / path.relative_to(tmp_path / "few")).read_bytes()


def test_an_interrupted_folder_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, count: int) -> None:
        assert not (tmp_path / "phantoms").exists()
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_phantoms(tmp_path / "phantoms", 5, size=32, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_filled_and_a_full_one_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_phantoms(tmp_path / "empty", 3, size=32)
    assert (tmp_path / "empty" / "phantoms.json").exists()

    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"full exists already; name a new folder"):
        write_phantoms(tmp_path / "full", 3, size=32)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]
    with pytest.raises(UsageError, match=r"mine\.txt exists"):
        write_phantoms(tmp_path / "full" / "mine.txt", 3, size=32)


def test_files_that_appear_in_the_meantime_are_kept(tmp_path: Path) -> None:
    def someone_else_writes(done: int, count: int) -> None:
        (tmp_path / "phantoms").mkdir(exist_ok=True)
        (tmp_path / "phantoms" / "theirs.txt").write_text("theirs")

    with pytest.raises(UsageError, match="phantoms exists"):
        write_phantoms(tmp_path / "phantoms", 3, size=32, progress=someone_else_writes)
    assert [path.name for path in tmp_path.rglob("*")] == ["phantoms", "theirs.txt"]


@pytest.mark.parametrize(
    ("count", "seed", "size", "named"),
    [
        (2, 0, 64, "count is 2, .* 3 or more"),
        (3, 0, 31, "size is 31 px; ask for 32 or more"),
        (3, -1, 64, "seed is -1"),
    ],
)
def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, count: int, seed: int, size: int, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        write_phantoms(tmp_path / "phantoms", count, seed, size)
    assert list(tmp_path.iterdir()) == []
