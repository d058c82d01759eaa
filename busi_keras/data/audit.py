"""What is wrong with a data set: broken files, unfit masks, duplicates, contradicting labels, leaks, marks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from busi_keras.config import CLASSES, NORMAL
from busi_keras.data.busi import Record
from busi_keras.data.duplicates import groups, near_duplicate_pairs
from busi_keras.data.marks import MARKED, extremes, mark_score
from busi_keras.data.patients import patients_among
from busi_keras.errors import UsageError
from busi_keras.imaging import read_image, read_mask

COLOURED = 0.001
"""Share of pixels that are not grey from which on an image counts as coloured."""
OUTSIDE = 0.05
"""Share of a lesion's pixels that may lie where the image is black."""
OUTLIER = 3.5
"""Robust z-score, Iglewicz and Hoaglin, 1993."""

_NOT_GREY = 16


@dataclass(frozen=True)
class ImageFacts:
    """What was found of one image. Numbers are None where the file does not decode.

    Attributes:
        name: as in `Record`.
        label: index into `CLASSES`.
        problems: what distorts training, a sentence each.
        remarks: what one should know, a phrase each.
        height, width: in pixels.
        masks: number of mask files.
        lesion_share: of the image's pixels, in [0, 1].
        colour: share of pixels that are not grey, in [0, 1].
        brightness, contrast: mean and standard deviation of grey, 0-255.
        marks: as `marks.mark_score`.
    """

    name: str
    label: int
    problems: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    height: int | None = None
    width: int | None = None
    masks: int = 0
    lesion_share: float | None = None
    colour: float | None = None
    brightness: float | None = None
    contrast: float | None = None
    marks: float | None = None


@dataclass(frozen=True)
class Audit:
    """What was found in a folder.

    Attributes:
        images: in natural order of their names.
        groups: near-duplicates, two names and more each.
        identical: among them, those that are equal pixel for pixel.
        conflicts: groups whose images do not all have one label.
        patients: images of one patient, two names and more each, as `patients_among`.
        leaks: groups, of near-duplicates and of one patient, and images that a given split has in more than one part; a
            sentence each; None where no split was given.
        masks_alone: files, as `data.busi.masks_alone`.
        passed_over: as `data.busi.passed_over`.
    """

    images: tuple[ImageFacts, ...]
    groups: tuple[tuple[str, ...], ...]
    identical: tuple[tuple[str, ...], ...]
    conflicts: tuple[tuple[str, ...], ...]
    patients: tuple[tuple[str, ...], ...]
    leaks: tuple[str, ...] | None = None
    masks_alone: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()

    @property
    def distorts(self) -> bool:
        """Whether something was found that would distort training or scores."""
        return bool(self.conflicts or self.leaks or self.masks_alone or any(image.problems for image in self.images))

    @property
    def classes_without_images(self) -> tuple[str, ...]:
        """A folder that is scored as `--external` may lack any, one that is trained on normal, by `lesion-70-30`."""
        present = {image.label for image in self.images}
        return tuple(name for label, name in enumerate(CLASSES) if label not in present)


def audit(
    records: Sequence[Record],
    parts: Mapping[str, Sequence[str]] | None = None,
    progress: Callable[[Record, np.ndarray | None], None] = lambda record, image: None,
) -> Audit:
    """Looks at every image and mask once.

    Args:
        records: from `data.busi.read_busi`.
        parts: a split, names by part, to look for leaks in.
        progress: called with each record and its pixels, None where it does not decode.

    Raises:
        UsageError: as `patients_among`.
    """
    facts: list[ImageFacts] = []
    patients = patients_among(records)

    def images() -> Iterator[np.ndarray | None]:
        for record in records:
            image = None
            try:
                image = read_image(record.image)
                facts.append(_facts(record, image))
            except UsageError as error:
                facts.append(ImageFacts(record.name, record.label, (str(error),), masks=len(record.masks)))
            progress(record, image)
            yield image

    names = [record.name for record in records]
    pairs = near_duplicate_pairs(names, images())
    found = tuple(map(tuple, groups(pairs, names)))
    label_of = {record.name: record.label for record in records}
    return Audit(
        images=tuple(_with_outliers(facts)),
        groups=found,
        identical=tuple(map(tuple, groups((pair for pair in pairs if pair.identical), names))),
        conflicts=tuple(group for group in found if len({label_of[name] for name in group}) > 1),
        patients=tuple(map(tuple, patients)),
        leaks=None if parts is None else tuple(_leaks(found, patients, parts)),
    )


def _facts(record: Record, image: np.ndarray) -> ImageFacts:
    problems: list[str] = []
    remarks: list[str] = []
    masks = {path: _usable_mask(path, image, problems) for path in record.masks}
    union = np.zeros(image.shape[:2], bool)
    for path, mask in masks.items():
        if mask is None:
            continue
        union |= mask
        if record.label != NORMAL and not mask.any():
            problems.append(f"{record.name} shows a lesion, but its mask {path.name} is empty")
    if not record.masks and record.label != NORMAL:
        problems.append(f"{record.name} shows a lesion and has no mask")
    elif record.label == NORMAL and union.any():
        problems.append(f"{record.name} is normal, but its mask is not empty")
    darkest, brightest = extremes(image)
    if union.any() and (black := float((brightest[union] == 0).mean())) > OUTSIDE:
        remarks.append(f"{black:.0%} of the mask lies where the image is black")
    if len(record.masks) > 1:
        remarks.append(f"{len(record.masks)} masks")
    grey = (image[..., 0].astype(float) + image[..., 1] + image[..., 2]) / 3
    colour = float((brightest - darkest > _NOT_GREY).mean())
    marks = mark_score(image)
    if colour > COLOURED:
        remarks.append("coloured")
    if marks > MARKED:
        remarks.append("marks are drawn on it")
    return ImageFacts(
        record.name,
        record.label,
        tuple(problems),
        tuple(remarks),
        height=image.shape[0],
        width=image.shape[1],
        masks=len(record.masks),
        lesion_share=float(union.mean()),
        colour=colour,
        brightness=float(grey.mean()),
        contrast=float(grey.std()),
        marks=marks,
    )


def _usable_mask(path: Path, image: np.ndarray, problems: list[str]) -> np.ndarray | None:
    """A mask that fits its image; None, and a problem more, where it does not."""
    try:
        mask = read_mask(path)
    except UsageError as error:
        problems.append(str(error))
        return None
    if mask.shape != image.shape[:2]:
        height, width = mask.shape
        problems.append(f"{path} is {width} x {height}, but its image is {image.shape[1]} x {image.shape[0]}")
        return None
    return mask


def _with_outliers(facts: Sequence[ImageFacts]) -> Iterator[ImageFacts]:
    """The same facts, with a remark where a number lies far from the others'."""
    measures: dict[str, Callable[[ImageFacts], float]] = {
        "size": lambda one: float(np.log((one.height or 1) * (one.width or 1))),
        "shape": lambda one: float(np.log((one.height or 1) / (one.width or 1))),
        "brightness": lambda one: one.brightness or 0.0,
        "contrast": lambda one: one.contrast or 0.0,
    }
    whole = [one for one in facts if one.height is not None]
    limits = {name: _spread([measure(one) for one in whole]) for name, measure in measures.items()}
    for one in facts:
        unusual = [
            f"unusual {name}"
            for name, measure in measures.items()
            if one.height is not None and abs(measure(one) - limits[name][0]) > OUTLIER * limits[name][1]
        ]
        yield replace(one, remarks=(*one.remarks, *unusual))


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """Median, and the median distance from it in standard deviations of a normal distribution.

    Where most values are equal that distance is 0, and the mean one is taken, as Iglewicz and Hoaglin do.
    """
    if not values:
        return 0.0, 0.0
    median = float(np.median(values))
    distances = np.abs(np.array(values) - median)
    return median, float(np.median(distances)) / 0.6745 or float(np.mean(distances)) * 1.253314


def _leaks(
    near_duplicates: Sequence[Sequence[str]], patients: Sequence[Sequence[str]], parts: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    where: dict[str, list[str]] = {}
    for part, names in parts.items():
        for name in names:
            where.setdefault(name, []).append(part)
    for name, in_parts in where.items():
        if len(in_parts) > 1:
            yield f"{name} is in {' and '.join(in_parts)}"
    for reason, found in (("show the same frame", near_duplicates), ("are from the same patient", patients)):
        for group in found:
            touched = {part for name in group for part in where.get(name, ())}
            if len(touched) > 1:
                yield f"{', '.join(group)} {reason} and are in {' and '.join(sorted(touched))}"
