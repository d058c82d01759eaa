"""How sure a number is: bootstrap intervals over groups of near-duplicates, which are no independent images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 1000
CONFIDENCE = 0.95

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
    group_of = np.asarray(groups)
    members = [np.flatnonzero(group_of == group) for group in np.unique(group_of)]
    rng = np.random.default_rng(seed)
    draws = (rng.integers(0, len(members), len(members)) for _ in range(resamples))
    values = [statistic(np.concatenate([members[group] for group in drawn])) for drawn in draws]
    defined = [value for value in values if value is not None]
    estimate = statistic(np.arange(len(group_of)))
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
