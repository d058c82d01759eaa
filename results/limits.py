"""What keeps the headline study from more: lesions missed or not called malignant, normals that cost lesions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from busi_keras.config import CLASSES, MALIGNANT, NORMAL
from busi_keras.evaluation.ranking import Ranking
from busi_keras.evaluation.scores import ImageScore, summarize
from busi_keras.evaluation.study_folder import StudyFolder
from busi_keras.report.markdown import table

MISSED = 0.05
EMPTIED_ABOVE = (0.5, 0.3, 0.2, 0.1)
"""The first is the network's own."""
SENSITIVITIES = (0.9, 0.95)


def limits(studies: Sequence[StudyFolder]) -> str:
    """The trade between lesion Dice and normals left clean, in the complete kfold study of the best lesion Dice.

    The network empties the mask where normal is more probable than not, see `models/presence.py`; a lower bound can be
    read off the stored scores: what was found in an image is kept or lost as a whole.
    """
    scored = {
        study.folder.name: [score for split in study.splits() for score in split]
        for study in studies
        if study.experiment.protocol == "kfold"
    }
    if not scored:
        return "Not measured yet."
    images_of = {name: _images(scores) for name, scores in scored.items()}
    name, images = max(images_of.items(), key=lambda item: item[1].lesion_dice())
    found = images.dice >= MISSED
    missed = images.lesion & ~found
    as_normal = missed & (images.normal_probability > EMPTIED_ABOVE[0])
    elsewhere = missed & ~images.clean
    unmarked = missed & images.clean & ~as_normal
    titles = [f"`{name}`: mask emptied where p(normal) >", "lesion Dice", "normals clean", "Dice"]
    lines = [
        table(titles, map(images.row, EMPTIED_ABOVE)),
        "",
        f"In {missed.sum()} of {images.lesion.sum()} images with a lesion it is missed altogether (Dice < {MISSED}): "
        f"{as_normal.sum()} images are taken for normal, in {elsewhere.sum()} something else is marked, in "
        f"{unmarked.sum()} nothing, though they are not taken for normal. The lesion Dice of the others is "
        f"{images.dice[images.lesion & found].mean():.3f}.",
        "",
        malignant_found(scored[name]),
    ]
    return "\n".join(lines)


def malignant_found(scores: Sequence[ImageScore]) -> str:
    """What the predicted class finds of the malignant images, and what thresholds on their probability would."""
    malignant = summarize(scores).classes[CLASSES[MALIGNANT]]
    found = sum(score.label == score.predicted == MALIGNANT for score in scores)
    truth = np.array([score.label == MALIGNANT for score in scores])
    ranking = Ranking.of(np.array([score.probabilities[MALIGNANT] for score in scores]), truth)
    points = " or ".join(f"{100 * one:.0f} % of them at {ranking.specificity_at(one):.3f}" for one in SENSITIVITIES)
    return (
        f"The predicted class finds {found} of {malignant.support} malignant images, a sensitivity of "
        f"{malignant.recall:.3f}, at a specificity of {malignant.specificity:.3f}. A threshold on the probability of "
        f"malignant, chosen on these same images, would find {points}."
    )


@dataclass(frozen=True)
class Images:
    """Columns of `predictions.csv`, an entry an image."""

    lesion: np.ndarray
    normal_probability: np.ndarray
    dice: np.ndarray
    clean: np.ndarray

    def lesion_dice(self) -> float:
        return float(self.dice[self.lesion].mean())

    def row(self, bound: float) -> list[str]:
        """Scores, were the masks emptied above a probability of normal."""
        emptied = self.normal_probability > bound
        dice = np.where(emptied, ~self.lesion, self.dice)
        clean = (self.clean | emptied)[~self.lesion]
        return [str(bound), *(f"{score:.3f}" for score in (dice[self.lesion].mean(), clean.mean(), dice.mean()))]


def _images(scores: Sequence[ImageScore]) -> Images:
    scores = [score for score in scores if score.overlap is not None]
    return Images(
        lesion=np.array([score.label != NORMAL for score in scores]),
        normal_probability=np.array([score.probabilities[NORMAL] for score in scores]),
        dice=np.array([score.overlap.dice for score in scores if score.overlap is not None]),
        clean=np.array([score.predicted_area == 0 for score in scores]),
    )
