"""Whether to believe a heat map: does it lie on the lesion, does the network use what it shows?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, stats

from busi_keras.config import CLASSES

HEAT_THRESHOLD = 0.5
STEPS = 16
BLUR = 1 / 16
"""Of the image's side: a pixel that is taken away leaves its surroundings' brightness. Black would be a shadow."""


@dataclass(frozen=True)
class Localization:
    """A heat map against the true mask. A uniform map reaches `chance`.

    A map that ignores the image can reach more: lesions lie in the middle more often than at the edge
    (`benchmarks/heat_map_null.py`).

    Attributes:
        energy_inside: share of the map's sum inside the lesion, in [0, 1] (Wang et al., "Score-CAM", CVPRW 2020).
        pointing_game: whether the map's largest value lies in the lesion (Zhang et al., IJCV 126, 2018).
        iou: of the lesion and the pixels of at least `HEAT_THRESHOLD` times the largest value, in [0, 1].
        chance: the lesion's share of the image.
    """

    energy_inside: float
    pointing_game: bool
    iou: float
    chance: float


def localization(heat_map: np.ndarray, mask: np.ndarray) -> Localization:
    """How a heat map lies on a lesion.

    Args:
        heat_map: float `(height, width)`, not negative, not 0 everywhere.
        mask: bool `(height, width)`, the true lesion, not empty.
    """
    if heat_map.shape != mask.shape:
        raise ValueError(f"a heat map of shape {heat_map.shape} and a mask of shape {mask.shape} cannot be compared")
    hot = heat_map >= HEAT_THRESHOLD * heat_map.max()
    return Localization(
        energy_inside=float(heat_map[mask].sum(dtype=float) / heat_map.sum(dtype=float)),
        pointing_game=bool(mask.ravel()[np.argmax(heat_map)]),
        iou=float(np.count_nonzero(hot & mask) / np.count_nonzero(hot | mask)),
        chance=float(mask.mean()),
    )


@dataclass(frozen=True)
class Perturbation:
    """What the heat map's order of pixels does to the probability (Petsiuk, Das, Saenko, "RISE", BMVC 2018).

    Attributes:
        deletion_curve: probabilities in [0, 1] while pixels are blurred, hottest first: none of them, equal shares more
            at each point, all at the last.
        insertion_curve: the same while they come back into a blurred image, hottest first.
    """

    deletion_curve: tuple[float, ...]
    insertion_curve: tuple[float, ...]

    @property
    def deletion(self) -> float:
        """The area under the curve, the mean probability, in [0, 1]; low where the map is right."""
        return _area(self.deletion_curve)

    @property
    def insertion(self) -> float:
        """The same of the other curve; high where the map is right."""
        return _area(self.insertion_curve)


def perturbation(
    image: np.ndarray, heat_map: np.ndarray, probability: Callable[[np.ndarray], np.ndarray], steps: int = STEPS
) -> Perturbation:
    """The deletion and insertion curves.

    Args:
        image: float32 `(S, S, 3)`, the network's input.
        heat_map: float `(S, S)`.
        probability: `(n, S, S, 3)` -> `(n,)`, of the class that the map explains.
        steps: points of a curve, less one.
    """
    hottest_first = np.argsort(-heat_map, axis=None, kind="stable")
    rank = np.empty(heat_map.size)
    rank[hottest_first] = np.arange(heat_map.size)
    side = image.shape[0]
    blurred = ndimage.gaussian_filter(image, (BLUR * side, BLUR * side, 0), mode="nearest")
    touched = (
        rank.reshape(heat_map.shape)[None, ..., None] < np.linspace(0, heat_map.size, steps + 1)[:, None, None, None]
    )
    deleted = np.where(touched, blurred, image).astype(np.float32)
    inserted = np.where(touched, image, blurred).astype(np.float32)
    return Perturbation(*(tuple(map(float, probability(each))) for each in (deleted, inserted)))


def _area(curve: Sequence[float]) -> float:
    return float(np.trapezoid(curve, dx=1 / (len(curve) - 1)))


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's correlation of two maps of one shape, in [-1, 1]; 0 where one of them is constant."""
    if one.min() == one.max() or other.min() == other.max():
        return 0.0
    return float(stats.spearmanr(one, other, axis=None).statistic)


@dataclass(frozen=True)
class Faithfulness:
    """What speaks for or against a heat map.

    Attributes:
        localization: against the true mask; None where that is not known or empty, or the map is flat.
        perturbation: of the class, or of the lesion's pixels; None where the map is flat or it was not measured.
        randomization: rank correlation with the maps of random heads, in [-1, 1], near 0 where the map is right; None
            as `perturbation`, and where the map explains no class.
    """

    localization: Localization | None = None
    perturbation: Perturbation | None = None
    randomization: float | None = None

    def to_json(self) -> dict[str, float | bool | list[float] | None]:
        """As `gradcam --json` prints it."""
        curves = {
            f"{name}_curve": list(getattr(self.perturbation, f"{name}_curve")) if self.perturbation else None
            for name in ("deletion", "insertion")
        }
        return {**self.numbers(), **curves}

    def numbers(self) -> dict[str, float | bool | None]:
        """All that is one number; None where it is not defined."""
        located, perturbed = self.localization, self.perturbation
        return {
            "energy_inside": located.energy_inside if located else None,
            "pointing_game": located.pointing_game if located else None,
            "iou": located.iou if located else None,
            "chance": located.chance if located else None,
            "deletion": perturbed.deletion if perturbed else None,
            "insertion": perturbed.insertion if perturbed else None,
            "randomization": self.randomization,
        }


def summarize_faithfulness(labels: Sequence[int], found: Sequence[Faithfulness]) -> dict[str, dict[str, float | None]]:
    """Means a class over the images where a number is defined, each with its count as `n_...`.

    Args:
        labels: of each image, indices into `CLASSES`.
        found: of each image.
    """
    summary: dict[str, dict[str, float | None]] = {}
    for index, name in enumerate(CLASSES):
        rows = [one.numbers() for label, one in zip(labels, found, strict=True) if label == index]
        summary[name] = {}
        for score in Faithfulness().numbers():
            values = [float(value) for row in rows if (value := row[score]) is not None]
            summary[name] |= {score: float(np.mean(values)) if values else None, f"n_{score}": len(values)}
    return summary


def mean_curves(labels: Sequence[int], found: Sequence[Faithfulness]) -> dict[str, Perturbation]:
    """Of each class that has curves, their means over images, point by point.

    Args:
        labels, found: as in `summarize_faithfulness`; all curves have as many points.
    """
    means = {}
    for index, name in enumerate(CLASSES):
        curves = [one.perturbation for label, one in zip(labels, found, strict=True) if label == index]
        measured = [one for one in curves if one]
        if measured:
            means[name] = Perturbation(
                *(
                    tuple(np.mean([getattr(one, f"{kind}_curve") for one in measured], axis=0).tolist())
                    for kind in ("deletion", "insertion")
                )
            )
    return means
