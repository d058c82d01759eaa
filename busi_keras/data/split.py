"""Who trains, who validates, who is tested."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from busi_keras.config import CLASSES, PROTOCOL_PRESETS
from busi_keras.data.busi import Record
from busi_keras.data.patients import PATIENTS_FILE
from busi_keras.data.public_splits import LESION_IMAGES, VALIDATION
from busi_keras.errors import UsageError
from busi_keras.files import write_text

PARTS = ("train", "validation", "test")

SHARES = (0.70, 0.15, 0.15)
"""Of train, validation and test in the protocol `grouped`."""

WHOLE_SHARES = (0.85, 0.15)
"""Of train and validation in the protocol `external`."""

INNER_FOLDS = 7
"""In `kfold`, one in so many of the images that are not tested validates."""


@dataclass(frozen=True)
class Split:
    """Names of records (`Record.name`) a part, each name in one part at most.

    `test` is empty in the protocols `seed` and `lesion-70-30`, where the validation images are scored, and in
    `external`, where another folder's are.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        counts = Counter((*self.train, *self.validation, *self.test))
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            raise ValueError(f"{twice[0]} stands in two parts of a split")

    def part(self, name: str) -> tuple[str, ...]:
        """The names of `train`, `validation` or `test`."""
        if name not in PARTS:
            raise ValueError(f"{name!r} is no part of a split")
        names: tuple[str, ...] = getattr(self, name)
        return names

    @property
    def scored(self) -> str:
        """The part to report: test where there is one, else validation."""
        return "test" if self.test else "validation"

    def write(self, path: Path) -> None:
        """Writes the split as JSON."""
        write_text(path, json.dumps({part: self.part(part) for part in PARTS}, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Split":
        """The split that `write` wrote; raises `UsageError` where the file does not hold one."""
        if not path.exists():
            raise UsageError(f"{path.parent} has no {path.name}; finish its training with --resume")
        try:
            return cls(**_parts(path))
        except (OSError, TypeError, ValueError) as error:
            raise UsageError(f"{path} is not a split ({error}); train again into a new folder") from None


def read_parts(path: Path) -> dict[str, tuple[str, ...]]:
    """The names of each part, whatever the parts are called, and also where a name stands in several of them.

    Args:
        path: a JSON object of lists of names.

    Raises:
        UsageError: the file does not hold that.
    """
    try:
        return _parts(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not a split ({error}); name a run's split.json") from None


def _parts(path: Path) -> dict[str, tuple[str, ...]]:
    found = json.loads(path.read_text())
    lists = list(found.values()) if isinstance(found, dict) else [None]
    if not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in lists):
        raise ValueError("it holds no lists of names")
    return {part: tuple(names) for part, names in found.items()}


def grouped_split(records: Sequence[Record], group_of: Mapping[str, str], seed: int) -> Split:
    """70/15/15, stratified by class; near-duplicate groups stay in one part.

    Args:
        group_of: group of each record's name; from `data.duplicates`.

    Raises:
        UsageError: a class of the records is missing in some part: it has too few different images.
    """
    part_of = _allocate(records, group_of, SHARES, seed)
    parts = {part: part_of == index for index, part in enumerate(PARTS)}
    _require_classes(records, group_of, parts)
    return _split(records, parts)


def kfold_split(records: Sequence[Record], group_of: Mapping[str, str], folds: int, fold: int, seed: int) -> Split:
    """Fold `fold` of `folds` is tested, one seventh of the others validates; grouped and stratified as above."""
    fold_of = _allocate(records, group_of, [1 / folds] * folds, seed)
    _require_classes(records, group_of, {f"fold {index}": fold_of == index for index in range(folds)})
    test = fold_of == fold
    rest = np.flatnonzero(~test)
    inner = _allocate([records[int(i)] for i in rest], group_of, [1 / INNER_FOLDS] * INNER_FOLDS, seed + 1)
    validation = np.zeros(len(records), bool)
    validation[rest[inner == 0]] = True
    parts = {"train": ~test & ~validation, "validation": validation, "test": test}
    _require_classes(records, group_of, parts)
    return _split(records, parts)


def whole_split(records: Sequence[Record], group_of: Mapping[str, str], seed: int) -> Split:
    """All images train, 85 %, or validate; none is held out. Grouped and stratified as above."""
    part_of = _allocate(records, group_of, WHOLE_SHARES, seed)
    parts = {"train": part_of == 0, "validation": part_of == 1}
    _require_classes(records, group_of, parts)
    return _split(records, parts | {"test": np.zeros(len(records), bool)})


def seed_split(records: Sequence[Record]) -> Split:
    """The original project's split: no groups, no test part, near-duplicates on both sides.

    `train_test_split(test_size=.2, stratify=labels, random_state=42)` over benign, malignant, normal, the file names
    of each sorted as strings: 156 of BUSI's 780 images validate, 87 benign, 42 malignant, 27 normal.
    """
    ordered = sorted(records, key=lambda record: (record.label, record.name))
    try:
        train, validation = train_test_split(
            [record.name for record in ordered],
            test_size=0.2,
            stratify=[record.label for record in ordered],
            random_state=42,
        )
    except ValueError as error:
        rarest, count = Counter(CLASSES[record.label] for record in records).most_common()[-1]
        raise UsageError(
            f"{len(records)} images, {count} of class {rarest}, are too few for --protocol seed ({error}); give more"
        ) from None
    return Split(tuple(train), tuple(validation), ())


def lesion_split(records: Sequence[Record], fold: int, seed: int) -> Split:
    """Split `fold`, 0 to 2, of the public segmentation table: 70 % of the lesion images train, 30 % validate.

    No groups, no strata, no test part. BUSI's 647 lesion images are split as the table's authors split them, image by
    image (`data.public_splits`); others are drawn in the same way.

    Args:
        records: lesion images alone.

    Raises:
        UsageError: there is no such split, or there are too few images.
    """
    folds = PROTOCOL_PRESETS["lesion-70-30"]["folds"]
    if fold >= folds:
        raise UsageError(f"--fold is {fold}; protocol lesion-70-30 has the splits 0 to {folds - 1}")
    names = [record.name for record in records]
    if set(names) == LESION_IMAGES:
        chosen = set(VALIDATION[fold])
        return Split(tuple(name for name in names if name not in chosen), VALIDATION[fold], ())
    if len(names) < 2:
        raise UsageError(f"{len(names)} lesion images are too few for --protocol lesion-70-30; give more")
    train, validation = train_test_split(names, test_size=0.3, random_state=seed + fold)
    return Split(tuple(train), tuple(validation), ())


def limited(records: Sequence[Record], limit: int | None, seed: int) -> list[Record]:
    """At most `limit` records, the classes in their proportions, at least one of each class that is there."""
    if limit is None or limit >= len(records):
        return list(records)
    rng = np.random.default_rng(seed)
    labels = _labels(records)
    present = sorted(set(labels.tolist()))
    if limit < len(present):
        raise UsageError(f"--limit is {limit}, below the {len(present)} classes of the data; give at least that")
    exact = {label: limit * np.mean(labels == label) for label in present}
    counts = {label: max(1, int(exact[label])) for label in present}
    while sum(counts.values()) != limit:
        step = 1 if sum(counts.values()) < limit else -1
        movable = [label for label in present if step > 0 or counts[label] > 1]
        label = max(movable, key=lambda label: step * (exact[label] - counts[label]))
        counts[label] += step
    chosen = [rng.permutation(np.flatnonzero(labels == label))[: counts[label]] for label in present]
    return [records[i] for i in sorted(np.concatenate(chosen))]


def _labels(records: Sequence[Record]) -> np.ndarray:
    return np.array([record.label for record in records])


def _require_classes(records: Sequence[Record], group_of: Mapping[str, str], parts: Mapping[str, np.ndarray]) -> None:
    """Each class that is there must be in every part, whose members are given as bool `(N,)`."""
    labels = _labels(records)
    for label, name in enumerate(CLASSES):
        lacking = [part for part, members in parts.items() if label not in labels[members]]
        if lacking and label in labels:
            groups = {group_of[record.name] for record in records if record.label == label}
            raise UsageError(
                f"class {name} has {len(groups)} different images (near-duplicates, and images that {PATIENTS_FILE} "
                f"lists as one patient's, count once), too few to be split: "
                f"{lacking[0]} would have none; give more of it"
            )


def _allocate(records: Sequence[Record], group_of: Mapping[str, str], shares: Sequence[float], seed: int) -> np.ndarray:
    """Deals whole groups out to parts, largest first, each to the part that lacks most of the group's classes.

    scikit-learn's `StratifiedGroupKFold` does the same for equal shares only, and may leave a small class out.

    Returns:
        int `(N,)`: each record's part, an index into `shares`.
    """
    classes = {name: np.zeros(len(CLASSES)) for name in sorted({group_of[record.name] for record in records})}
    for record in records:
        classes[group_of[record.name]][record.label] += 1
    shuffled = np.random.default_rng(seed).permutation(list(classes))
    targets = np.outer(shares, sum(classes.values()))
    missing = targets.copy()
    part_of_group = {}
    for name in sorted(shuffled, key=lambda name: -classes[name].sum()):
        lack = np.divide(missing, targets, out=np.zeros_like(targets), where=targets > 0) @ classes[name]
        part = max(range(len(shares)), key=lambda part: (round(lack[part], 9), -shares[part]))
        part_of_group[name] = part
        missing[part] -= classes[name]
    return np.array([part_of_group[group_of[record.name]] for record in records])


def _split(records: Sequence[Record], parts: Mapping[str, np.ndarray]) -> Split:
    return Split(
        **{
            part: tuple(record.name for record, member in zip(records, members, strict=True) if member)
            for part, members in parts.items()
        }
    )
