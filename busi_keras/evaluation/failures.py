"""The images on which a network does worst, and in which way."""

from collections.abc import Sequence

from busi_keras.config import CLASSES
from busi_keras.evaluation.scores import ImageScore

SHOWN = 10


def worst(scores: Sequence[ImageScore], count: int = SHOWN) -> list[str]:
    """A sentence for each of the images with the least Dice plus probability of the right class.

    Images that have both right, with any overlap above one half, are not among them.
    """
    failing = [score for score in scores if not _fine(score)]
    return [f"{score.name}: {_why(score)}" for score in sorted(failing, key=_goodness)[:count]]


def _goodness(score: ImageScore) -> float:
    dice = score.overlap.dice if score.overlap else 1.0
    return dice + (score.probabilities[score.label] if score.probabilities else 1.0)


def _fine(score: ImageScore) -> bool:
    outlined = score.overlap is None or score.overlap.dice > 0.5
    return outlined and score.predicted in (None, score.label)


def _why(score: ImageScore) -> str:
    said = []
    if score.predicted is not None and score.predicted != score.label:
        probability = score.probabilities[score.predicted]
        said.append(f"classified as {CLASSES[score.predicted]} with probability {probability:.2f}")
    if score.overlap and score.true_area == 0 and score.predicted_area > 0:
        said.append(f"{score.predicted_area:.1%} of it outlined, though there is no lesion")
    elif score.overlap and score.predicted_area == 0 and score.true_area > 0:
        said.append(f"no lesion outlined, though one covers {score.true_area:.1%} of it")
    elif score.overlap and score.overlap.dice == 0 and score.true_area > 0:
        said.append("the lesion missed, something else outlined")
    elif score.overlap and score.overlap.dice <= 0.5:
        said.append(
            f"Dice {score.overlap.dice:.2f}, {score.predicted_area / score.true_area:.1f} times the lesion's area"
        )
    return " and ".join(said)
