from collections.abc import Callable
from pathlib import Path

import pytest

from busi_keras.config import Experiment
from busi_keras.errors import UsageError
from busi_keras.evaluation.scores import ImageScore, Overlap
from busi_keras.workflows.evaluate import collapses, evaluate_run, note


def score(label: int, predicted: int | None, true_area: float, predicted_area: float) -> ImageScore:
    return ImageScore("x", label, predicted, (), Overlap(0, 0), true_area, predicted_area)


def test_a_network_that_says_the_same_of_every_image_is_named() -> None:
    same = [score(0, 0, 0.1, 0), score(1, 0, 0.2, 0), score(2, 0, 0, 0)]
    assert collapses(same) == [
        "The network outlines no lesion in any image; its Dice is just the proportion of normal images.",
        "The network classifies every image as benign.",
    ]


def test_a_network_that_tells_images_apart_is_not() -> None:
    assert collapses([score(0, 0, 0.1, 0.1), score(1, 1, 0.2, 0)]) == []
    assert collapses([score(2, 2, 0, 0), score(2, 2, 0, 0)]) == []
    assert collapses([score(0, None, 0.1, 0.1), score(1, None, 0.1, 0)]) == []


@pytest.mark.parametrize(
    ("protocol", "split", "chosen_here", "not_held_out"),
    [
        ("kfold", "test", False, False),
        ("kfold", "validation", False, True),
        ("kfold", "train", False, True),
        ("seed", "validation", True, False),
        ("seed", "train", False, True),
        ("lesion-70-30", "train", False, True),
    ],
)
def test_a_note_says_what_the_scored_images_were_used_for(
    protocol: str, split: str, chosen_here: bool, not_held_out: bool
) -> None:
    said = note(Experiment("multitask", "BUSI", protocol=protocol), split, [score(0, 0, 0.1, 0.1)], "none")
    assert ("were chosen on the images scored here" in said) == chosen_here
    assert (f"Scored on the {split} images, not on held-out ones." in said) == not_held_out


def test_a_run_without_its_network_is_refused_before_its_images_are_looked_for(
    make_study: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_study(tmp_path, "kfold", range(1)) / "fold-0"
    with pytest.raises(UsageError, match=r"fold-0 holds no model\.keras; finish its training with --resume"):
        evaluate_run(folder, data=str(tmp_path / "nowhere"))
