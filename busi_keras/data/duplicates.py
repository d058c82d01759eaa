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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from threadpoolctl import threadpool_limits

from busi_keras.data.busi import natural_order

THRESHOLD = 0.41  # scores at and above it make a pair

# Lengths are in thumbnail pixels; a thumbnail has the image's aspect ratio and about this many pixels.
_AREA = 192 * 192
_LOCAL_SIGMA = 14.0  # neighbourhood in which brightness and contrast are evened out
_NOISE = 4.0  # gray levels below which a difference is not texture
_SIGMAS = tuple(2.0 * 2 ** (step / 3) for step in range(8))
_LEAST_RESPONSE = 0.02
_KEYPOINTS = 64
_PATCH = 16  # samples a side
_PATCH_REACH = 5.0  # half a side, in sigmas
_FREQUENCIES = 7
_CELL = 512
_PROBES = 3
_MATCH = 0.9  # cosine between descriptors
_TOLERANCE = 10.0
_MATCHES = 64  # of a descriptor in a cell, at most, the most alike
_LEAST_VOTES = 3
_BLOCK = 1 << 20  # matches times matches that are compared at once
_PARTNERS = 8  # of an image that are scored, at most, by votes
_OCTAVES = 0.4  # by how much two votes' scales may differ
_TILE = 16
_ENOUGH_TILES = 40  # with texture; the score is reduced under this number
_TILE_VARIANCE = 0.05
_FULL_OVERLAP = 0.5  # share of the smaller image from which on the score is not reduced


@dataclass(frozen=True)
class Pair:
    """Two images of one frame: names, `first` before `second` in natural order, and a score in [0, 1]."""

    first: str
    second: str
    score: float


@dataclass(frozen=True)
class _Frame:
    """An image made searchable.

    Texture float16 (h, w), points float32 (k, 3) of row, column and sigma, descriptors float32 (k, d) of unit length.
    """

    texture: np.ndarray
    points: np.ndarray
    descriptors: np.ndarray


@dataclass(frozen=True)
class _Placement:
    """Where the second image, left-right mirrored or not, lies in the first: scale * (row, column) + shift.

    `votes` key points of each image agree on it.
    """

    mirrored: bool
    scale: np.ndarray
    shift: np.ndarray
    votes: int


def near_duplicate_pairs(
    names: Sequence[str], images: Iterable[np.ndarray], threshold: float = THRESHOLD
) -> list[Pair]:
    """Pairs of images that show the same frame, in natural order of their names.

    Args:
        names: one unique name per image.
        images: uint8, (H, W, 3) or (H, W), any sizes; read one by one and not kept.
        threshold: least score of a pair, in (0, 1].

    Raises:
        ValueError: names that repeat or do not match the images in number; an image that is not uint8 of that shape.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must lie in (0, 1], got {threshold}")
    if len(set(names)) != len(names):
        raise ValueError("names must be unique: a name stands for one image")
    scores: dict[tuple[int, int], float] = defaultdict(float)
    with threadpool_limits(1):  # products of small matrices: threads wait for each other, for minutes on a busy machine
        frames = [_frame(_checked(name, image)) for name, image in zip(names, images, strict=True)]
        for mirrored in (False, True):
            for first, second, placement in _candidates(frames, mirrored):
                score = _score(frames[first], frames[second], placement)
                scores[first, second] = max(scores[first, second], score)
    found = []
    for ends, score in scores.items():
        if score >= threshold:
            first_name, second_name = sorted((names[end] for end in ends), key=natural_order)
            found.append(Pair(first_name, second_name, score))
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


def _frame(image: np.ndarray) -> _Frame:
    texture = _texture(_thumbnail(image))
    levels = np.stack([_blur(texture, sigma) for sigma in _SIGMAS])
    level, row, column = _keypoints(levels)
    points = np.stack([row, column, np.take(_SIGMAS, level)], axis=1).astype(np.float32)
    return _Frame(_blur(texture, 1.0).astype(np.float16), points, _describe(levels, level, row, column))


def _thumbnail(image: np.ndarray) -> np.ndarray:
    if image.ndim == 2:
        gray = image.astype(np.float32)
    else:  # the mean; NumPy's own over an axis of three takes many times as long
        gray = (image[..., 0].astype(np.float32) + image[..., 1] + image[..., 2]) / np.float32(3)
    height, width = gray.shape
    factor = (_AREA / (height * width)) ** 0.5
    rows, columns = (max(8, round(side * factor)) for side in (height, width))
    return _resize_matrix(rows, height) @ gray @ _resize_matrix(columns, width).T


@lru_cache(maxsize=256)
def _resize_matrix(size: int, source: int) -> np.ndarray:
    step = source / size
    centre = (np.arange(size) + 0.5) * step - 0.5
    weight = np.maximum(0, 1 - np.abs(centre[:, None] - np.arange(source)) / max(step, 1.0))
    return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)


@lru_cache(maxsize=256)
def _blur_matrix(size: int, sigma: float) -> np.ndarray:
    position = np.arange(size)
    weight = np.exp(-0.5 * ((position[:, None] - position) / sigma) ** 2)
    weight[weight < 1e-6] = 0  # denormal numbers would slow the products tenfold
    return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    height, width = image.shape
    return _blur_matrix(height, sigma) @ image @ _blur_matrix(width, sigma).T


def _texture(thumbnail: np.ndarray) -> np.ndarray:
    """Thumbnail with local mean 0 and local deviation 1 (less where there is only noise): gain and gamma drop out."""
    detail = thumbnail - _blur(thumbnail, _LOCAL_SIGMA)
    return detail / np.sqrt(_blur(detail * detail, _LOCAL_SIGMA) + _NOISE**2)


def _keypoints(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Level, row and column of the strongest blobs (extrema of differences of Gaussians) whose patches lie inside."""
    response = np.abs(np.diff(levels, axis=0))
    peak = (response == ndimage.maximum_filter(response, size=(3, 5, 5))) & (response > _LEAST_RESPONSE)
    level, row, column = np.nonzero(peak[1:-1])
    level += 1
    reach = _PATCH_REACH * np.take(_SIGMAS, level)
    _, height, width = levels.shape
    inside = (np.minimum(row, column) >= reach) & (row + reach < height - 1) & (column + reach < width - 1)
    level, row, column = level[inside], row[inside], column[inside]
    strongest = np.argsort(-response[level, row, column], kind="stable")[:_KEYPOINTS]
    return level[strongest], row[strongest], column[strongest]


def _describe(levels: np.ndarray, level: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Low frequencies of the patch around each key point, unit length, float32 (k, _FREQUENCIES**2 - 1)."""
    offset = np.take(_SIGMAS, level)[:, None] * np.linspace(-_PATCH_REACH, _PATCH_REACH, _PATCH)
    rows, columns = (row[:, None] + offset)[:, :, None], (column[:, None] + offset)[:, None, :]
    top, left = rows.astype(int), columns.astype(int)
    down, right = rows - top, columns - left
    index = level[:, None, None]
    upper = levels[index, top, left] * (1 - right) + levels[index, top, left + 1] * right
    lower = levels[index, top + 1, left] * (1 - right) + levels[index, top + 1, left + 1] * right
    patches = upper * (1 - down) + lower * down
    cosines = _cosines()
    descriptors = (cosines @ patches @ cosines.T).reshape(len(level), _FREQUENCIES**2)[:, 1:]
    length = np.linalg.norm(descriptors, axis=1, keepdims=True)
    return (descriptors / np.maximum(length, 1e-6)).astype(np.float32)


def _cosines() -> np.ndarray:
    wave = np.cos(np.arange(_FREQUENCIES)[:, None] * (np.arange(_PATCH) + 0.5) * np.pi / _PATCH)
    return wave / np.linalg.norm(wave, axis=1, keepdims=True)


def _mirrored(descriptors: np.ndarray) -> np.ndarray:
    """The descriptors of the left-right mirrored patches: odd horizontal frequencies change sign."""
    sign = np.where(np.arange(_FREQUENCIES) % 2, -1, 1).astype(np.float32)
    return descriptors * np.tile(sign, _FREQUENCIES)[1:]


def _candidates(frames: Sequence[_Frame], mirrored: bool) -> list[tuple[int, int, _Placement]]:
    """Pairs first < second to be scored, with their placements: those with most votes among the pairs of either image.

    Without that limit their number would grow with the square of the images'. On BUSI each true pair is among the
    first four of one of its images.
    """
    of_image: dict[int, list[tuple[int, int, _Placement]]] = defaultdict(list)
    proposed = list(_proposals(frames, mirrored))
    for proposal in sorted(proposed, key=lambda proposal: -proposal[2].votes):
        for image in proposal[:2]:
            of_image[image].append(proposal)
    kept = {proposal[:2] for partners in of_image.values() for proposal in partners[:_PARTNERS]}
    return [proposal for proposal in proposed if proposal[:2] in kept]


def _proposals(frames: Sequence[_Frame], mirrored: bool) -> Iterator[tuple[int, int, _Placement]]:
    """Pairs first < second with the placement that most of their matching key points vote for."""
    owner = np.repeat(np.arange(len(frames)), [len(frame.points) for frame in frames])
    if len(owner) == 0:
        return
    points = np.concatenate([frame.points for frame in frames])
    first, second = _matches(owner, np.concatenate([frame.descriptors for frame in frames]), mirrored)
    target, source = points[first], points[second]
    if mirrored:
        widths = np.array([frame.texture.shape[1] for frame in frames])
        source[:, 1] = widths[owner[second]] - 1 - source[:, 1]
    pair = owner[first] * len(frames) + owner[second]
    order = np.argsort(pair, kind="stable")
    bounds = np.flatnonzero(np.diff(pair[order], prepend=-1, append=-1))
    for hits in _blocks(bounds[:-1], np.diff(bounds)):
        real = hits >= 0
        agree = _agreement(target[order[hits]], source[order[hits]]) & real[:, :, None] & real[:, None, :]
        voters = agree[np.arange(len(hits)), agree.sum(axis=2).argmax(axis=1)]
        for row in np.flatnonzero(voters.sum(axis=1) >= _LEAST_VOTES):
            inliers = order[hits[row, voters[row]]]
            placement = _placement(target[inliers], source[inliers], mirrored)
            if placement.votes >= _LEAST_VOTES:
                yield *divmod(int(pair[inliers[0]]), len(frames)), placement


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
    queries = _mirrored(descriptors) if mirrored else descriptors
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
    return np.concatenate([np.argpartition(-(block @ centres.T), count - 1, axis=1)[:, :count] for block in blocks])


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


def _placement(target: np.ndarray, source: np.ndarray, mirrored: bool) -> _Placement:
    """The mean placement of the matches that agree, float32 (k, 3) each."""
    scale = (target[:, 2] / source[:, 2]).mean()
    shift = target[:, :2].mean(axis=0) - scale * source[:, :2].mean(axis=0)
    votes = min(len(np.unique(points, axis=0)) for points in (target, source))
    return _Placement(mirrored, np.full(2, scale), shift, votes)


def _score(first: _Frame, second: _Frame, placement: _Placement) -> float:
    """Median correlation of the tiles in the overlap, reduced where the overlap or the texture in it is small."""
    target, source = first.texture.astype(np.float32), second.texture.astype(np.float32)
    if placement.mirrored:
        source = source[:, ::-1]
    for sigma, steps in ((4.0, 6), (1.5, 4)):
        placement = _refined(_blur(target, sigma), _blur(source, sigma), placement, steps)
    laid = _lay(target, source, placement)
    if laid is None:
        return 0.0
    correlation = _tile_correlations(laid[0], laid[1])
    if len(correlation) == 0:
        return 0.0
    smaller = min(target.size, source.size * placement.scale.prod())
    covered = min(1.0, laid[0].size / smaller / _FULL_OVERLAP)
    textured = min(1.0, len(correlation) / _ENOUGH_TILES)
    return float(np.clip(np.median(correlation) * covered * textured, 0, 1))


def _lay(
    target: np.ndarray, source: np.ndarray, placement: _Placement
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """The part of the target that the source covers, the source resampled to it, the part's first row and column."""
    far = placement.shift + placement.scale * (np.array(source.shape) - 1)
    low = np.maximum(0, np.ceil(placement.shift)).astype(int)
    high = np.minimum(np.array(target.shape) - 1, np.floor(far)).astype(int) + 1
    if (high - low < 2 * _TILE).any():
        return None
    rows, columns = (
        (np.arange(low[axis], high[axis]) - placement.shift[axis]) / placement.scale[axis] for axis in (0, 1)
    )
    return target[low[0] : high[0], low[1] : high[1]], _resample(source, rows, columns), low


def _resample(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    top = np.clip(rows.astype(int), 0, image.shape[0] - 2)
    left = np.clip(columns.astype(int), 0, image.shape[1] - 2)
    down, right = (rows - top).astype(np.float32)[:, None], (columns - left).astype(np.float32)
    lines = image[top] * (1 - down) + image[top + 1] * down
    return lines[:, left] * (1 - right) + lines[:, left + 1] * right


def _refined(target: np.ndarray, source: np.ndarray, placement: _Placement, steps: int) -> _Placement:
    """Lucas-Kanade on shift and scale of both axes."""
    for _ in range(steps):
        laid = _lay(target, source, placement)
        if laid is None:
            return placement
        fixed, moving, corner = laid
        step = _registration_step(fixed, moving)
        size = np.array(fixed.shape)
        centre = corner + (size - 1) / 2
        stretch = 1 / (1 + 2 * step[2:] / size)
        shift = centre + (placement.shift - centre - step[:2]) * stretch
        placement = replace(placement, scale=placement.scale * stretch, shift=shift)
    return placement


def _registration_step(fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """Row and column shift, and row and column stretch at the border, in pixels, that bring two (h, w) images closer.

    A pixel counts less the larger its difference is, so that calipers and text do not pull.
    """
    row_slope, column_slope = np.gradient(moving)
    row, column = (np.linspace(-1, 1, side, dtype=np.float32) for side in moving.shape)
    motion = np.stack([row_slope, column_slope, row_slope * row[:, None], column_slope * column]).reshape(4, -1)
    gain = np.clip((moving * fixed).sum() / max(float((moving * moving).sum()), 1e-6), 0.3, 1.5)
    error = (fixed / gain - moving).ravel()
    weighted = motion / (1 + (error / 0.7) ** 2)
    damped = weighted @ motion.T + 1e-3 * error.size * np.eye(4)
    return np.clip(np.linalg.solve(damped, weighted @ error), -6, 6)


def _tile_correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Correlations, in [-1, 1], of the square tiles in which at least one of two equally large images has texture."""
    a, b = (_tiles(image) for image in (first, second))
    variance_a, variance_b = (a * a).mean(axis=1), (b * b).mean(axis=1)
    textured = np.maximum(variance_a, variance_b) > _TILE_VARIANCE
    return ((a * b).mean(axis=1) / np.sqrt(variance_a * variance_b + 1e-6))[textured]


def _tiles(image: np.ndarray) -> np.ndarray:
    """Whole tiles, float32 (n, _TILE**2), each less its mean."""
    rows, columns = image.shape[0] // _TILE, image.shape[1] // _TILE
    tiles = image[: rows * _TILE, : columns * _TILE].reshape(rows, _TILE, columns, _TILE).swapaxes(1, 2)
    flat = tiles.reshape(rows * columns, _TILE * _TILE)
    return flat - flat.mean(axis=1, keepdims=True)
