"""Which images a protocol uses, before anything is trained."""

from dataclasses import replace
from pathlib import Path

import pytest

from busi_keras.config import Experiment
from busi_keras.data.busi import Record, read_busi
from busi_keras.data.split import PARTS
from busi_keras.errors import UsageError
from busi_keras.workflows.data_set import new_split

ASKED = Experiment("multitask-cnn", "phantom")


def of_class(records: list[Record], *names: str) -> list[Record]:
    return [record for record in records if record.name.split("/")[0] in names]


def test_lesion_protocol_leaves_normal_images_out_and_needs_none(phantom_folder: Path) -> None:
    records = read_busi(phantom_folder)
    asked = replace(ASKED, protocol="lesion-70-30", folds=3)
    lesions = of_class(records, "benign", "malignant")
    split = new_split(asked, records)
    assert {*split.train, *split.validation} == {record.name for record in lesions}
    assert split.test == ()
    assert new_split(asked, lesions) == split
    with pytest.raises(UsageError, match="class malignant has no image that can be used; benign and malignant are"):
        new_split(asked, of_class(records, "benign", "normal"))


def test_near_duplicates_that_are_known_are_not_looked_for(phantom_folder: Path) -> None:
    records = read_busi(phantom_folder)
    names = sorted(record.name for record in records if record.name.startswith("benign"))
    asked = replace(ASKED, protocol="kfold", folds=3)
    splits = [new_split(replace(asked, fold=fold), records, near_duplicates=[names[:4]]) for fold in range(3)]
    for split in splits:
        assert sum(not set(names[:4]).isdisjoint(split.part(part)) for part in PARTS) == 1
    assert new_split(asked, records, near_duplicates=[]) == new_split(asked, records)


def test_the_other_protocols_need_all_three_classes(phantom_folder: Path) -> None:
    with pytest.raises(UsageError, match="class normal has no image"):
        new_split(replace(ASKED, protocol="kfold"), of_class(read_busi(phantom_folder), "benign", "malignant"))
