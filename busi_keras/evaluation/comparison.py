"""Two studies on the same images: the paired bootstrap of what lies between them, over groups of near-duplicates."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from busi_keras.card import RESEARCH_USE
from busi_keras.data.patients import united
from busi_keras.errors import UsageError
from busi_keras.evaluation.intervals import (
    LESS_IS_BETTER,
    RESAMPLES,
    Interval,
    group_numbers,
    headline,
    paired_differences,
)
from busi_keras.evaluation.protocols import STRETCHED
from busi_keras.evaluation.scores import ImageScore, ScoreTable
from busi_keras.evaluation.study_folder import StudyFolder

SELECTIONS = {None: "all", True: "with near-duplicates", False: "without near-duplicates"}


@dataclass(frozen=True)
class Difference:
    """One score of two studies.

    Attributes:
        first, second: on the images where both have it; None where there are none.
        interval: of the first less the second.
        better: `first` or `second` where the interval leaves 0 out, else `not decided`.
    """

    first: float | None
    second: float | None
    interval: Interval
    better: str


@dataclass(frozen=True)
class Comparison:
    """What lies between two studies.

    Attributes:
        first, second: their names.
        n: images that both scored.
        differences: by score.
        settings: in what the experiments differ, a phrase each: `epochs 15, not 30`.
        images: `all`, or which of them, see `SELECTIONS`.
    """

    first: str
    second: str
    n: int
    differences: dict[str, Difference]
    settings: tuple[str, ...]
    images: str = "all"

    def to_json(self) -> dict[str, Any]:
        """What `compare --json` prints."""
        return asdict(self) | {"settings": list(self.settings), "intended_use": RESEARCH_USE}


def compare_studies(
    first: StudyFolder,
    second: StudyFolder,
    groups: Sequence[Sequence[str]],
    common: bool = False,
    resamples: int = RESAMPLES,
    duplicated: bool | None = None,
    patients: Sequence[Sequence[str]] = (),
) -> Comparison:
    """Compares the folds that are finished.

    Args:
        first, second: two studies' folders.
        groups: near-duplicates among the images, names of two and more each.
        common: compare on the images that both have scored, instead of refusing where one has scored more.
        resamples: of the bootstrap.
        duplicated: compare only images that have near-duplicates, or only those that have none; None for all.
        patients: images of one patient, names of two and more each; the bootstrap keeps them together, too.

    Raises:
        UsageError: the studies scored other images, or compared masks at another size; there is no image of that kind.
    """
    _require_comparable(first, second)
    ones, others = _by_image(first.by_fold(), second.by_fold())
    shared = [key for key in ones if key in others]
    if not shared or (len(shared) < max(len(ones), len(others)) and not common):
        way_out = "finish both, or compare these with --common" if shared else "compare studies of the same images"
        raise UsageError(
            f"{first.folder} scored {len(ones)} images, {second.folder} {len(others)}, and {len(shared)} of them are "
            f"the same; {way_out}"
        )
    if duplicated is not None:
        grouped = {name for group in groups for name in group}
        shared = [key for key in shared if (key[0] in grouped) == duplicated]
        if not shared:
            raise UsageError(f"no image that both scored is {SELECTIONS[duplicated]}; compare all of them")
    pair = [[scores[key] for key in shared] for scores in (ones, others)]
    tables = ScoreTable.of(pair[0]).paired(ScoreTable.of(pair[1]))
    numbers = group_numbers([name for name, _ in shared], united(groups, patients))
    estimates = [headline(table.metrics()) for table in tables]
    differences = {
        name: Difference(estimates[0][name], estimates[1][name], interval, _better(name, interval))
        for name, interval in paired_differences(pair[0], pair[1], numbers, resamples).items()
    }
    one, other = _names(first, second)
    settings = tuple(first.experiment.differences(second.experiment, across_folds=True))
    return Comparison(one, other, len(shared), differences, settings, SELECTIONS[duplicated])


def _require_comparable(first: StudyFolder, second: StudyFolder) -> None:
    data = [
        study.external_source.fingerprint if study.external_source else study.experiment.fingerprint
        for study in (first, second)
    ]
    if data[0] != data[1]:
        raise UsageError(f"{first.folder} and {second.folder} scored different files; compare studies on one data set")
    protocols = [study.experiment.protocol for study in (first, second)]
    sizes = [STRETCHED.get(protocol) for protocol in protocols]
    if sizes[0] != sizes[1]:
        raise UsageError(
            f"{first.folder} is of protocol {protocols[0]}, {second.folder} of {protocols[1]}: they compare masks at "
            "different sizes; compare studies of the same protocol, or kfold with leaky"
        )


def _by_image(
    first: Mapping[int, Sequence[ImageScore]], second: Mapping[int, Sequence[ImageScore]]
) -> list[dict[tuple[str, int], ImageScore]]:
    """Each study's scores, by the image's name and a number: of the fold, where the folds that both have hold out the
    same images; else the how-manieth time it was scored, since random splits score some images twice.
    """
    common = first.keys() & second.keys()
    alike = common and all({one.name for one in first[i]} == {one.name for one in second[i]} for i in common)
    found = []
    for study in (first, second):
        seen: Counter[str] = Counter()
        scores = {}
        for fold, score in ((fold, score) for fold, split in study.items() for score in split):
            scores[score.name, fold if alike else seen[score.name]] = score
            seen[score.name] += 1
        found.append(dict(sorted(scores.items())))
    return found


def _names(first: StudyFolder, second: StudyFolder) -> tuple[str, str]:
    one, other = (study.folder.resolve().name for study in (first, second))
    return (one, other) if one != other else (str(first.folder), str(second.folder))


def _better(score: str, interval: Interval) -> str:
    if interval.low is None or interval.high is None or interval.low <= 0 <= interval.high:
        return "not decided"
    return "second" if (interval.low > 0) == (score in LESS_IS_BETTER) else "first"
