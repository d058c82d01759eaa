"""What a protocol gave over all its folds: pooled scores, intervals over groups, parts of the images."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from busi_keras.card import RESEARCH_USE
from busi_keras.config import CLASSES, NORMAL, Experiment
from busi_keras.data.marks import MARKED
from busi_keras.data.patients import united
from busi_keras.data.public_splits import VALIDATION
from busi_keras.evaluation.calibration import ReliabilityBin, reliability
from busi_keras.evaluation.intervals import RESAMPLES, Interval, group_numbers, metric_intervals
from busi_keras.evaluation.protocols import HOW_TO_READ, phantom_note
from busi_keras.evaluation.public_table import PublicScores, public_scores
from busi_keras.evaluation.scores import ImageScore, Metrics, summarize

SMALL_LESION = 0.05
"""Share of the image: the median of BUSI's lesions is 0.06."""
UNDISPUTED = "without label conflicts"


@dataclass(frozen=True)
class ExternalSource:
    """The folder that protocol `external` scores.

    Attributes:
        name: of the folder.
        fingerprint: of its files, as `data.busi.fingerprint`.
        left_out: names of its images that show a frame, or are of a patient, that was trained on.
        unusable: names of those whose files are broken or incomplete (`--skip-bad`).
    """

    name: str
    fingerprint: str
    left_out: tuple[str, ...]
    unusable: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """The scores of a protocol.

    Attributes:
        protocol: one of `config.PROTOCOLS`.
        splits: scores of the images that each fold was scored on, in the order of folds.
        metrics: over all of them, pooled.
        intervals: of the headline scores, over groups of near-duplicates and of images of one patient.
        undisputed: the same without the images that have a near-duplicate of another class; None where none is left.
        subsets: scores of parts of the images; a part that has no image is not there.
        epochs: of each fold, by stage of its training, validation scores of the chosen epoch and of the last.
        public: scored as the public segmentation table is; in protocol `lesion-70-30` alone.
        external: what was scored; in protocol `external` alone.
        note: how the numbers must be read; empty where there is nothing to say.
    """

    protocol: str
    splits: tuple[tuple[ImageScore, ...], ...]
    metrics: Metrics
    intervals: dict[str, Interval]
    undisputed: dict[str, Interval] | None
    subsets: dict[str, Metrics]
    epochs: tuple[dict[str, Any], ...]
    public: PublicScores | None
    external: ExternalSource | None
    note: str

    @property
    def scores(self) -> tuple[ImageScore, ...]:
        """Of each image that was scored, fold by fold."""
        return tuple(score for split in self.splits for score in split)

    @property
    def reliability(self) -> list[ReliabilityBin] | None:
        """The reliability diagram of all scores, pooled; None without a label head."""
        if self.metrics.confusion is None:
            return None
        probabilities = np.array([score.probabilities for score in self.scores])
        return reliability(probabilities, np.array([score.label for score in self.scores]))

    def to_json(self) -> dict[str, Any]:
        """What `study --json` prints and `study.json` holds."""
        return {
            "protocol": self.protocol,
            "n": self.metrics.n,
            "folds": len(self.splits),
            "intervals": {name: asdict(one) for name, one in self.intervals.items()},
            "intervals_without_label_conflicts": self.undisputed
            and {name: asdict(one) for name, one in self.undisputed.items()},
            "metrics": asdict(self.metrics),
            "subsets": {name: asdict(one) for name, one in self.subsets.items()},
            "reliability": self.reliability and [asdict(one) for one in self.reliability],
            "epochs": list(self.epochs),
            "public_table": self.public and asdict(self.public),
            "external": self.external and asdict(self.external),
            "note": self.note,
            "intended_use": RESEARCH_USE,
        }


def sum_up(
    experiment: Experiment,
    splits: Sequence[Sequence[ImageScore]],
    epochs: Sequence[dict[str, Any]],
    groups: Sequence[Sequence[str]],
    marks: Mapping[str, float],
    external: ExternalSource | None = None,
    resamples: int = RESAMPLES,
    patients: Sequence[Sequence[str]] = (),
) -> Study:
    """Pools the folds of a study.

    Args:
        experiment: of any of its folds.
        splits, epochs, external: as in `Study`.
        groups: near-duplicates among the images, names of two and more each.
        marks: `data.marks.mark_score` of images, by name; an image without one counts as neither with nor without.
        resamples: of the bootstrap.
        patients: images of one patient, names of two and more each.
    """
    scores = [score for split in splits for score in split]
    conflicting = _conflicting(scores, groups)
    undisputed = [score for score in scores if score.name not in conflicting]
    together = united(groups, patients)
    return Study(
        experiment.protocol,
        tuple(map(tuple, splits)),
        summarize(scores),
        _intervals(scores, together, resamples),
        _intervals(undisputed, together, resamples) if undisputed else None,
        _subsets(scores, conflicting, marks),
        tuple(epochs),
        public_scores(splits) if experiment.protocol == "lesion-70-30" else None,
        external,
        _note(experiment, splits, external),
    )


def _intervals(scores: Sequence[ImageScore], groups: Sequence[Sequence[str]], resamples: int) -> dict[str, Interval]:
    return metric_intervals(scores, group_numbers([score.name for score in scores], groups), resamples)


def _conflicting(scores: Sequence[ImageScore], groups: Sequence[Sequence[str]]) -> set[str]:
    """Names in groups whose images are not all of one class; the class of one that was not scored is its folder."""
    class_of = {score.name: CLASSES[score.label] for score in scores}
    return {name for group in groups if len({class_of.get(n, n.split("/")[0]) for n in group}) > 1 for name in group}


def _subsets(scores: Sequence[ImageScore], conflicting: set[str], marks: Mapping[str, float]) -> dict[str, Metrics]:
    lesions = [score for score in scores if score.label != NORMAL]
    known = [score for score in scores if score.name in marks]
    parts = {
        UNDISPUTED: [score for score in scores if score.name not in conflicting],
        "with label conflicts": [score for score in scores if score.name in conflicting],
        "with burnt-in marks": [score for score in known if marks[score.name] > MARKED],
        "without burnt-in marks": [score for score in known if marks[score.name] <= MARKED],
        "small lesions": [score for score in lesions if score.true_area < SMALL_LESION],
        "large lesions": [score for score in lesions if score.true_area >= SMALL_LESION],
        **{name: [score for score in scores if score.label == i] for i, name in enumerate(CLASSES)},
    }
    return {name: summarize(chosen) for name, chosen in parts.items() if chosen}


def _note(experiment: Experiment, splits: Sequence[Sequence[ImageScore]], external: ExternalSource | None) -> str:
    notes = phantom_note(experiment.data, external.name if external else experiment.data)
    if experiment.protocol in HOW_TO_READ:
        notes.append(HOW_TO_READ[experiment.protocol])
    if experiment.protocol == "lesion-70-30" and [tuple(one.name for one in split) for split in splits] != [
        *VALIDATION
    ]:
        notes.append("The splits are not the table's own: these are other images, drawn at random in the same way.")
    if external:
        notes.append(
            f"Protocol external: trained and validated on {experiment.data}, scored on {external.name}. Images left "
            f"out because they show frames, or are of patients, that were trained on: {len(external.left_out)}; "
            f"because their files are broken or incomplete: {len(external.unusable)}."
        )
    return " ".join(notes)
