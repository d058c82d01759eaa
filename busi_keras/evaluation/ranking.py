"""What images reach when they are ranked by their probability of a class: ROC and precision-recall, as numbers."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ranking:
    """What lies at or above each distinct probability, from the highest on.

    Made from one sort, for a bootstrap asks for its scores thousands of times. A score is None where there is no image
    of the class, or none of the rest, to compare it with.

    Attributes:
        found: int `(thresholds,)`, images of the class.
        false: int `(thresholds,)`, images of the rest.
    """

    found: np.ndarray
    false: np.ndarray

    @classmethod
    def of(cls, probability: np.ndarray, positive: np.ndarray) -> "Ranking":
        """Args:
        probability: `(n,)`, at least one.
        positive: bool `(n,)`, whether an image is of the class.
        """
        order = np.argsort(-probability, kind="stable")
        ranked = probability[order]
        last_of_its_value = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
        found = np.cumsum(positive[order])[last_of_its_value]
        return cls(found, last_of_its_value + 1 - found)

    @property
    def auc(self) -> float | None:
        """The share of pairs, one image of the class and one of the rest, in the right order; ties count half.

        The area under the ROC curve (Hanley and McNeil, Radiology 143, 1982).
        """
        if not self._comparable:
            return None
        pairs = np.diff(self.false, prepend=0) @ (self.found + np.append(0, self.found[:-1])) / 2
        return float(pairs / (self.found[-1] * self.false[-1]))

    @property
    def average_precision(self) -> float | None:
        """The mean precision over the images of the class, each at its own probability; nothing is interpolated."""
        if not self._comparable:
            return None
        precision = self.found / (self.found + self.false)
        return float(np.diff(self.found, prepend=0) @ precision / self.found[-1])

    def sensitivity_at(self, specificity: float) -> float | None:
        """The largest sensitivity at which at least so many of the rest are left alone."""
        if not self._comparable:
            return None
        spared = (self.false[-1] - self.false) / self.false[-1] >= specificity
        return float(self.found[spared].max(initial=0) / self.found[-1])

    def specificity_at(self, sensitivity: float) -> float | None:
        """The largest specificity at which at least so many of the class are found."""
        if not self._comparable:
            return None
        enough = self.found / self.found[-1] >= sensitivity
        return float((self.false[-1] - self.false[enough].min()) / self.false[-1])

    @property
    def _comparable(self) -> bool:
        return bool(self.found[-1] and self.false[-1])
