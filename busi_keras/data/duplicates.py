"""Near-duplicate groups of ultrasound images: another crop, size, gain, annotation or mirror image of one frame.

Blobs in the locally normalized image propose where one image lies in another; the two are registered there, and the
score is the median correlation of the tiles that overlap. On BUSI (780 images), all pairs from 0.20 up were looked at
on contact sheets:

- 218 of the 243 pairs found score above 0.95, only 21 lie between 0.5 and 0.95: those are frames of one sweep.
- The lowest pairs found (0.42 to 0.51) are five of one lesion in neighbouring frames. The highest that are wrong
  score 0.36 (cysts), 0.34 and 0.33; 0.40 among the altered images below. The threshold lies between.
- 243 pairs, 156 groups, 355 images; the largest group, of 7, is one sweep (61, 94, 108, 114, 116, 119, 122). 8 groups
  (12 pairs) carry conflicting labels. Nothing seen was merged wrongly.
- Missed: pairs of a lesion in frames further apart, seven seen at 0.27 to 0.37, such as malignant 132 and 133,
  benign 400 and 415; other planes, by intent; rotated images and those with next to no texture.
- 350 altered BUSI images (70 to 95 % of each side kept, resized by 0.5 to 1.6, gamma 0.6 to 1.7 with gain, calipers and
  text, mirrored; alone and together) among all 780: each was found (least score 0.93), none was merged wrongly. Of the
  weak pairs three were missed and two others found: which ones are, hangs on the company.

Time grows little faster than the number of images: how many descriptors one is compared with, how many of its matches
count, and how many pairs of an image are scored, are all limited (`results/everyday.json` has the seconds).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from threadpoolctl import threadpool_limits

from busi_keras.data.busi import natural_order
from busi_keras.data.keypoints import BLANK, Frame, make_frame
from busi_keras.data.proposals import candidates
from busi_keras.data.registration import overlap_score
from busi_keras.imaging import pixels_digest

THRESHOLD = 0.41  # scores at and above it make a pair


@dataclass(frozen=True)
class Pair:
    """Two images of one frame.

    Attributes:
        first, second: names, in natural order.
        score: in [0, 1]; 1 of identical images.
        identical: equal pixel for pixel.
    """

    first: str
    second: str
    score: float
    identical: bool = False


def near_duplicate_pairs(
    names: Sequence[str], images: Iterable[np.ndarray | None], threshold: float = THRESHOLD
) -> list[Pair]:
    """Pairs of images that show the same frame, in natural order of their names.

    Of images that are equal pixel for pixel, the first makes an identical pair with each other one.

    Args:
        names: one unique name per image.
        images: uint8, (H, W, 3) or (H, W), any sizes; read one by one and not kept. None, one that cannot be read, is
            in no pair.
        threshold: least score of a pair, in (0, 1].

    Raises:
        ValueError: names that repeat or do not match the images in number; an image that is not uint8 of that shape.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must lie in (0, 1], got {threshold}")
    if len(set(names)) != len(names):
        raise ValueError("names must be unique: a name stands for one image")
    scores: dict[tuple[int, int], float] = defaultdict(float)
    frames: list[Frame] = []
    first_with: dict[str, int] = {}
    identical = set()
    with threadpool_limits(1):  # products of small matrices: threads wait for each other, for minutes on a busy machine
        for index, (name, image) in enumerate(zip(names, images, strict=True)):
            frames.append(make_frame(BLANK if image is None else _checked(name, image)))
            if image is not None and (first := first_with.setdefault(pixels_digest(image), index)) != index:
                identical.add((first, index))
        for mirrored in (False, True):
            for first, second, placement in candidates(frames, mirrored):
                score = overlap_score(frames[first], frames[second], placement)
                scores[first, second] = max(scores[first, second], score)
    found = []
    for ends, score in (scores | dict.fromkeys(identical, 1.0)).items():
        if score >= threshold:
            first_name, second_name = sorted((names[end] for end in ends), key=natural_order)
            found.append(Pair(first_name, second_name, score, ends in identical))
    return sorted(found, key=lambda pair: (natural_order(pair.first), natural_order(pair.second)))


def groups(pairs: Iterable[Pair], names: Iterable[str]) -> list[list[str]]:
    """Connected components of two images and more; groups and the names in each are in natural order.

    Raises:
        ValueError: a pair's name is not among `names`.
    """
    ordered = sorted(set(names), key=natural_order)
    position = {name: index for index, name in enumerate(ordered)}
    ends = [(pair.first, pair.second) for pair in pairs]
    unknown = {name for end in ends for name in end} - position.keys()
    if unknown:
        raise ValueError(f"pairs speak of {len(unknown)} unknown images, such as {min(unknown)!r}")
    rows, columns = [position[first] for first, _ in ends], [position[second] for _, second in ends]
    graph = coo_array((np.ones(len(ends)), (rows, columns)), shape=(len(ordered), len(ordered)))
    _, component = connected_components(graph, directed=False)
    members: dict[int, list[str]] = defaultdict(list)
    for name, label in zip(ordered, component, strict=True):
        members[int(label)].append(name)
    return [group for group in members.values() if len(group) > 1]


def group_of(names: Iterable[str], groups: Iterable[Sequence[str]]) -> dict[str, str]:
    """Every name -> the first name of its group; an image in no group is its own."""
    first = {name: group[0] for group in groups for name in group}
    return {name: first.get(name, name) for name in names}


def _checked(name: str, image: np.ndarray) -> np.ndarray:
    shape_fits = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if image.dtype != np.uint8 or not shape_fits or image.size == 0:
        raise ValueError(f"{name}: expected uint8 (H, W, 3) or (H, W), got {image.dtype} {image.shape}")
    return image
