"""`model_card.md`: the card in Markdown, for whoever must decide what a network may be used for."""

from busi_keras.card import Card
from busi_keras.config import BUSI_FOLDER
from busi_keras.report.class_table import class_table
from busi_keras.report.markdown import table

CONVENTIONS = (
    "Dice and IoU are means over images at mask threshold 0.5; an empty mask predicted on an empty mask counts as 1. "
    "A lesion is found at IoU above 0.3; false finds are per image. Brier score in [0, 2]. Calibration error over 15 "
    "bins of equal mass; its interval leans upward, because resampling adds error of its own. `novel` is the share of "
    "images flagged as unlike the training images."
)
"""How scores are to be understood wherever they stand with intervals."""


def model_card(card: Card) -> str:
    """Data, protocol, scores, thresholds, known failures, intended use, licence."""
    title = f"# Model card: {card.approach}, {card.backbone}"
    if card.members > 1:
        title += f", ensemble of {card.members}"
    lead = (
        f"**{card.intended_use}** A research tool, not a medical device: use it to study the data set and methods, not "
        "to make decisions about a patient."
    )
    phantoms = "**Trained on phantoms, synthetic images: it says nothing about patients.**"
    blocks = [
        title,
        lead,
        *([phantoms] * card.phantom),
        "## Data and training",
        _training(card),
        f"## Scores on the {card.scored} images",
        *([f"**{note}**"] if (note := card.scores.get("note")) else []),
        CONVENTIONS,
        _scores(card),
        *([class_table(card.scores)] if card.scores.get("confusion") else []),
        f"## Operating thresholds, chosen on validation; temperature {card.temperature:.3f}",
        _thresholds(card),
        "## Known failures: the worst of the scored images",
        "\n".join(f"- {failure}" for failure in card.failures) or "none",
        _not_tried(card),
        "## Licence",
        f"Code: MIT. {_terms(card)}",
    ]
    return "\n\n".join(blocks) + "\n"


def _training(card: Card) -> str:
    parts = "; ".join(
        f"{part}: {', '.join(f'{count} {name}' for name, count in counts.items())}"
        for part, counts in card.counts.items()
    )
    stages = ", ".join(f"{stage} {done['chosen']} of {done['trained']}" for stage, done in card.epochs.items())
    return "\n".join(
        [
            f"- data: {card.data}; protocol {card.protocol}; {parts}",
            f"- input: one B-mode image, letterboxed to {card.image_size} x {card.image_size} px",
            f"- starting weights: {card.weights}; epochs chosen: {stages}; {card.date}",
            f"- made with {', '.join(f'{name} {version}' for name, version in card.versions.items())}",
        ]
    )


def _scores(card: Card) -> str:
    shown = {name: value for name, value in card.scores.items() if isinstance(value, int | float | None)}
    if areas := card.scores.get("auc"):
        shown["malignant_auc"] = areas["malignant"]
    titles = ["score", "value", "95 % interval, resampling groups of near-duplicates and of one patient's images"]
    rows = [
        [
            name.replace("_", " "),
            "not defined" if value is None else f"{value:.4g}",
            " to ".join(f"{end:.4g}" for end in card.intervals.get(name, ())),
        ]
        for name, value in shown.items()
    ]
    return table(titles, rows)


def _thresholds(card: Card) -> str:
    lines = [
        f"- {name}: probability of malignant {at:.3f} or more{_done_by(name, card)}"
        for name, at in card.thresholds.items()
    ]
    lines = lines or ["none: the validation images were all malignant, or none were"]
    if card.novelty_threshold is not None:
        lines.append(f"- unlike the training images: novelty above {card.novelty_threshold:.3f}")
    return "\n".join(lines)


def _done_by(threshold: str, card: Card) -> str:
    """What a threshold did on the scored images, as the end of a sentence."""
    shown = [
        f"{name} {'not defined' if value is None else f'{value:.3f}'}"
        for name, value in card.operating.get(threshold, {}).items()
    ]
    return f"; on the {card.scored} images {', '.join(shown)}" if shown else ""


def _not_tried(card: Card) -> str:
    if card.protocol == "external":
        return "Scores on another source's images are in the study it belongs to, if any. Not tested: men, Doppler."
    return "Not tested: other devices, other hospitals, other populations, men, Doppler."


def _terms(card: Card) -> str:
    """Whose terms hold for the images, and so perhaps for the weights."""
    if card.phantom:
        return "Phantoms: made by this code."
    if card.data == BUSI_FOLDER:
        return "BUSI: Al-Dhabyani et al., Data in Brief 28 (2020) 104863; ask its source for its terms."
    return f"{card.data}: ask the source of these images for its terms."
