import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from busi_keras.config import CLASSES
from busi_keras.data.busi import BUSI_COUNTS, Record, read_busi
from busi_keras.data.split import (
    PARTS,
    Split,
    grouped_split,
    kfold_split,
    lesion_split,
    limited,
    seed_split,
    whole_split,
)
from busi_keras.errors import UsageError

Groups = dict[str, str]


def records_of(counts: tuple[int, int, int]) -> list[Record]:
    """So many images of each class; the files are not there."""
    return [
        Record(f"{name}/{name} ({n}).png", Path(f"{name} ({n}).png"), (), label)
        for label, name in enumerate(CLASSES)
        for n in range(1, counts[label] + 1)
    ]


@st.composite
def grouped_records(draw: st.DrawFn, most_in_a_group: int = 7, mixed: bool = False) -> tuple[list[Record], Groups]:
    """Records in groups of near-duplicates; with `mixed`, groups may hold several classes, as eight of BUSI's do."""
    records = records_of(draw(st.tuples(*[st.integers(12, 60)] * 3)))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    order = random.permutation(len(records)) if mixed else np.arange(len(records))
    group_of: Groups = {}
    start = 0
    while start < len(order):
        members = [records[i] for i in order[start : start + random.integers(1, most_in_a_group + 1)]]
        members = [record for record in members if mixed or record.label == members[0].label]
        group_of |= {record.name: members[0].name for record in members}
        start += len(members)
    return records, group_of


def alone(records: list[Record]) -> Groups:
    return {record.name: record.name for record in records}


def parts_of(split: Split) -> dict[str, str]:
    return {name: part for part in PARTS for name in split.part(part)}


def class_counts(names: tuple[str, ...]) -> Counter[str]:
    return Counter(name.split("/")[0] for name in names)


def assert_sound(split: Split, records: list[Record], group_of: Groups) -> None:
    """Disjoint, complete, no group torn apart, every class in every part."""
    names = [*split.train, *split.validation, *split.test]
    assert len(names) == len(set(names))
    assert set(names) == {record.name for record in records}
    part_of = parts_of(split)
    assert all(part_of[name] == part_of[group] for name, group in group_of.items())
    for part in PARTS:
        assert set(class_counts(split.part(part))) == set(CLASSES)


@settings(max_examples=40, deadline=None)
@given(grouped_records(), st.integers(0, 1000))
def test_a_grouped_split_is_sound(data: tuple[list[Record], Groups], seed: int) -> None:
    records, group_of = data
    for name in CLASSES:
        assume(len({group for member, group in group_of.items() if member.startswith(name)}) >= 3)
    assert_sound(grouped_split(records, group_of, seed), records, group_of)


@settings(max_examples=40, deadline=None)
@given(grouped_records(most_in_a_group=4, mixed=True), st.integers(0, 1000))
def test_groups_of_several_classes_stay_together_too(data: tuple[list[Record], Groups], seed: int) -> None:
    records, group_of = data
    try:
        split = grouped_split(records, group_of, seed)
    except UsageError:  # a part would go without a class; three classes' groups can be tied so that none fits
        assume(False)
    assert_sound(split, records, group_of)


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.integers(20, 150)] * 3), st.integers(0, 1000))
def test_shares_are_70_15_15_in_every_class(counts: tuple[int, int, int], seed: int) -> None:
    records = records_of(counts)
    split = grouped_split(records, alone(records), seed)
    for part, share in zip(PARTS, (0.70, 0.15, 0.15), strict=True):
        found = class_counts(split.part(part))
        for name, count in zip(CLASSES, counts, strict=True):
            assert abs(found[name] - share * count) <= (2 if part == "train" else 1)


@settings(max_examples=30, deadline=None)
@given(grouped_records(most_in_a_group=4), st.integers(0, 1000))
def test_shares_with_groups_are_off_by_a_group_a_part_at_most(data: tuple[list[Record], Groups], seed: int) -> None:
    records, group_of = data
    split = grouped_split(records, group_of, seed)
    for part, share in zip(PARTS, (0.70, 0.15, 0.15), strict=True):
        found = class_counts(split.part(part))
        for label, name in enumerate(CLASSES):
            exact = share * sum(record.label == label for record in records)
            assert abs(found[name] - exact) <= (2 * 4 if part == "train" else 4)


@settings(max_examples=20, deadline=None)
@given(grouped_records(mixed=True), st.integers(0, 1000), st.randoms(use_true_random=False))
def test_a_split_follows_from_its_seed_and_not_from_the_order_of_records(
    data: tuple[list[Record], Groups], seed: int, random: object
) -> None:
    records, group_of = data
    shuffled = list(records)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    try:
        expected = parts_of(grouped_split(records, group_of, seed))
    except UsageError:
        assume(False)
    assert parts_of(grouped_split(records, group_of, seed)) == expected
    assert parts_of(grouped_split(shuffled, group_of, seed)) == expected


def test_another_seed_gives_another_split() -> None:
    records = records_of((40, 30, 20))
    assert len({grouped_split(records, alone(records), seed).test for seed in range(5)}) == 5


@settings(max_examples=20, deadline=None)
@given(grouped_records(most_in_a_group=2), st.integers(2, 5), st.integers(0, 1000))
def test_the_folds_of_a_kfold_share_out_the_data(data: tuple[list[Record], Groups], folds: int, seed: int) -> None:
    records, group_of = data
    splits = [kfold_split(records, group_of, folds, fold, seed) for fold in range(folds)]
    for split in splits:
        assert_sound(split, records, group_of)
        assert abs(len(split.test) - len(records) / folds) <= 3 * 2
        assert abs(len(split.validation) - (len(records) - len(split.test)) / 7) <= 3 * 2
    tested = [name for split in splits for name in split.test]
    assert len(tested) == len(records)
    assert set(tested) == {record.name for record in records}


def test_a_class_with_too_few_different_images_is_named() -> None:
    records = records_of((20, 20, 2))
    with pytest.raises(UsageError, match=r"class normal has 2 different images .* would have none; give more of it"):
        grouped_split(records, alone(records), 0)
    near_duplicates = alone(records_of((20, 20, 0))) | {f"normal/normal ({n}).png": "normal" for n in range(1, 9)}
    with pytest.raises(UsageError, match="class normal has 1 different images"):
        grouped_split(records_of((20, 20, 8)), near_duplicates, 0)
    records = records_of((20, 4, 20))
    with pytest.raises(UsageError, match=r"class malignant has 4 different images .*: fold 4 would have none"):
        kfold_split(records, alone(records), 5, 0, 0)
    records = records_of((2, 20, 20))
    with pytest.raises(UsageError, match=r"class benign has 2 different images .*: train would have none"):
        kfold_split(records, alone(records), 2, 0, 0)


def test_three_images_of_a_class_are_enough() -> None:
    records = records_of((3, 3, 3))
    assert_sound(grouped_split(records, alone(records), 0), records, alone(records))


def test_a_class_that_is_not_there_is_not_missed() -> None:
    records = records_of((20, 20, 0))
    split = grouped_split(records, alone(records), 0)
    assert set(class_counts(split.test)) == {"benign", "malignant"}


def test_the_seed_protocol_is_scikit_learns_call_on_names_sorted_as_strings() -> None:
    records = records_of((437, 210, 133))
    split = seed_split(records)
    names = [name for cls in CLASSES for name in sorted(r.name for r in records if r.name.startswith(cls))]
    assert names[1] == "benign/benign (10).png"
    labels = [name.split("/")[0] for name in names]
    train, validation = train_test_split(names, test_size=0.2, stratify=labels, random_state=42)
    assert (list(split.train), list(split.validation), split.test) == (train, validation, ())
    assert class_counts(split.validation) == {"benign": 87, "malignant": 42, "normal": 27}
    assert split.scored == "validation"
    assert seed_split(records[::-1]) == split


@pytest.mark.parametrize("counts", [(20, 20, 1), (3, 3, 2)])
def test_too_few_images_for_the_seed_protocol_name_the_class(counts: tuple[int, int, int]) -> None:
    with pytest.raises(UsageError, match=f"{counts[2]} of class normal, are too few for --protocol seed .*; give more"):
        seed_split(records_of(counts))


def test_the_lesion_splits_of_busi_are_the_public_tables() -> None:
    records = records_of((BUSI_COUNTS["benign"], BUSI_COUNTS["malignant"], 0))
    splits = [lesion_split(records, fold, seed=42) for fold in range(3)]
    assert [class_counts(split.validation)["benign"] for split in splits] == [134, 133, 133]
    assert [split.validation[0] for split in splits] == [
        "benign/benign (301).png", "benign/benign (40).png", "benign/benign (128).png"
    ]  # fmt: skip
    for split in splits:
        assert (len(split.train), len(split.validation), split.test) == (452, 195, ())
        assert {*split.train, *split.validation} == {record.name for record in records}


@settings(max_examples=20, deadline=None)
@given(grouped_records(most_in_a_group=3), st.integers(0, 1000))
def test_where_another_folder_is_scored_all_images_train_or_validate(
    data: tuple[list[Record], Groups], seed: int
) -> None:
    records, group_of = data
    split = whole_split(records, group_of, seed)
    assert sorted((*split.train, *split.validation)) == sorted(group_of)
    assert split.test == ()
    part_of = parts_of(split)
    assert all(part_of[name] == part_of[group] for name, group in group_of.items())
    assert abs(len(split.validation) - 0.15 * len(records)) <= 3 * 3


def test_other_lesion_images_are_split_70_30_at_random() -> None:
    records = records_of((60, 40, 0))
    splits = [lesion_split(records, fold, seed=42) for fold in range(3)]
    assert [(len(split.train), len(split.validation)) for split in splits] == [(70, 30)] * 3
    assert len({split.validation for split in splits}) == 3
    assert splits[1] == lesion_split(records, 1, seed=42)
    with pytest.raises(UsageError, match="--fold is 3; protocol lesion-70-30 has the splits 0 to 2"):
        lesion_split(records, 3, seed=42)
    with pytest.raises(UsageError, match="1 lesion images are too few for --protocol lesion-70-30"):
        lesion_split(records[:1], 0, seed=42)


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[st.integers(1, 80)] * 3), st.integers(3, 300), st.integers(0, 1000))
def test_a_limit_keeps_the_proportions(counts: tuple[int, int, int], limit: int, seed: int) -> None:
    records = records_of(counts)
    chosen = limited(records, limit, seed)
    assert len(chosen) == min(limit, len(records))
    assert limited(records, limit, seed) == chosen
    positions = [records.index(record) for record in chosen]
    assert positions == sorted(set(positions))
    found = [sum(record.label == label for record in chosen) for label in range(3)]
    for label in range(3):
        exact = len(chosen) * counts[label] / len(records)
        assert found[label] >= 1
        assert found[label] <= max(1, np.ceil(exact))
        assert found[label] > exact - 3  # two small classes may each take one to be there at all


def test_no_limit_keeps_all_and_one_below_the_classes_is_refused() -> None:
    records = records_of((5, 5, 5))
    assert limited(records, None, 0) == records
    with pytest.raises(UsageError, match="--limit is 2, below the 3 classes of the data"):
        limited(records, 2, 0)


def test_a_split_comes_back_from_its_file(tmp_path: Path) -> None:
    split = Split(("a", "b"), ("c",), ())
    split.write(tmp_path / "split.json")
    assert Split.read(tmp_path / "split.json") == split
    assert json.loads((tmp_path / "split.json").read_text()) == {"train": ["a", "b"], "validation": ["c"], "test": []}
    assert (split.scored, Split(("a",), ("b",), ("c",)).scored) == ("validation", "test")


@pytest.mark.parametrize(
    "content", ["", "[]", '{"train": 3}', '{"train": []}', '{"train": ["a"], "validation": ["a"], "test": []}']
)
def test_a_damaged_split_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "split.json").write_text(content)
    with pytest.raises(UsageError, match=r"split\.json is not a split"):
        Split.read(tmp_path / "split.json")


def test_a_name_stands_in_one_part() -> None:
    with pytest.raises(ValueError, match="b stands in two parts"):
        Split(("a", "b"), ("b",), ())
    with pytest.raises(ValueError, match="'all' is no part"):
        Split(("a",), ("b",), ()).part("all")


@pytest.mark.busi
def test_the_seed_split_of_busi_is_the_original_projects() -> None:
    folder = Path(os.environ["BUSI_DATA_DIR"])
    names, labels = [], []
    for label, name in enumerate(CLASSES):
        files = sorted(path.name for path in (folder / name).glob("*.png") if "_mask" not in path.name)
        names += [f"{name}/{file}" for file in files]
        labels += [label] * len(files)
    train, validation = train_test_split(names, test_size=0.2, stratify=labels, random_state=42)
    split = seed_split(read_busi(folder))
    assert (list(split.train), list(split.validation)) == (train, validation)
    assert len(validation) == 156
    assert class_counts(split.validation) == {"benign": 87, "malignant": 42, "normal": 27}
    assert class_counts(split.train + split.validation) == BUSI_COUNTS
