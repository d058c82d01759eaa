import json
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import confusion_matrix, f1_score, precision_score, recall_score

from busi_keras.config import CLASSES
from busi_keras.evaluation.scores import ClassScore, ImageScore, Overlap, ScoreTable, overlap, summarize

BENIGN, MALIGNANT, NORMAL = range(3)

mask_pairs = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9).flatmap(
    lambda shape: st.tuples(hnp.arrays(bool, shape), hnp.arrays(bool, shape))
)


def scored(
    label: int, probabilities: Sequence[float] = (), masks: Overlap | None = None, predicted_area: float = 0.0
) -> ImageScore:
    """An image's score; without probabilities there is no label head, without an overlap no mask head."""
    predicted = int(np.argmax(probabilities)) if probabilities else None
    return ImageScore("name", label, predicted, tuple(probabilities), masks, 0.1, predicted_area)


def sure(label: int) -> tuple[float, ...]:
    return tuple(0.8 if index == label else 0.1 for index in range(3))


class_scores = st.builds(
    scored,
    st.integers(0, 2),
    st.tuples(*[st.floats(0.01, 1)] * 3).map(lambda p: tuple(np.array(p) / sum(p))),
    st.builds(lambda iou: Overlap(2 * iou / (1 + iou), iou), st.floats(0, 1)),
    st.floats(0, 1),
)


def test_overlap_of_two_bars() -> None:
    true, predicted = np.zeros((2, 4, 10), bool)
    true[:, 0:6] = True
    predicted[:, 3:5] = True
    assert overlap(true, predicted) == Overlap(dice=0.5, iou=8 / 24)  # 24 and 8 pixels, 8 common


def test_two_empty_masks_agree_and_an_empty_one_misses_everything() -> None:
    empty, full = np.zeros((3, 5), bool), np.ones((3, 5), bool)
    assert overlap(empty, empty) == Overlap(1, 1)
    assert overlap(full, full) == Overlap(1, 1)
    assert overlap(empty, full) == overlap(full, empty) == Overlap(0, 0)


def test_masks_of_different_shapes_are_not_compared() -> None:
    with pytest.raises(ValueError, match=r"\(1, 5\) and \(5, 5\)"):
        overlap(np.zeros((1, 5), bool), np.zeros((5, 5), bool))


@given(mask_pairs)
def test_overlap_is_symmetric_bounded_and_dice_follows_from_iou(masks: tuple[np.ndarray, np.ndarray]) -> None:
    score = overlap(*masks)
    assert score == overlap(*masks[::-1])
    assert 0 <= score.iou <= score.dice <= 1
    assert score.dice == pytest.approx(2 * score.iou / (1 + score.iou))
    assert (score.iou == 1) == bool((masks[0] == masks[1]).all())


def test_metrics_computed_by_hand() -> None:
    metrics = summarize(
        [
            scored(BENIGN, (0.7, 0.2, 0.1), Overlap(0.8, 2 / 3), 0.1),
            scored(BENIGN, (0.6, 0.3, 0.1), Overlap(0.4, 0.25), 0.1),
            scored(BENIGN, (0.1, 0.8, 0.1), Overlap(0.0, 0.0), 0.0),
            scored(MALIGNANT, (0.2, 0.7, 0.1), Overlap(0.6, 3 / 7), 0.2),
            scored(NORMAL, (0.5, 0.1, 0.4), Overlap(1.0, 1.0), 0.0),
            scored(NORMAL, (0.1, 0.1, 0.8), Overlap(0.0, 0.0), 0.3),
        ]
    )
    assert metrics.n == {"benign": 3, "malignant": 1, "normal": 2}
    assert metrics.dice == pytest.approx(2.8 / 6)
    assert metrics.iou == pytest.approx((2 / 3 + 0.25 + 3 / 7 + 1) / 6)
    assert metrics.lesion_dice == pytest.approx(1.8 / 4)
    assert metrics.lesion_iou == pytest.approx((2 / 3 + 0.25 + 3 / 7) / 4)
    assert metrics.normal_clean == 0.5
    assert metrics.accuracy == pytest.approx(4 / 6)
    assert metrics.confusion == [[2, 1, 0], [0, 1, 0], [1, 0, 1]]
    assert metrics.classes["benign"] == ClassScore(
        pytest.approx(2 / 3),
        pytest.approx(2 / 3),
        pytest.approx(2 / 3),
        pytest.approx(2 / 3),
        3,
        pytest.approx(6.5 / 9),
    )
    assert metrics.classes["malignant"] == ClassScore(0.5, 1.0, 0.8, pytest.approx(2 / 3), 1, pytest.approx(4 / 5))
    assert metrics.classes["normal"] == ClassScore(1.0, 0.5, 1.0, pytest.approx(2 / 3), 2, 1.0)
    assert metrics.macro_f1 == metrics.weighted_f1 == pytest.approx(2 / 3)
    assert metrics.macro_precision == pytest.approx((2 / 3 + 0.5 + 1) / 3)
    assert metrics.macro_recall == pytest.approx((2 / 3 + 1 + 0.5) / 3)
    assert metrics.weighted_precision == pytest.approx((3 * 2 / 3 + 0.5 + 2 * 1) / 6)
    assert metrics.weighted_recall == pytest.approx(metrics.accuracy)
    assert metrics.auc == {name: score.auc for name, score in metrics.classes.items()}


def test_a_class_without_images_has_no_scores_and_lowers_no_mean() -> None:
    scores = [scored(BENIGN, sure(BENIGN)), scored(MALIGNANT, sure(MALIGNANT)), scored(MALIGNANT, sure(NORMAL))]
    metrics = summarize(scores)
    assert metrics.classes["normal"] == ClassScore(
        precision=0.0, recall=None, specificity=pytest.approx(2 / 3), f1=None, support=0, auc=None
    )
    assert metrics.macro_f1 == pytest.approx((1 + 2 / 3) / 2)
    assert metrics.weighted_f1 == pytest.approx((1 + 2 * 2 / 3) / 3)
    assert metrics.normal_clean is None
    assert metrics.n["normal"] == 0


def test_a_class_never_predicted_has_no_precision_and_an_f1_of_zero() -> None:
    metrics = summarize([scored(BENIGN, sure(BENIGN)), scored(MALIGNANT, sure(BENIGN))])
    assert metrics.classes["malignant"].precision is None
    assert (metrics.classes["malignant"].recall, metrics.classes["malignant"].f1) == (0, 0)
    assert metrics.macro_f1 == pytest.approx(1 / 3)
    assert (metrics.macro_precision, metrics.weighted_precision) == (None, None)
    assert (metrics.macro_recall, metrics.weighted_recall) == (0.5, 0.5)


def test_images_of_one_class_alone_have_no_score_against_a_rest() -> None:
    metrics = summarize([scored(NORMAL, sure(NORMAL)), scored(NORMAL, sure(BENIGN))])
    assert metrics.auc == {"benign": None, "malignant": None, "normal": None}
    assert metrics.classes["normal"] == ClassScore(
        precision=None, recall=0.5, specificity=None, f1=None, support=2, auc=None
    )
    assert (metrics.accuracy, metrics.macro_recall) == (0.5, 0.5)
    assert (metrics.macro_f1, metrics.macro_precision, metrics.calibration_error) == (None, None, None)
    malignant = summarize([scored(MALIGNANT, sure(MALIGNANT))])
    assert malignant.malignant_average_precision is None
    assert metrics.lesion_dice is None


def test_a_lone_segmenter_has_mask_scores_alone() -> None:
    metrics = summarize([scored(BENIGN, masks=Overlap(0.5, 1 / 3)), scored(NORMAL, masks=Overlap(1, 1))])
    assert (metrics.dice, metrics.lesion_dice, metrics.normal_clean) == (0.75, 0.5, 1.0)
    assert (metrics.accuracy, metrics.macro_f1, metrics.weighted_f1, metrics.confusion) == (None, None, None, None)
    assert metrics.classes["benign"] == ClassScore(None, None, None, None, 1, None)


def test_a_lone_classifier_has_class_scores_alone() -> None:
    metrics = summarize([scored(BENIGN, sure(BENIGN)), scored(NORMAL, sure(NORMAL))])
    assert (metrics.dice, metrics.iou, metrics.lesion_dice, metrics.lesion_iou, metrics.normal_clean) == (None,) * 5
    assert (metrics.accuracy, metrics.macro_f1) == (1, 1)


def test_a_prediction_of_one_pixel_is_not_clean() -> None:
    metrics = summarize([scored(NORMAL, masks=Overlap(0, 0), predicted_area=1 / 500_000)])
    assert metrics.normal_clean == 0


def test_no_image_is_an_error() -> None:
    with pytest.raises(ValueError, match="no image"):
        summarize([])


@settings(max_examples=25, deadline=None)
@given(st.lists(class_scores, min_size=1, max_size=12))
def test_no_nan_reaches_a_json_document(scores: list[ImageScore]) -> None:
    for variant in (
        scores,
        [scored(s.label, s.probabilities) for s in scores],
        [scored(s.label, masks=s.overlap) for s in scores],
    ):
        json.dumps(asdict(summarize(variant)), allow_nan=False)


@settings(max_examples=25, deadline=None)
@given(st.lists(class_scores, max_size=15))
def test_class_scores_are_scikit_learns(scores: list[ImageScore]) -> None:
    scores = [*scores, *(scored(label, sure(label)) for label in range(3))]
    labels, predicted = [s.label for s in scores], [s.predicted for s in scores]
    metrics = summarize(scores)
    assert metrics.macro_f1 == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert metrics.weighted_f1 == pytest.approx(f1_score(labels, predicted, average="weighted"))
    assert metrics.accuracy == pytest.approx(np.mean(np.array(labels) == predicted))
    assert metrics.confusion == confusion_matrix(labels, predicted).tolist()
    assert metrics.macro_precision == pytest.approx(precision_score(labels, predicted, average="macro"))
    assert metrics.weighted_recall == pytest.approx(recall_score(labels, predicted, average="weighted"))
    for label, name in enumerate(CLASSES):
        rest = [other != label for other in labels]
        found = recall_score(rest, [other != label for other in predicted])
        assert metrics.classes[name].specificity == pytest.approx(found)


@settings(max_examples=25, deadline=None)
@given(st.lists(class_scores, min_size=1, max_size=12), st.lists(st.integers(0, 11), min_size=1, max_size=20))
def test_a_table_of_chosen_images_has_their_metrics(scores: list[ImageScore], drawn: list[int]) -> None:
    chosen = [index % len(scores) for index in drawn]
    assert ScoreTable.of(scores).take(np.array(chosen)).metrics() == summarize([scores[index] for index in chosen])


@settings(max_examples=25, deadline=None)
@given(st.lists(class_scores, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_scores_do_not_depend_on_the_order_of_images(scores: list[ImageScore], random: object) -> None:
    shuffled = list(scores)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = asdict(summarize(scores)), asdict(summarize(shuffled))
    assert first["confusion"] == second["confusion"]
    for key in ("dice", "lesion_iou", "normal_clean", "macro_f1", "weighted_f1"):
        assert first[key] == pytest.approx(second[key])
