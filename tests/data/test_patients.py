"""Images of one patient stay in one part of a split."""

import json
from pathlib import Path

import pytest

from busi_keras.data.audit import audit
from busi_keras.data.busi import read_busi
from busi_keras.data.patients import PATIENTS_FILE, add_patients, patients_among, read_patients, united
from busi_keras.data.phantom_set import write_phantoms
from busi_keras.errors import UsageError


def test_groups_are_united_where_they_touch() -> None:
    assert united([["a", "b"], ["c", "d"]], [["b", "c"], ["e", "f"]]) == [["a", "b", "c", "d"], ["e", "f"]]
    assert united([], [["a", "b"]]) == [["a", "b"]]
    assert united() == []


def test_patients_are_added_to_those_that_are_there(tmp_path: Path) -> None:
    add_patients(tmp_path, [])
    assert read_patients(tmp_path) == []
    assert not (tmp_path / PATIENTS_FILE).exists()
    add_patients(tmp_path, [["benign/a.png", "normal/b.png"]])
    add_patients(tmp_path, [["normal/b.png", "normal/c.png"], ["benign/d.png", "benign/e.png"]])
    assert read_patients(tmp_path) == [
        ["benign/a.png", "normal/b.png", "normal/c.png"],
        ["benign/d.png", "benign/e.png"],
    ]


def test_only_images_that_are_there_count(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_phantoms(tmp_path / "data", 12, seed=0, size=64)
    records = read_busi(tmp_path / "data")
    here = [records[0].name, records[-1].name]
    add_patients(tmp_path / "data", [[*here, "benign/gone.png"], [records[3].name, "benign/gone too.png"]])
    assert [set(group) for group in patients_among(records)] == [set(here)]
    assert "2 of the 5 names in " in caplog.text
    assert "are those of no file, 'benign/gone.png' for one; write names as 'benign/NAME.png'" in caplog.text


def test_a_list_that_names_no_image_is_refused(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "data", 12, seed=0, size=64)
    records = read_busi(tmp_path / "data")
    add_patients(tmp_path / "data", [[record.image.name for record in records]])
    with pytest.raises(UsageError, match=r"12 of the 12 names in .*patients\.json are those of no file, 'benign \(1\)"):
        patients_among(records)


@pytest.mark.parametrize("content", ["{}x", '{"a": 1}', "[[1, 2]]", "[1]"])
def test_a_damaged_list_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / PATIENTS_FILE).write_text(content)
    with pytest.raises(
        UsageError, match=r"patients\.json is not a list of groups of image names; fix it, or remove it"
    ):
        read_patients(tmp_path)


def test_a_split_that_tears_a_patient_apart_leaks(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "data", 12, seed=0, size=64)
    records = read_busi(tmp_path / "data")
    one, other = records[0].name, records[-1].name
    (tmp_path / "data" / PATIENTS_FILE).write_text(json.dumps([[one, other]]))
    found = audit(records, {"train": [one], "test": [other]})
    assert found.leaks == (f"{one}, {other} are from the same patient and are in test and train",)
    assert found.conflicts == ()  # of two classes, and no contradiction: a patient may have two lesions
