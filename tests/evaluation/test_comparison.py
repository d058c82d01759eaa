"""Two studies on the same images, as one who decides about a change compares them."""

from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import pytest

from busi_keras.errors import UsageError
from busi_keras.evaluation.comparison import compare_studies
from busi_keras.evaluation.study_folder import StudyFolder
from busi_keras.report.comparison_table import comparison_table

MakeStudy = Callable[..., Path]


@pytest.fixture(scope="module")
def studies(make_study: MakeStudy, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("studies")
    return {
        "better": make_study(folder / "better", "kfold", range(2), dice=0.8, epochs=30, frozen_epochs=2),
        "worse": make_study(folder / "worse", "leaky", range(2), dice=0.6),
        "first fold": make_study(folder / "first fold", "kfold", range(1), seed=4),
        "seed": make_study(folder / "seed", "seed", range(1)),
        "elsewhere": make_study(folder / "elsewhere", "kfold", range(2), fingerprint="0123456789abcdef"),
    }


def test_what_lies_between_two_studies_has_an_interval(studies: dict[str, Path]) -> None:
    one, other = StudyFolder(studies["better"]), StudyFolder(studies["worse"])
    found = compare_studies(one, other, [], resamples=40)
    assert found.n == 48
    assert found.settings == ("epochs 30, not 1", "frozen_epochs 2, not 0", "protocol kfold, not leaky")
    dice = found.differences["lesion_dice"]
    assert dice.first is not None
    assert dice.second is not None
    assert dice.interval.estimate == pytest.approx(dice.first - dice.second)
    assert dice.interval.low is not None
    assert 0.1 < dice.interval.low < dice.interval.estimate < dice.interval.high < 0.3
    assert dice.better == "first"
    assert found.differences["hd95_px"].better == "not decided"
    assert found.differences["pixel_sensitivity"].interval.estimate is None
    back = compare_studies(other, one, [], resamples=40)
    assert back.differences["lesion_dice"].interval.high == pytest.approx(-dice.interval.low)
    assert back.differences["lesion_dice"].better == "second"
    assert "| lesion dice | 0.8" in comparison_table(found)
    assert "| better |" in comparison_table(found).splitlines()[4]
    assert "better has epochs 30, not 1" in comparison_table(found)


def test_studies_on_other_images_are_refused(studies: dict[str, Path]) -> None:
    whole, part = StudyFolder(studies["better"]), StudyFolder(studies["first fold"])
    scored = len(part.splits()[0])
    with pytest.raises(UsageError, match=rf"48 images, .* {scored}, and {scored} of them are the same; .* --common"):
        compare_studies(whole, part, [])
    assert compare_studies(whole, part, [], common=True, resamples=2).n == scored
    with pytest.raises(UsageError, match="scored different files; compare studies on one data set"):
        compare_studies(whole, StudyFolder(studies["elsewhere"]), [])
    with pytest.raises(UsageError, match=r"of protocol kfold, .* of seed: they compare masks at different sizes"):
        compare_studies(whole, StudyFolder(studies["seed"]), [])


def test_an_image_of_several_random_splits_is_compared_within_each(make_study: MakeStudy, tmp_path: Path) -> None:
    whole = StudyFolder(make_study(tmp_path / "whole", "lesion-70-30", range(3)))
    part = StudyFolder(make_study(tmp_path / "part", "lesion-70-30", range(1, 2), seed=4))
    found = compare_studies(whole, part, [], common=True, resamples=2).differences["dice"]
    splits = whole.splits()
    assert {one.name for one in splits[1]} & {one.name for one in splits[0]}
    for dice, split in ((found.first, splits[1]), (found.second, part.splits()[0])):
        assert dice == pytest.approx(fmean(one.overlap.dice for one in split if one.overlap))


def test_studies_of_other_numbers_of_folds_are_compared_on_what_both_scored(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    halves = StudyFolder(make_study(tmp_path / "halves", "kfold", range(2)))
    fifth = StudyFolder(make_study(tmp_path / "fifth", "kfold", range(3, 4), folds=5))
    found = compare_studies(halves, fifth, [], common=True, resamples=2)
    assert found.settings == ("folds 2, not 5",)
    assert found.n == len(fifth.splits()[0])


def test_images_with_and_without_near_duplicates_are_compared_apart(studies: dict[str, Path]) -> None:
    one, other = StudyFolder(studies["worse"]), StudyFolder(studies["better"])
    names = sorted({score.name for split in one.splits() for score in split})
    groups = [names[:3], names[3:5]]
    duplicated = compare_studies(other, one, groups, resamples=5, duplicated=True)
    unique = compare_studies(other, one, groups, resamples=5, duplicated=False)
    assert (duplicated.n, unique.n) == (5, len(names) - 5)
    assert "n = 5 with near-duplicates" in comparison_table(duplicated)
    assert unique.to_json()["images"] == "without near-duplicates"
    with pytest.raises(UsageError, match="no image that both scored is with near-duplicates; compare all"):
        compare_studies(other, one, [], duplicated=True)
