from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial import ConvexHull

from busi_keras.config import CLASSES
from busi_keras.data.phantom import Phantom, log_compress, make_phantom, speckle_envelope

BENIGN, MALIGNANT, NORMAL = range(3)
PER_CLASS = 80

seeds = st.integers(0, 2**32)
labels = st.integers(0, len(CLASSES) - 1)
sides = st.integers(16, 80)


@pytest.fixture(scope="module")
def phantoms() -> list[list[Phantom]]:
    """80 of each class."""
    return [[make_phantom(7, index, label, 96, 112) for index in range(PER_CLASS)] for label in range(len(CLASSES))]


@settings(max_examples=25, deadline=None)
@given(seeds, seeds, labels, sides, sides)
def test_a_phantom_depends_on_its_arguments_alone(seed: int, index: int, label: int, height: int, width: int) -> None:
    first, second = (make_phantom(seed, index, label, height, width) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.mask, second.mask)


@settings(max_examples=60, deadline=None)
@given(seeds, seeds, labels, sides, sides)
def test_image_and_mask_of_every_size(seed: int, index: int, label: int, height: int, width: int) -> None:
    phantom = make_phantom(seed, index, label, height, width)
    assert phantom.label == label
    assert (phantom.image.dtype, phantom.image.shape) == (np.uint8, (height, width))
    assert (phantom.mask.dtype, phantom.mask.shape) == (np.bool_, (height, width))
    assert ndimage.label(phantom.mask)[1] == (label != NORMAL)


def test_seeds_and_indices_give_different_images() -> None:
    images = {make_phantom(seed, index, BENIGN, 64, 64).image.tobytes() for seed in range(5) for index in range(5)}
    assert len(images) == 25


def test_the_lesion_lies_in_tissue_that_is_there_without_it() -> None:
    with_lesion, without = (make_phantom(3, 5, label, 128, 128) for label in (BENIGN, NORMAL))
    far_from_lesion = ~ndimage.binary_dilation(with_lesion.mask.any(axis=0), iterations=20)
    assert far_from_lesion.any()
    np.testing.assert_array_equal(with_lesion.image[:, far_from_lesion], without.image[:, far_from_lesion])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((-1, 0, BENIGN, 64, 64), "seed is -1"),
        ((0, -2, BENIGN, 64, 64), "index is -2"),
        ((0, 0, 3, 64, 64), "label is 3"),
        ((0, 0, BENIGN, 15, 64), "15 x 64"),
    ],
)
def test_an_argument_out_of_range_is_named(arguments: tuple[int, int, int, int, int], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make_phantom(*arguments)


def test_speckle_is_rayleigh_distributed() -> None:
    envelope = speckle_envelope(np.ones((512, 512), np.float32), np.random.default_rng(0))
    assert envelope.dtype == np.float32
    assert envelope.mean() / envelope.std() == pytest.approx(1.913, abs=0.05)  # Burckhardt 1978: sqrt(pi / (4 - pi))
    median_to_mean = np.sqrt(np.log(4)) / np.sqrt(np.pi / 2)
    assert np.median(envelope) / envelope.mean() == pytest.approx(median_to_mean, abs=0.02)
    assert (envelope**2).mean() == pytest.approx(1, abs=0.1)


def test_speckle_follows_the_amplitude() -> None:
    amplitude = np.ones((128, 128), np.float32)
    once, twice = (speckle_envelope(scale * amplitude, np.random.default_rng(1)) for scale in (1, 2))
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-4, atol=1e-6)


def test_speckles_are_wider_than_tall_and_widen_away_from_the_focus() -> None:
    envelope = speckle_envelope(np.ones((512, 512), np.float32), np.random.default_rng(2))

    def correlation(rows: slice, down: int, right: int) -> float:
        part = envelope[rows]
        here, there = part[: len(part) - down, : 512 - right], part[down:, right:]
        return float(np.corrcoef(here.ravel(), there.ravel())[0, 1])

    everywhere = slice(None)
    assert correlation(everywhere, 0, 3) > correlation(everywhere, 3, 0) + 0.2
    assert correlation(slice(462, 512), 0, 5) > correlation(slice(103, 256), 0, 5) + 0.1  # the focus is at 0.2 to 0.5


@pytest.mark.parametrize(
    ("envelope", "grey"), [(1, 255), (10, 255), (10**-1.5, 127.5), (10**-0.75, 191.25), (1e-3, 0), (0, 0)]
)
def test_log_compression_of_60_decibels(envelope: float, grey: float) -> None:
    assert log_compress(np.full((2, 2), envelope, np.float32), 60) == pytest.approx(grey, abs=0.01)


def test_malignant_lesions_are_taller_and_less_smooth_but_not_all(phantoms: list[list[Phantom]]) -> None:
    benign_height, malignant_height = (measured(_height_to_width, phantoms[label]) for label in (BENIGN, MALIGNANT))
    assert benign_height.mean() < 0.85
    assert malignant_height.mean() > 1
    assert 0.03 < _chance_greater(benign_height, malignant_height) < 0.25

    benign_solidity, malignant_solidity = (measured(_solidity, phantoms[label]) for label in (BENIGN, MALIGNANT))
    assert benign_solidity.mean() > malignant_solidity.mean() + 0.05
    assert 0.75 < _chance_greater(benign_solidity, malignant_solidity) < 0.98


def test_the_sound_behind_benign_lesions_is_stronger_and_behind_malignant_ones_weaker_but_not_always(
    phantoms: list[list[Phantom]],
) -> None:
    benign, malignant = (measured(_brightness_behind, phantoms[label]) for label in (BENIGN, MALIGNANT))
    assert benign.mean() > 5
    assert malignant.mean() < -8
    assert 0.65 < _chance_greater(benign, malignant) < 0.95


@pytest.mark.parametrize(
    "region",
    [np.s_[:, :], np.s_[:16, :16], np.s_[:16, -16:], np.s_[-16:, :16], np.s_[-16:, -16:]],
    ids=["whole", "upper left", "upper right", "lower left", "lower right"],
)
def test_brightness_does_not_tell_the_class(phantoms: list[list[Phantom]], region: tuple[slice, slice]) -> None:
    by_class = [measured(lambda phantom: phantom.image[region].mean(), of_class) for of_class in phantoms]
    for one, other in combinations(by_class, 2):
        assert _chance_greater(one, other) == pytest.approx(0.5, abs=0.15)


def test_lesions_are_darker_than_tissue_but_no_threshold_finds_them(phantoms: list[list[Phantom]]) -> None:
    with_lesion = phantoms[BENIGN] + phantoms[MALIGNANT]
    darker = [p.image[~p.mask].mean() - p.image[p.mask].mean() for p in with_lesion]
    assert 10 < np.mean(darker) < 40
    assert np.mean([_best_threshold_dice(phantom) for phantom in with_lesion]) < 0.3


def test_lesions_vary_in_size_and_place(phantoms: list[list[Phantom]]) -> None:
    for of_class in (phantoms[BENIGN], phantoms[MALIGNANT]):
        smallest, largest = np.percentile(measured(lambda phantom: phantom.mask.mean(), of_class), [5, 95])
        assert largest > 5 * smallest
        centres = np.array([ndimage.center_of_mass(phantom.mask) for phantom in of_class]) / (96, 112)
        assert (centres.std(axis=0) > 0.08).all()


def measured(measure: Callable[[Phantom], float], of_class: list[Phantom]) -> np.ndarray:
    return np.array([measure(phantom) for phantom in of_class])


def _height_to_width(phantom: Phantom) -> float:
    rows, columns = np.nonzero(phantom.mask)
    return float((np.ptp(rows) + 1) / (np.ptp(columns) + 1))


def _solidity(phantom: Phantom) -> float:
    """Share of the lesion in its convex hull."""
    pixels = np.argwhere(phantom.mask)
    corners = np.concatenate([pixels + corner for corner in ((0, 0), (0, 1), (1, 0), (1, 1))])
    return float(len(pixels) / ConvexHull(corners).volume)


def _brightness_behind(phantom: Phantom) -> float:
    """Grey levels by which the tissue behind the lesion's middle is brighter than beside it at the same depth."""
    rows, columns = np.nonzero(phantom.mask)
    left, right = columns.min(), columns.max() + 1
    quarter = (right - left) // 4
    behind = phantom.image[rows.max() + 2 : rows.max() + 12].astype(float)
    beside = np.concatenate([behind[:, max(0, left - 15) : left], behind[:, right : right + 15]], axis=1)
    return float(behind[:, left + quarter : right - quarter].mean() - beside.mean())


def _best_threshold_dice(phantom: Phantom) -> float:
    dark = (phantom.image < threshold for threshold in range(5, 160, 5))
    return max(2 * (below & phantom.mask).sum() / (below.sum() + phantom.mask.sum()) for below in dark)


def _chance_greater(one: np.ndarray, other: np.ndarray) -> float:
    """Chance that a value of `one` exceeds one of `other`: the area under the ROC curve."""
    difference = one[:, None] - other[None, :]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)
