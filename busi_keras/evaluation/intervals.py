"""How sure a number is: bootstrap intervals over groups of near-duplicates, which are no independent images."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from busi_keras.evaluation.scores import ImageScore, Metrics, ScoreTable

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
    "malignant_sensitivity_at_90_specificity",
    "malignant_specificity_at_90_sensitivity",
    "lesions_found",
    "false_finds",
    "hd95_px",
    "hd95_percent",
    "surface_distance_px",
    "surface_distance_percent",
    "pixel_sensitivity",
    "pixel_precision",
    "novel",
    "heat_map_energy",
    "heat_map_pointing",
    "heat_map_iou",
)
LESS_IS_BETTER = frozenset(
    {
        "calibration_error",
        "brier",
        "false_finds",
        "hd95_px",
        "hd95_percent",
        "surface_distance_px",
        "surface_distance_percent",
        "novel",
    }
)

Scores = Callable[[np.ndarray], dict[str, float | None]]
"""Indices of images, with repetitions -> scores of them by name; None where one is not defined for these."""


@dataclass(frozen=True)
class Interval:
    """A score and where it would lie on other images of the same kind.

    Attributes:
        estimate: on the images at hand; None where it is not defined.
        low, high: percentile bootstrap interval; None where it is not defined in any resample, and where all images
            are of one group, which tell nothing of other ones. Of the calibration error it leans upward: images that
            repeat fill bins less evenly, which adds error.
    """

    estimate: float | None
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.estimate is None:
            return "not defined"
        return f"{self.estimate:.3f}" + ("" if self.low is None else f" ({self.low:.3f} to {self.high:.3f})")


def bootstrap(
    scores_of: Scores, groups: Sequence[int], resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Interval]:
    """Percentile bootstrap intervals, drawing whole groups (Efron and Tibshirani, 1993, chapters 8, 13).

    Args:
        scores_of: scores of images, all from the same resamples.
        groups: of each image, the number of its group of near-duplicates.
        resamples: how often groups are drawn; those in which a score is not defined are left out.
    """
    estimates = scores_of(np.arange(len(groups)))
    if len(set(groups)) < 2:
        return {name: Interval(estimate, None, None) for name, estimate in estimates.items()}
    found = [scores_of(chosen) for chosen in resamplings(groups, resamples, seed)]
    return {name: _interval(estimates[name], [one[name] for one in found]) for name in estimates}


def metric_intervals(
    scores: Sequence[ImageScore], groups: Sequence[int], resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Interval]:
    """Intervals of the headline scores, all from the same resamples.

    Args:
        scores: of each image.
        groups: as in `bootstrap`.
    """
    table = ScoreTable.of(scores)
    return bootstrap(lambda chosen: headline(table.take(chosen).metrics()), groups, resamples, seed)


def paired_differences(
    first: Sequence[ImageScore],
    second: Sequence[ImageScore],
    groups: Sequence[int],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Interval]:
    """Intervals of the first's headline scores less the second's: the paired bootstrap.

    Means are over the images where both have the score: HD95 where both marked something, say.

    Args:
        first, second: two networks' scores of the same images in the same order.
        groups: as in `bootstrap`.
    """
    tables = ScoreTable.of(first).paired(ScoreTable.of(second))

    def differences(chosen: np.ndarray) -> dict[str, float | None]:
        ones, others = (headline(table.take(chosen).metrics()) for table in tables)
        return {name: _difference(ones[name], others[name]) for name in ones}

    return bootstrap(differences, groups, resamples, seed)


def group_numbers(names: Sequence[str], groups: Sequence[Sequence[str]]) -> list[int]:
    """The number of each name's group, as `bootstrap` takes them; a name in none is a group of its own.

    Args:
        names: of images; one that repeats keeps its number.
        groups: of two names and more.
    """
    number_of = {name: number for number, group in enumerate(groups) for name in group}
    for name in names:
        number_of.setdefault(name, len(groups) + len(number_of))
    return [number_of[name] for name in names]


def headline(metrics: Metrics) -> dict[str, float | None]:
    """The scores that a study reports."""
    return {name: getattr(metrics, name) for name in HEADLINE} | {"malignant_auc": metrics.auc["malignant"]}


def resamplings(groups: Sequence[int], resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Indices of images, whole groups drawn with replacement, as many groups as there are."""
    group_of = np.asarray(groups)
    members = [np.flatnonzero(group_of == group) for group in np.unique(group_of)]
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.concatenate([members[group] for group in rng.integers(0, len(members), len(members))])


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _interval(estimate: float | None, values: Sequence[float | None]) -> Interval:
    defined = [value for value in values if value is not None]
    if not defined:
        return Interval(estimate, None, None)
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(estimate, float(low), float(high))
