"""Which pairs of frames may show the same, and how one lies in the other: by matching descriptors and their votes."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from busi_keras.data.keypoints import Frame, mirrored_descriptors

_CELL = 512
_PROBES = 3
_MATCH = 0.9  # cosine between descriptors
_MATCHES = 64  # of a descriptor in a cell, at most, the most alike
_TOLERANCE = 10.0  # pixels of a thumbnail
_OCTAVES = 0.4  # by how much two votes' scales may differ
_LEAST_VOTES = 3
_BLOCK = 1 << 20  # matches times matches that are compared at once
_PARTNERS = 8  # of an image that are scored, at most, by votes


@dataclass(frozen=True)
class Placement:
    """Where the second image, left-right mirrored or not, lies in the first: scale * (row, column) + shift.

    `votes` key points of each image agree on it.
    """

    mirrored: bool
    scale: np.ndarray
    shift: np.ndarray
    votes: int


def candidates(frames: Sequence[Frame], mirrored: bool) -> list[tuple[int, int, Placement]]:
    """Pairs first < second to be scored, with their placements: those with most votes among the pairs of either image.

    Without that limit their number would grow with the square of the images'. On BUSI each true pair is among the
    first four of one of its images.
    """
    of_image: dict[int, list[tuple[int, int, Placement]]] = defaultdict(list)
    proposed = list(_proposals(frames, mirrored))
    for proposal in sorted(proposed, key=lambda proposal: -proposal[2].votes):
        for image in proposal[:2]:
            of_image[image].append(proposal)
    kept = {proposal[:2] for partners in of_image.values() for proposal in partners[:_PARTNERS]}
    return [proposal for proposal in proposed if proposal[:2] in kept]


def _proposals(frames: Sequence[Frame], mirrored: bool) -> Iterator[tuple[int, int, Placement]]:
    """Pairs first < second with the placement that most of their matching key points vote for."""
    owner = np.repeat(np.arange(len(frames)), [len(frame.points) for frame in frames])
    if len(owner) == 0:
        return
    targets = np.concatenate([frame.points for frame in frames])
    sources = targets.copy()
    if mirrored:
        widths = np.array([frame.texture.shape[1] for frame in frames])
        sources[:, 1] = widths[owner] - 1 - sources[:, 1]
    descriptors = np.concatenate([frame.descriptors for frame in frames])
    first, second, bounds = _by_pair(owner, *_matches(owner, descriptors, mirrored))
    for hits in _blocks(bounds[:-1], np.diff(bounds)):
        real = hits >= 0
        agree = _agreement(targets[first[hits]], sources[second[hits]]) & real[:, :, None] & real[:, None, :]
        voters = agree[np.arange(len(hits)), agree.sum(axis=2).argmax(axis=1)]
        for row in np.flatnonzero(voters.sum(axis=1) >= _LEAST_VOTES):
            inliers = hits[row, voters[row]]
            placement = _placement(targets[first[inliers]], sources[second[inliers]], mirrored)
            if placement.votes >= _LEAST_VOTES:
                yield int(owner[first[inliers[0]]]), int(owner[second[inliers[0]]]), placement


def _by_pair(owner: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matches sorted by the pair of images that they belong to, and where each pair begins; last, where the last ends.

    There are far more matches than all else: what is kept of each is two indices.
    """
    pair = owner[first] * (owner[-1] + 1) + owner[second]
    order = np.argsort(pair, kind="stable")
    return first[order], second[order], np.flatnonzero(np.diff(pair[order], prepend=-1, append=-1))


def _blocks(starts: np.ndarray, sizes: np.ndarray) -> Iterator[np.ndarray]:
    """Runs `start`, `start + 1`, ... of `size` numbers, as many of about one size at once as fit into memory.

    Yields int (n, largest size of the block), filled up with -1; runs under _LEAST_VOTES are left out.
    """
    queue = np.argsort(sizes, kind="stable")
    queue = queue[sizes[queue] >= _LEAST_VOTES]
    while len(queue):
        block = queue[: max(1, _BLOCK // sizes[queue[0]] ** 2)]
        block = block[sizes[block] <= 2 * sizes[block[0]]]
        place = np.arange(sizes[block[-1]])
        yield np.where(place < sizes[block, None], starts[block, None] + place, -1)
        queue = queue[len(block) :]


def _matches(owner: np.ndarray, descriptors: np.ndarray, mirrored: bool) -> tuple[np.ndarray, np.ndarray]:
    """Indices of descriptors that are alike, owner of the first < owner of the second.

    Descriptors are compared only within cells of about _CELL, so that the work does not grow with the square of their
    number; one that lies between cells is looked for in the _PROBES nearest. Only its _MATCHES best in a cell count:
    what is like everything tells nothing.
    """
    queries = mirrored_descriptors(descriptors) if mirrored else descriptors
    centres = descriptors[::_CELL]
    homes = _by_cell(_nearest(descriptors, centres, 1), len(centres))
    visits = _by_cell(_nearest(queries, centres, min(_PROBES, len(centres))), len(centres))
    found = [np.empty((2, 0), dtype=np.int32)]
    for members, askers in zip(homes, visits, strict=True):
        likeness = queries[askers] @ descriptors[members].T
        likeness[owner[askers][:, None] >= owner[members]] = -1
        if len(members) > _MATCHES:
            least = np.partition(likeness, -_MATCHES, axis=1)[:, -_MATCHES, None]
            likeness[likeness < least] = -1
        query, member = np.nonzero(likeness > _MATCH)
        found.append(np.stack([askers[query], members[member]]).astype(np.int32))
    first, second = np.concatenate(found, axis=1)
    return first, second


def _nearest(descriptors: np.ndarray, centres: np.ndarray, count: int) -> np.ndarray:
    """Indices, (n, count), of the centres most like each descriptor."""
    blocks = np.array_split(descriptors, len(descriptors) // 4096 + 1)
    found = np.empty((len(descriptors), count), dtype=np.int32)
    for rows, block in zip(np.array_split(found, len(blocks)), blocks, strict=True):
        rows[:] = np.argpartition(-(block @ centres.T), count - 1, axis=1)[:, :count]
    return found


def _by_cell(cells: np.ndarray, count: int) -> list[np.ndarray]:
    """For each of `count` cells the rows of `cells` (n, m) in which it occurs."""
    order = np.argsort(cells, axis=None, kind="stable")
    ends = np.searchsorted(cells.ravel()[order], np.arange(1, count))
    return np.split(order // cells.shape[1], ends)


def _agreement(target: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Bool (n, k, k): whether the placement that match i of a pair proposes lays match j right, too.

    Args:
        target, source: float32 (n, k, 3), row, column and sigma of the k matching key points of n pairs.
    """
    ratio = target[..., 2] / source[..., 2]
    shift = target[..., :2] - ratio[..., None] * source[..., :2]
    proposed = ratio[..., None, None] * source[:, None, :, :2] + shift[:, :, None]
    near = np.abs(proposed - target[:, None, :, :2]).max(axis=-1) < _TOLERANCE
    return near & (np.abs(np.log2(ratio[..., None] / ratio[:, None])) < _OCTAVES)


def _placement(target: np.ndarray, source: np.ndarray, mirrored: bool) -> Placement:
    """The mean placement of the matches that agree, float32 (k, 3) each."""
    scale = (target[:, 2] / source[:, 2]).mean()
    shift = target[:, :2].mean(axis=0) - scale * source[:, :2].mean(axis=0)
    votes = min(len(np.unique(points, axis=0)) for points in (target, source))
    return Placement(mirrored, np.full(2, scale), shift, votes)
