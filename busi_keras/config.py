"""What determines a run: the classes and the `Experiment`."""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from busi_keras.errors import UsageError

CLASSES = ("benign", "malignant", "normal")
MALIGNANT = CLASSES.index("malignant")
NORMAL = CLASSES.index("normal")
BUSI_FOLDER = "Dataset_BUSI_with_GT"
PHANTOM = "phantom"
"""What synthetic images are called in place of their folder's name."""

APPROACHES = ("two-stage", "multitask", "multitask-cnn")
SEGMENTERS = ("unet", "attention-unet")
BACKBONES = ("resnet50", "mobilenet-v2", "efficientnet-lite0", "efficientnet-lite2")
PROTOCOLS = ("grouped", "seed", "kfold", "leaky", "lesion-70-30", "external")
FOLDED_PROTOCOLS = ("kfold", "leaky", "lesion-70-30")
"""Those that `folds` and `fold` speak of."""
PRECISIONS = ("float32", "mixed_bfloat16")
BACKENDS = ("tensorflow", "jax", "torch")
MASK_LOSSES = ("bce", "dice-bce", "dice-boundary")
EPOCH_CHOICES = ("dice-accuracy", "iou")

COARSEST_STRIDE = 32
LARGEST_SEED = 2**31 - 1
"""Of any member. NumPy's old generator takes twice as much: folds count on from the seed."""
PRETRAINED_ENCODER_RATE = 0.3


@dataclass(frozen=True)
class Experiment:
    """All that determines a run, so that two runs with equal experiments on one machine are the same run.

    Attributes:
        approach: one of `APPROACHES`.
        data: `PHANTOM`, or the name of the folder the images came from.
        fingerprint: of the folder's files, from `data.busi.fingerprint`: other files are another experiment.
        backbone: one of `BACKBONES`; in the two-stage approach, the classifier's.
        segmenter: one of `SEGMENTERS`; used by the two-stage approach alone.
        width: channels of the U-Net's first level; each further level of the four doubles them.
        weights: what the backbone starts from: `"imagenet"`, `"none"`, or the path of a weights file; the path of a
            `.keras` file of the same network is what all of it starts from.
        weights_fingerprint: of that file, from `models.backbone.weights_fingerprint`; empty where there is none.
        image_size: side of the square network input, in pixels; a multiple of 32.
        batch_size: images a training step.
        epochs: passes over the training images, at most; in the two-stage approach, of each stage.
        frozen_epochs: the first so many of them train the heads alone; 0 where the backbone starts from nothing.
        learning_rate: peak of the cosine schedule.
        encoder_rate: factor of the learning rate in a pretrained encoder, once it is no longer frozen.
        average: momentum of the weights' exponential moving average, which is validated and kept; 0 for none.
        choose_by: one of `EPOCH_CHOICES`: by which validation score the epoch is chosen.
        patience: training ends after so many epochs without a better such score.
        mask_loss: one of `MASK_LOSSES`.
        mask_weight, label_weight: the two tasks' shares in the loss.
        heat_map_weight: share in the loss of the true class's heat map lying beside the lesion; 0 for none.
        class_weighting: weigh each image's cross-entropy by the inverse frequency of its class.
        class_balance: draw the images of an epoch so that each class comes equally often.
        augment: strength with which training images are flipped, warped and re-toned; 0 for not at all.
        attention_gates: gate the skips of `multitask-cnn`'s decoder by attention.
        deep_supervision: let every step of that decoder give a mask, and add them up.
        gradual_unfreezing: free a pretrained backbone from its coarsest maps to its finest, one more an epoch, rather
            than all at once.
        members: networks of the ensemble, each trained from a seed of its own, `seed` on; 1 for a single network.
        protocol: one of `PROTOCOLS`: who trains, validates and tests.
        folds, fold: number of folds and the one scored, counted from 0; used by `FOLDED_PROTOCOLS`.
        seed: of the split, the initial weights, the order of images and the augmentation.
        limit: use only so many images, stratified by class; None for all.
        skip_bad: leave out images whose files are broken or incomplete instead of refusing to train.
        precision: one of `PRECISIONS`.
        backend: one of `BACKENDS`.
    """

    approach: str
    data: str
    fingerprint: str = ""
    backbone: str = "resnet50"
    segmenter: str = "unet"
    width: int = 64
    weights: str = "none"
    weights_fingerprint: str = ""
    image_size: int = 224
    batch_size: int = 16
    epochs: int = 30
    frozen_epochs: int = 0
    learning_rate: float = 1e-3
    encoder_rate: float = 1.0
    average: float = 0.0
    choose_by: str = "dice-accuracy"
    patience: int = 12
    mask_loss: str = "dice-bce"
    mask_weight: float = 1.0
    label_weight: float = 1.0
    heat_map_weight: float = 0.0
    class_weighting: bool = False
    class_balance: bool = False
    augment: float = 1.0
    attention_gates: bool = False
    deep_supervision: bool = False
    gradual_unfreezing: bool = False
    members: int = 1
    protocol: str = "grouped"
    folds: int = 5
    fold: int = 0
    seed: int = 42
    limit: int | None = None
    skip_bad: bool = False
    precision: str = "float32"
    backend: str = "tensorflow"

    def __post_init__(self) -> None:
        for field, allowed in CHOICES.items():
            _require(getattr(self, field) in allowed, self, field, f"one of {', '.join(allowed)}")
        for field in ("width", "batch_size", "epochs", "patience", "members"):
            _require(getattr(self, field) >= 1, self, field, "at least 1")
        _require(
            self.image_size >= COARSEST_STRIDE and self.image_size % COARSEST_STRIDE == 0,
            self,
            "image_size",
            f"a positive multiple of {COARSEST_STRIDE}, such as 224",
        )
        for field in ("learning_rate", "encoder_rate"):
            _require(0 < getattr(self, field) < math.inf, self, field, "above 0 and finite")
        _require(0 <= self.average < 1, self, "average", "at least 0 and below 1, such as 0.99")
        for field in ("mask_weight", "label_weight", "heat_map_weight", "augment"):
            _require(0 <= getattr(self, field) < math.inf, self, field, "at least 0 and finite")
        _require(self.folds >= 2, self, "folds", "at least 2")
        _require(0 <= self.fold < self.folds, self, "fold", f"from 0 to {self.folds - 1} with --folds {self.folds}")
        largest = LARGEST_SEED - self.members + 1
        _require(0 <= self.seed <= largest, self, "seed", f"from 0 to {largest}")
        _require(0 <= self.frozen_epochs <= self.epochs, self, "frozen_epochs", f"from 0 to {self.epochs} (--epochs)")
        if self.approach == "two-stage":
            _require(self.members == 1, self, "members", "1 in two-stage: an ensemble is of multi-task networks")
            _require(not self.heat_map_weight, self, "heat_map_weight", "0 in two-stage, which classifies the lesion")
        if self.approach != "multitask-cnn":
            for field in ("attention_gates", "deep_supervision"):
                _require(not getattr(self, field), self, field, "left out: it is of multitask-cnn's decoder alone")
        _require(self.limit is None or self.limit >= 1, self, "limit", "at least 1")

    @property
    def pretrained(self) -> bool:
        """Whether the backbone starts from trained weights."""
        return self.weights != "none"

    def to_json(self) -> str:
        """The experiment as a JSON document, one field a line."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Experiment":
        """The experiment that `to_json` wrote. An unknown field is a `TypeError`."""
        return cls(**json.loads(text))

    @classmethod
    def read(cls, path: Path) -> "Experiment":
        """The experiment in a file; raises `UsageError` where there is none or it cannot be read."""
        try:
            return cls.from_json(path.read_text())
        except (FileNotFoundError, NotADirectoryError):
            raise UsageError(
                f"{path.parent} is not a run: it has no {path.name}; name a folder made by `train`"
            ) from None
        except UsageError as error:
            raise UsageError(f"{path} is not of this version: {error}") from None
        except (OSError, TypeError, ValueError) as error:
            raise UsageError(f"{path} is not an experiment ({error}); train again into a new folder") from None

    def differences(self, other: "Experiment", across_folds: bool = False) -> list[str]:
        """One phrase a field in which the two differ: `epochs 15, not 30`.

        Weights files count by their names and, where both are known, fingerprints: their folders are others on each
        machine. A data set's name does not count where its files are known to be the same, but for phantoms.

        Args:
            across_folds: let `fold` be another.
        """
        others = dataclasses.asdict(other)
        if across_folds:
            del others["fold"]
        return self.differences_from(others)

    def differences_from(self, asked: Mapping[str, Any]) -> list[str]:
        """As `differences`, from some of the fields of another; the values need not be such as an experiment can have.

        Args:
            asked: values by field.
        """
        mine = dataclasses.asdict(self)
        others = {**mine, **asked}
        for one in (mine, others):
            one["weights"] = Path(one["weights"]).name
        if not (mine["weights_fingerprint"] and others["weights_fingerprint"]):
            del mine["weights_fingerprint"]
        same_files = mine["fingerprint"] and mine["fingerprint"] == others["fingerprint"]
        if same_files and PHANTOM not in (mine["data"], others["data"]):
            del mine["data"]
        return [f"{name} {mine[name]}, not {others[name]}" for name in mine if mine[name] != others[name]]


CHOICES: dict[str, tuple[str, ...]] = {
    "approach": APPROACHES,
    "backbone": BACKBONES,
    "segmenter": SEGMENTERS,
    "protocol": PROTOCOLS,
    "precision": PRECISIONS,
    "backend": BACKENDS,
    "mask_loss": MASK_LOSSES,
    "choose_by": EPOCH_CHOICES,
}
"""What the fields of `Experiment` that name something may be."""

PROTOCOL_PRESETS: dict[str, dict[str, Any]] = {"lesion-70-30": {"image_size": 256, "folds": 3, "choose_by": "iou"}}
"""What a protocol sets apart from the defaults of `Experiment`."""


def _require(holds: bool, experiment: Experiment, field: str, expected: str) -> None:
    if not holds:
        option = "--" + field.replace("_", "-")
        raise UsageError(f"{option} is {getattr(experiment, field)!r}; it must be {expected}")
