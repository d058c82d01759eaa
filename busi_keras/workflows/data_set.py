"""From a source to images that can be trained on: which files are broken, who belongs together, who does what."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from busi_keras.config import CLASSES, NORMAL, PHANTOM, Experiment
from busi_keras.data.busi import Record, fingerprint, first_mask_only, read_sample
from busi_keras.data.duplicates import group_of, groups, near_duplicate_pairs
from busi_keras.data.patients import patients_among, united
from busi_keras.data.source import Source, find_source, is_demonstration, source_in
from busi_keras.data.split import (
    PARTS,
    Split,
    grouped_split,
    kfold_split,
    lesion_split,
    limited,
    seed_split,
    whole_split,
)
from busi_keras.errors import UsageError
from busi_keras.imaging import read_image
from busi_keras.training.run import Run

SHOWN_PROBLEMS = 5

log = logging.getLogger(__name__)


def source_of(run: Run, data: str) -> Source:
    """The images of a run that has begun: `auto` means the folder it began with, if that is known.

    Raises:
        UsageError: that folder is no longer there, or nothing tells where it is and BUSI cannot be had; the phantoms
            of the demonstration are made anew.
    """
    folder = run.data_folder
    if data != "auto":
        return find_source(data)
    if folder and folder.is_dir():
        return find_source(str(folder))
    if folder and not is_demonstration(folder):
        raise UsageError(
            f"{run.folder} was begun on {folder}, which is not there; put it back, or name the folder of the same "
            "files with --data"
        )
    if run.experiment.data == PHANTOM:
        return find_source(PHANTOM)
    return find_source("auto", or_phantoms=False)


def records_of(run: Run, data: str) -> list[Record]:
    """All images of a run that has begun.

    Args:
        data: where they are; `auto` means the folder it began with.

    Raises:
        UsageError: the data are others than it was trained on.
    """
    source = source_of(run, data)
    records = source.records()
    if fingerprint(records) != run.experiment.fingerprint:
        raise UsageError(
            f"{run.folder} was trained on {run.experiment.data}, but the files in {source.folder} are different; "
            "name the folder it was trained on with --data"
        )
    return records


def stored_split(run: Run, records: Sequence[Record]) -> Split:
    """The split of a run that has begun.

    Raises:
        UsageError: it names images that the data lack.
    """
    split = run.split
    missing = {name for part in PARTS for name in split.part(part)} - {record.name for record in records}
    if missing:
        raise UsageError(f"{run.folder} was split with {min(missing)}, which the data lack; give the same --data")
    return split


def new_split(
    experiment: Experiment,
    records: Sequence[Record],
    progress: Callable[[], None] = lambda: None,
    near_duplicates: Sequence[Sequence[str]] | None = None,
) -> Split:
    """Who trains, validates and tests. Every file is opened before anything is trained.

    Args:
        progress: called after each image.
        near_duplicates: their groups, where they are known; None to look for them.

    Raises:
        UsageError: files are broken and `skip_bad` is not set, or a class has no image; of normal images,
            `lesion-70-30` needs none. Also as `patients_among`.
    """
    records = with_masks_of(experiment.protocol, records)
    lesions_alone = experiment.protocol == "lesion-70-30"
    classes = [name for label, name in enumerate(CLASSES) if not (lesions_alone and label == NORMAL)]
    records = [record for record in records if CLASSES[record.label] in classes]
    records = limited(records, experiment.limit, experiment.seed)
    _require_classes(records, classes)
    patients = patients_among(records)
    problems: dict[str, str] = {}
    names = [record.name for record in records]
    if experiment.protocol in ("seed", "leaky", "lesion-70-30"):
        near_duplicates = ()
    if near_duplicates is None:
        near_duplicates = groups_among(records, problems, progress)
    else:
        deque(_readable(records, problems, progress), maxlen=0)
    group = group_of(names, united(near_duplicates, patients))
    _report(problems, experiment.skip_bad, len(records))
    good = [record for record in records if record.name not in problems]
    _require_classes(good, classes)
    return make_split(experiment, good, group)


def make_split(experiment: Experiment, records: Sequence[Record], group: Mapping[str, str]) -> Split:
    """The split of the experiment's protocol; `group` gives of each record's name who belongs to it: near-duplicates,
    and images of one patient."""
    if experiment.protocol == "seed":
        return seed_split(records)
    if experiment.protocol == "lesion-70-30":
        return lesion_split(records, experiment.fold, experiment.seed)
    if experiment.protocol == "external":
        return whole_split(records, group, experiment.seed)
    if experiment.protocol == "kfold":
        return kfold_split(records, group, experiment.folds, experiment.fold, experiment.seed)
    if experiment.protocol == "leaky":
        alone = {record.name: record.name for record in records}
        return kfold_split(records, alone, experiment.folds, experiment.fold, experiment.seed)
    return grouped_split(records, group, experiment.seed)


def part_records(experiment: Experiment, split: Split, part: str, records: Sequence[Record]) -> list[Record]:
    """The records of one part, in the split's order, with the masks that the protocol reads."""
    by_name = {record.name: record for record in records}
    return with_masks_of(experiment.protocol, [by_name[name] for name in split.part(part)])


def with_masks_of(protocol: str, records: Sequence[Record]) -> list[Record]:
    """The records with the masks that a protocol reads."""
    return first_mask_only(records) if protocol == "seed" else list(records)


def usable(records: Sequence[Record], skip_bad: bool, progress: Callable[[], None] = lambda: None) -> list[Record]:
    """Those whose files can be used; every one is opened.

    Args:
        progress: called after each image.

    Raises:
        UsageError: some cannot, and `skip_bad` is not set.
    """
    problems: dict[str, str] = {}
    deque(_readable(records, problems, progress), maxlen=0)
    _report(problems, skip_bad, len(records))
    return [record for record in records if record.name not in problems]


def class_counts(records: Sequence[Record]) -> dict[str, int]:
    """Images of each class."""
    return {name: sum(record.label == label for record in records) for label, name in enumerate(CLASSES)}


def groups_among(
    records: Sequence[Record], problems: dict[str, str] | None = None, progress: Callable[[], None] = lambda: None
) -> list[list[str]]:
    """Near-duplicate groups of two and more of these images.

    Args:
        problems: takes the problem of each record that cannot be used, by its name. Groups are those of all images
            that can be read, so that they do not hang on masks.
        progress: called after each image.
    """
    names = [record.name for record in records]
    images = _readable(records, {} if problems is None else problems, progress)
    return groups(near_duplicate_pairs(names, images), names)


def find_groups(folder: Path) -> list[list[str]]:
    """Near-duplicate groups of two and more images of a folder in BUSI's layout; what cannot be trained on is said.

    Raises:
        UsageError: the folder does not exist or is not in BUSI's layout.
    """
    problems: dict[str, str] = {}
    found = groups_among(source_in(folder).records(), problems)
    if problems:
        log.warning("%d images of %s cannot be trained on: %s", len(problems), folder, _few(problems))
    return found


def _readable(
    records: Sequence[Record], problems: dict[str, str], progress: Callable[[], None] = lambda: None
) -> Iterator[np.ndarray | None]:
    """Each record's image, None where it does not decode; the problem of one that cannot be used is noted."""
    for record in records:
        progress()
        try:
            yield read_sample(record).image
        except UsageError as error:
            problems[record.name] = str(error)
            yield _image_alone(record)


def _image_alone(record: Record) -> np.ndarray | None:
    try:
        return read_image(record.image)
    except UsageError:
        return None


def _require_classes(records: Sequence[Record], classes: Sequence[str]) -> None:
    counts = class_counts(records)
    for name in classes:
        if counts[name] == 0:
            raise UsageError(f"class {name} has no usable image, but {' and '.join(classes)} are trained; add some")


def _report(problems: Mapping[str, str], skip_bad: bool, total: int) -> None:
    if not problems:
        return
    for problem in problems.values():
        log.warning("cannot be used: %s", problem)
    if not skip_bad:
        listed = f"{len(problems)} of {total} images cannot be used: {_few(problems)}"
        raise UsageError(f"{listed}; fix them, or leave them out with --skip-bad")
    log.warning("%d of %d images are left out (--skip-bad)", len(problems), total)


def _few(problems: Mapping[str, str]) -> str:
    shown = "; ".join(list(problems.values())[:SHOWN_PROBLEMS])
    return shown + (f"; and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else "")
