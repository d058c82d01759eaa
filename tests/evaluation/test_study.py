from dataclasses import astuple, replace

import pytest

from busi_keras.config import Experiment
from busi_keras.data.marks import MARKED
from busi_keras.evaluation.scores import ImageScore, Overlap
from busi_keras.evaluation.study import SMALL_LESION, ExternalSource, sum_up
from busi_keras.report.model_card import CONVENTIONS
from busi_keras.report.study_table import study_table

KFOLD = Experiment("multitask-cnn", "Dataset_BUSI_with_GT", protocol="kfold", folds=2)


def score(name: str, label: int, dice: float, area: float = 0.1) -> ImageScore:
    return ImageScore(name, label, label, (0.2, 0.3, 0.5), Overlap(dice, dice / (2 - dice)), area, area)


SPLITS = (
    (score("a", 0, 0.9), score("b", 1, 0.5, SMALL_LESION / 2), score("c", 2, 1.0, 0)),
    (score("d", 0, 0.7), score("e", 1, 0.3), score("f", 2, 0.0, 0)),
)
MARKS = {"a": MARKED + 1, "b": MARKED, "d": MARKED - 5, "e": MARKED + 9}


def test_parts_of_the_images_are_scored_apart() -> None:
    study = sum_up(KFOLD, SPLITS, [], [["a", "e"], ["b", "malignant/zz"], ["c", "f"]], MARKS, resamples=20)
    found = {name: (sum(one.n.values()), one.dice) for name, one in study.subsets.items()}
    assert found == {
        "without label conflicts": (4, pytest.approx((0.5 + 1 + 0.7 + 0) / 4)),
        "with label conflicts": (2, pytest.approx(0.6)),
        "with burnt-in marks": (2, pytest.approx(0.6)),
        "without burnt-in marks": (2, pytest.approx(0.6)),
        "small lesions": (1, 0.5),
        "large lesions": (3, pytest.approx((0.9 + 0.7 + 0.3) / 3)),
        "benign": (2, pytest.approx(0.8)),
        "malignant": (2, pytest.approx(0.4)),
        "normal": (2, 0.5),
    }
    assert study.undisputed is not None
    assert study.undisputed["dice"].estimate == found["without label conflicts"][1]
    assert study.intervals["dice"].estimate == study.metrics.dice == pytest.approx(3.4 / 6)


def test_a_part_without_images_is_not_there_and_a_score_without_a_class_is_not_defined() -> None:
    lesions = [[one for one in split if one.label < 2] for split in SPLITS]
    study = sum_up(KFOLD, lesions, [], [["a", "b", "d", "e"]], {}, resamples=20)
    assert set(study.subsets) == {"with label conflicts", "small lesions", "large lesions", "benign", "malignant"}
    assert study.undisputed is None
    assert study.intervals["normal_clean"].estimate is None
    assert "| normal clean | not defined |" in study_table(study)
    assert study.to_json()["intervals"]["normal_clean"] == {"estimate": None, "low": None, "high": None}


def test_an_image_that_was_scored_twice_does_not_make_a_number_surer() -> None:
    once = sum_up(KFOLD, SPLITS, [], [], {}, resamples=40).intervals["dice"]
    twice = sum_up(KFOLD, [*SPLITS, *SPLITS], [], [], {}, resamples=40).intervals["dice"]
    assert astuple(twice) == pytest.approx(astuple(once))


def test_a_study_says_how_its_numbers_must_be_read() -> None:
    notes = {
        protocol: sum_up(replace(KFOLD, protocol=protocol), SPLITS, [], [], {}, resamples=2).note
        for protocol in ("kfold", "leaky", "seed", "lesion-70-30")
    }
    assert notes["kfold"] == ""
    assert "too optimistic" in notes["leaky"]
    assert "224 x 224" in notes["seed"]
    assert "256 x 256, stretched" in notes["lesion-70-30"]


def test_an_image_is_disputed_by_a_near_duplicate_that_was_not_scored() -> None:
    study = sum_up(KFOLD, SPLITS, [], [["a", "malignant/malignant (52).png"]], MARKS, resamples=2)
    assert study.subsets["with label conflicts"].dice == pytest.approx(0.9)
    assert sum(study.subsets["without label conflicts"].n.values()) == 5


def test_the_table_has_each_class_against_the_rest_and_says_how_scores_are_meant() -> None:
    wrong = replace(SPLITS[1][0], predicted=1, probabilities=(0.2, 0.6, 0.2))
    table = study_table(sum_up(KFOLD, [*SPLITS[:1], [wrong, *SPLITS[1][1:]]], [], [], MARKS, resamples=2))
    assert "| benign | 1.000 | 0.500 | 1.000 | 0.667 | 2 | " in table
    assert "| malignant | 0.667 | 1.000 | 0.750 | 0.800 | 2 | " in table
    subset = next(line for line in table.splitlines() if line.startswith("| malignant | 2 | 0.400"))
    assert subset.split(" | ")[7:9] == ["not defined", "not defined"]  # F1 and AUC need images of the other classes
    assert CONVENTIONS in table
    assert "| all images, n = 6 |" in table
    twice = study_table(sum_up(KFOLD, [*SPLITS, *SPLITS], [], [], {}, resamples=2))
    assert "| all images, n = 12 scores of 6 images |" in twice


def test_images_of_one_patient_are_drawn_together() -> None:
    apart = sum_up(KFOLD, SPLITS, [], [], {}, resamples=200).intervals["dice"]
    together = sum_up(KFOLD, SPLITS, [], [], {}, resamples=200, patients=[["a", "c", "d"], ["b", "e", "f"]])
    estimate, low, high = astuple(together.intervals["dice"])
    assert estimate == apart.estimate
    assert (low, high) == (pytest.approx(0.8 / 3), pytest.approx(2.6 / 3))
    assert low < apart.low < apart.high < high


@pytest.mark.parametrize(
    ("trained", "scored", "note"),
    [("phantom", "phantom", "Phantoms: synthetic"), ("phantom", "scans", "Trained on phantoms"),
     ("BUSI", "phantom", "Scored on phantoms"), ("BUSI", "scans", "")],
)  # fmt: skip
def test_it_says_which_images_were_synthetic(trained: str, scored: str, note: str) -> None:
    experiment = replace(KFOLD, protocol="external", data=trained)
    found = sum_up(experiment, SPLITS[:1], [], [], {}, ExternalSource(scored, "0", ()), resamples=2).note
    assert found.startswith(note)
    assert ("phantoms" in found.lower()) == bool(note)
