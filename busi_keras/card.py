"""The card: one JSON document that travels inside every stored format and says what the network is."""

import json
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from busi_keras.config import CLASSES, PHANTOM
from busi_keras.errors import UsageError

CARD_FILE = "busi_keras.card.json"
MODEL_CARD_FILE = "model_card.md"
RESEARCH_USE = "Research use, not a diagnosis."


@dataclass(frozen=True)
class Card:
    """What one must know of a network before believing it.

    Attributes:
        approach: one of `config.APPROACHES`.
        image_size: S, side of the network's input in pixels.
        data: what it was trained on: `phantom`, or the name of the data set's folder.
        counts: images of each class a part: `{"train": {"benign": 305, ...}, ...}`.
        protocol: how they were split.
        weights: the name of what the backbone, or of a `.keras` file the whole network, started from; with what it may
            have seen of these images, if anything.
        backbone: the encoder.
        epochs: of each stage the epoch that was `chosen`, counted from 1, and how many were `trained`.
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

    @property
    def members(self) -> int:
        """How many networks it is made of that do the same."""
        return 1 if self.approach == "two-stage" else max(1, len(self.epochs))

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
