"""The card: one JSON document that travels inside every stored format and says what the network is."""

import json
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from busi_keras.config import BUSI_FOLDER, CLASSES, PHANTOM
from busi_keras.errors import UsageError

CARD_FILE = "busi_keras.card.json"
MODEL_CARD_FILE = "model_card.md"
RESEARCH_USE = "Research use, not a diagnosis."
CONVENTIONS = (
    "Dice and IoU are means over images at mask threshold 0.5; an empty mask predicted on an empty mask counts as 1. "
    "A lesion is found at IoU above 0.3; false finds are per image. Brier score in [0, 2]. Calibration error over 15 "
    "bins of equal mass; its interval leans upward, because resampling adds error of its own. `novel` is the share of "
    "images flagged as unlike the training images."
)
"""How scores are to be understood wherever they stand with intervals."""


@dataclass(frozen=True)
class Card:
    """What one must know of a network before believing it.

    Attributes:
        approach: one of `config.APPROACHES`.
        image_size: S, side of the network's input in pixels.
        data: what it was trained on: `phantom`, or the name of the data set's folder.
        counts: images of each class a part: `{"train": {"benign": 305, ...}, ...}`.
        protocol: how they were split.
        weights: what the backbone started from.
        backbone: the encoder.
        epochs: the epoch that was chosen and how many were trained, a stage.
        scored: which part `scores` are of.
        scores: as `evaluate` reports them.
        intervals: of the headline scores among them, 95 % bootstrap over groups of near-duplicates and of one patient's
            images: low, high.
        versions: of Python and the libraries.
        date: when it was trained, ISO 8601.
        temperature: what the network divides its logits by, fitted on validation.
        thresholds: from which probability of malignant on an image counts as suspicious, by name; chosen on
            validation; empty where that had no malignant image, or nothing else.
        operating: by threshold, `sensitivity` and `specificity` for malignant on the scored images, None where those
            have no such image; empty where the thresholds were chosen on these images.
        novelty_threshold: from which `Outputs.novelty` on an image is not like the training images, set on validation;
            None where it was not fitted.
        failures: the worst of the scored images, a sentence each.
        trained_on: all that it and the networks that it started from were trained on: the folders' names, by
            `data.busi.fingerprint`; None where that is not known.
        classes: the order of the probabilities.
        intended_use: for the reader.
    """

    approach: str
    image_size: int
    data: str
    counts: dict[str, dict[str, int]]
    protocol: str
    weights: str
    backbone: str
    epochs: dict[str, dict[str, int]]
    scored: str
    scores: dict[str, Any]
    versions: dict[str, str]
    date: str
    temperature: float = 1.0
    thresholds: dict[str, float] = field(default_factory=dict)
    operating: dict[str, dict[str, float | None]] = field(default_factory=dict)
    novelty_threshold: float | None = None
    failures: tuple[str, ...] = ()
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    trained_on: dict[str, str] | None = None
    classes: tuple[str, ...] = CLASSES
    intended_use: str = field(default=RESEARCH_USE)

    @property
    def phantom(self) -> bool:
        """Whether it was trained on synthetic images."""
        return self.data == PHANTOM

    def is_novel(self, novelty: float) -> bool:
        """Whether an image is not like the training images; also where its distance is not a number."""
        return self.novelty_threshold is not None and not novelty <= self.novelty_threshold

    def to_json(self) -> str:
        """The card as a JSON document."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Card":
        """The card that `to_json` wrote."""
        fields = json.loads(text)
        intervals = {name: (low, high) for name, (low, high) in fields.get("intervals", {}).items()}
        tuples = {name: tuple(fields[name]) for name in ("classes", "failures")}
        return cls(**{**fields, **tuples, "intervals": intervals})

    def to_markdown(self) -> str:
        """The card as `model_card.md`: data, protocol, scores, thresholds, known failures, intended use, licence."""
        parts = "; ".join(
            f"{part}: {', '.join(f'{count} {name}' for name, count in counts.items())}"
            for part, counts in self.counts.items()
        )
        stages = ", ".join(f"{stage} {done['chosen']} of {done['trained']}" for stage, done in self.epochs.items())
        shown = {name: value for name, value in self.scores.items() if isinstance(value, int | float | None)}
        if areas := self.scores.get("auc"):
            shown["malignant_auc"] = areas["malignant"]
        scores = [
            f"| {name.replace('_', ' ')} | {'not defined' if value is None else f'{value:.4g}'} | "
            f"{' to '.join(f'{end:.4g}' for end in self.intervals.get(name, ()))} |"
            for name, value in shown.items()
        ]
        ensemble = f", ensemble of {len(self.epochs)}" if self.approach != "two-stage" and len(self.epochs) > 1 else ""
        thresholds = [
            f"- {name}: probability of malignant {at:.3f} or more{self._done_by(name)}"
            for name, at in self.thresholds.items()
        ]
        return "\n".join(
            [
                f"# Model card: {self.approach}, {self.backbone}{ensemble}",
                "",
                f"**{self.intended_use}** A research tool, not a medical device: use it to study the data set and "
                "methods, not to make decisions about a patient.",
                *(["", "**Trained on phantoms, synthetic images: it says nothing about patients.**"] * self.phantom),
                "",
                "## Data and training",
                "",
                f"- data: {self.data}; protocol {self.protocol}; {parts}",
                f"- input: one B-mode image, letterboxed to {self.image_size} x {self.image_size} px",
                f"- starting weights: {self.weights}; epochs chosen: {stages}; {self.date}",
                f"- made with {', '.join(f'{name} {version}' for name, version in self.versions.items())}",
                "",
                f"## Scores on the {self.scored} images",
                "",
                *([f"**{note}**", ""] if (note := self.scores.get("note")) else []),
                CONVENTIONS,
                "",
                "| score | value | 95 % interval, resampling groups of near-duplicates and of one patient's images |",
                "|---|---|---|",
                *scores,
                *self._classes(),
                "",
                f"## Operating thresholds, chosen on validation; temperature {self.temperature:.3f}",
                "",
                *(thresholds or ["none: the validation images were all malignant, or none were"]),
                *(
                    []
                    if self.novelty_threshold is None
                    else [f"- unlike the training images: novelty above {self.novelty_threshold:.3f}"]
                ),
                "",
                "## Known failures: the worst of the scored images",
                "",
                *([f"- {failure}" for failure in self.failures] or ["none"]),
                "",
                self._not_tried(),
                "",
                "## Licence",
                "",
                f"Code: MIT. {self._terms()}",
                "",
            ]
        )

    def _not_tried(self) -> str:
        if self.protocol == "external":
            return "Scores on another source's images are in the study it belongs to, if any. Not tested: men, Doppler."
        return "Not tested: other devices, other hospitals, other populations, men, Doppler."

    def _terms(self) -> str:
        """Whose terms hold for the images, and so perhaps for the weights."""
        if self.phantom:
            return "Phantoms: made by this code."
        if self.data == BUSI_FOLDER:
            return "BUSI: Al-Dhabyani et al., Data in Brief 28 (2020) 104863; ask its source for its terms."
        return f"{self.data}: ask the source of these images for its terms."

    def _classes(self) -> list[str]:
        """A table of the classes' own scores; empty without a label head."""
        columns = ("precision", "recall", "specificity", "f1", "auc")  # cards of before have no specificity
        rows = [
            f"| {name} | {found['support']} | "
            + " | ".join("not defined" if found.get(column) is None else f"{found[column]:.4g}" for column in columns)
            + " |"
            for name, found in self.scores.get("classes", {}).items()
            if any(found.get(column) is not None for column in columns)
        ]
        header = [
            "",
            "| class | n | precision | recall (sensitivity) | specificity | F1 | AUC against the rest |",
            "|---|---|---|---|---|---|---|",
        ]
        return [*header, *rows] if rows else []

    def _done_by(self, threshold: str) -> str:
        """What a threshold did on the scored images, as the end of a sentence."""
        shown = [
            f"{name} {'not defined' if value is None else f'{value:.3f}'}"
            for name, value in self.operating.get(threshold, {}).items()
        ]
        return f"; on the {self.scored} images {', '.join(shown)}" if shown else ""


def attach_card(model_file: Path, card: Card) -> None:
    """Adds the card to a file as a zip archive's entry.

    A `.keras` file is such an archive, and Keras passes over the card when it loads the model. A `.tflite` file gets
    the archive appended, which is how its format carries other files.
    """
    with zipfile.ZipFile(model_file, "a") as archive:
        archive.writestr(CARD_FILE, card.to_json())


def read_card(model_file: Path) -> Card:
    """The card in a `.keras` or `.tflite` file.

    Raises:
        UsageError: the file is missing or damaged, or carries no card.
    """
    try:
        with zipfile.ZipFile(model_file) as archive:
            return parse_card(archive.read(CARD_FILE).decode(), model_file)
    except FileNotFoundError:
        raise UsageError(f"{model_file} does not exist; train a model first: python cli.py train") from None
    except (OSError, zipfile.BadZipFile):
        raise UsageError(
            f"{model_file} is damaged or not a busi_keras {model_file.suffix} file; "
            "name a model that `train` or `export` made"
        ) from None
    except (KeyError, ValueError):
        raise _no_card(model_file) from None


def parse_card(text: str, model: Path) -> Card:
    """The card in the text that was found in a stored model; empty where none was.

    Raises:
        UsageError: it is no card.
    """
    try:
        return Card.from_json(text)
    except (KeyError, TypeError, ValueError):
        raise _no_card(model) from None


def _no_card(model: Path) -> UsageError:
    return UsageError(f"{model} has no busi_keras card; name a model that `train` or `export` made")
