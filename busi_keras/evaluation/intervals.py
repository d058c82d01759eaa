"""How sure a number is: bootstrap intervals over groups of near-duplicates, which are no independent images."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from busi_keras.evaluation.scores import ImageScore, summarize

RESAMPLES = 1000
CONFIDENCE = 0.95
HEADLINE = (
    "dice",
    "lesion_dice",
    "iou",
    "lesion_iou",
    "normal_clean",
    "accuracy",
    "macro_f1",
    "calibration_error",
    "brier",
    "malignant_average_precision",
    "lesions_found",
    "false_finds",
    "hd95_px",
)

Statistic = Callable[[np.ndarray], float | None]
"""Indices of images, with repetitions -> a score of them; None where it is not defined for these."""


@dataclass(frozen=True)
class Interval:
    """A score and where it would lie on other images of the same kind.

    Attributes:
        estimate: on the images at hand; None where it is not defined.
        low, high: percentile bootstrap interval; None where it is not defined in any resample.
    """

    estimate: float | None
    low: float | None
    high: float | None


def interval(
    statistic: Statistic,
    groups: Sequence[int],
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Interval:
    """The percentile bootstrap interval of a score, drawing whole groups (Efron and Tibshirani, 1993, chapters 8, 13).

    The difference between two systems on the same images is such a score, too: that is the paired bootstrap.

    Args:
        statistic: a score of images, given as indices.
        groups: of each image, the number of its group of near-duplicates.
        resamples: how often groups are drawn; resamples in which the score is not defined are left out.
    """
    values = [statistic(chosen) for chosen in resamplings(groups, resamples, seed)]
    return _interval(statistic(np.arange(len(groups))), values, confidence)


def metric_intervals(
    scores: Sequence[ImageScore], groups: Sequence[int], resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Interval]:
    """Intervals of the headline scores, all from the same resamples.

    Args:
        scores: of each image.
        groups: as in `interval`.
    """
    found = [headline([scores[int(i)] for i in chosen]) for chosen in resamplings(groups, resamples, seed)]
    estimates = headline(scores)
    return {name: _interval(estimates[name], [one[name] for one in found], CONFIDENCE) for name in estimates}


def headline(scores: Sequence[ImageScore]) -> dict[str, float | None]:
    """The scores that a study reports."""
    metrics = summarize(scores)
    return {name: getattr(metrics, name) for name in HEADLINE} | {"malignant_auc": metrics.auc["malignant"]}


def resamplings(groups: Sequence[int], resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Indices of images, whole groups drawn with replacement, as many groups as there are."""
    group_of = np.asarray(groups)
    members = [np.flatnonzero(group_of == group) for group in np.unique(group_of)]
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.concatenate([members[group] for group in rng.integers(0, len(members), len(members))])


def _interval(estimate: float | None, values: Sequence[float | None], confidence: float) -> Interval:
    defined = [value for value in values if value is not None]
    if not defined:
        return Interval(estimate, None, None)
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(estimate, float(low), float(high))


def mean_of(values: Sequence[float | None]) -> Statistic:
    """The mean of what is defined of one number an image."""
    numbers = np.array([np.nan if value is None else value for value in values], float)

    def mean(chosen: np.ndarray) -> float | None:
        drawn = numbers[chosen]
        drawn = drawn[~np.isnan(drawn)]
        return float(drawn.mean()) if len(drawn) else None

    return mean


def difference_of(one: Statistic, other: Statistic) -> Statistic:
    """The first less the second, on the same images."""

    def difference(chosen: np.ndarray) -> float | None:
        first, second = one(chosen), other(chosen)
        return None if first is None or second is None else first - second

    return difference
