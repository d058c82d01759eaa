from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from busi_keras.evaluation.intervals import (
    Interval,
    bootstrap,
    group_numbers,
    metric_intervals,
    paired_differences,
)
from busi_keras.evaluation.scores import ImageScore, Overlap, summarize
from busi_keras.evaluation.surface import SurfaceDistance


def interval_of_mean(values: np.ndarray, groups: Sequence[int], resamples: int = 1000, seed: int = 0) -> Interval:
    return bootstrap(lambda chosen: {"mean": float(values[chosen].mean())}, groups, resamples, seed)["mean"]


def test_the_interval_of_a_mean_is_about_two_standard_errors_wide() -> None:
    values = np.random.default_rng(0).normal(0.7, 0.2, 400)
    found = interval_of_mean(values, range(400))
    error = 1.96 * values.std() / 20
    assert found.estimate == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - error, abs=0.004)
    assert found.high == pytest.approx(values.mean() + error, abs=0.004)


def test_copies_of_an_image_do_not_make_a_number_surer() -> None:
    values = np.random.default_rng(1).normal(0.7, 0.2, 100)
    copied = np.repeat(values, 9)
    alone = interval_of_mean(values, range(100))
    grouped = interval_of_mean(copied, np.repeat(np.arange(100), 9).tolist())
    pretended = interval_of_mean(copied, range(900))
    assert grouped.high - grouped.low == pytest.approx(alone.high - alone.low, rel=0.05)
    assert pretended.high - pretended.low < 0.5 * (alone.high - alone.low)


def scores_of(dice: np.ndarray) -> list[ImageScore]:
    return [ImageScore(str(i), 0, None, (), Overlap(float(d), 0.5), 0.1, 0.1) for i, d in enumerate(dice)]


def test_one_group_tells_nothing_of_others() -> None:
    table = bootstrap(lambda chosen: {"mean": float(chosen.mean())}, [7] * 12, resamples=50)
    assert table == {"mean": Interval(5.5, None, None)}
    assert str(table["mean"]) == "5.500"


def test_a_paired_difference_is_surer_than_two_intervals() -> None:
    rng = np.random.default_rng(2)
    one = rng.normal(0.7, 0.2, 300)
    other = one - rng.normal(0.02, 0.02, 300)
    found = paired_differences(scores_of(one), scores_of(other), range(300), resamples=200)
    dice = found["dice"]
    assert 0.01 < dice.low < dice.estimate < dice.high < 0.03
    assert dice.estimate == pytest.approx((one - other).mean())
    alone = metric_intervals(scores_of(one), range(300), resamples=200)["dice"]
    assert dice.high - dice.low < 0.2 * (alone.high - alone.low)
    assert found["iou"] == Interval(0, 0, 0)
    assert found["accuracy"] == Interval(None, None, None)


def test_who_misses_the_hard_lesions_has_no_better_hd95() -> None:
    rng = np.random.default_rng(3)
    distances = rng.uniform(10, 90, 200)
    every = [
        replace(one, surface=SurfaceDistance(d, d / 3, 500.0))
        for one, d in zip(scores_of(distances), distances, strict=True)
    ]
    easy_alone = [one if one.surface.hd95_px < 50 else replace(one, surface=None) for one in every]
    assert summarize(easy_alone).hd95_px < summarize(every).hd95_px - 15
    for pair in ((easy_alone, every), (every, easy_alone)):
        found = paired_differences(*pair, range(200), resamples=20)
        assert {found[name] for name in ("hd95_px", "surface_distance_percent")} == {Interval(0, 0, 0)}


def test_images_of_no_group_are_groups_of_their_own_and_repeat_with_their_number() -> None:
    numbers = group_numbers(["a", "b", "c", "d", "b", "e"], [["a", "x"], ["c", "e"]])
    assert numbers == [0, numbers[1], 1, numbers[3], numbers[1], 1]
    assert len(set(numbers)) == 4


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20), st.integers(0, 9))
def test_an_interval_holds_values_that_occur(values: list[float], seed: int) -> None:
    found = interval_of_mean(np.array(values), range(len(values)), resamples=20, seed=seed)
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9


def test_resamples_in_which_a_score_is_not_defined_are_left_out() -> None:
    values = np.array([0.2, 0.5, 0.8])
    found = bootstrap(
        lambda chosen: {
            "with the last": float(values[chosen].mean()) if 2 in chosen else None,
            "never": None,
        },
        range(3),
        resamples=200,
    )
    assert found["with the last"].estimate == pytest.approx(0.5)
    assert found["with the last"].low == pytest.approx(0.4)  # 0.2, 0.2 and 0.8
    assert found["never"] == Interval(None, None, None)
