import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scipy import ndimage

from busi_keras.data.duplicates import Pair, group_of, groups, near_duplicate_pairs


def speckle(seed: int, height: int = 360, width: int = 440) -> np.ndarray:
    """A scan of its own: layered tissue, a dark lesion and speckle; uint8 (height, width)."""
    random = np.random.default_rng(seed)
    tissue = ndimage.gaussian_filter(random.standard_normal((height, width)), (5, 16))
    grain = ndimage.gaussian_filter(random.standard_normal((height, width)), (2.0, 3.0))
    row, column = np.mgrid[:height, :width]
    centre = random.uniform(0.35, 0.65, 2) * (height, width)
    lesion = ((row - centre[0]) / 45) ** 2 + ((column - centre[1]) / 70) ** 2 < 1
    echo = np.exp(0.5 * tissue / tissue.std() + 0.35 * grain / grain.std()) * np.where(lesion, 0.3, 1.0)
    return np.clip(70 * echo * np.linspace(1.2, 0.6, height)[:, None], 0, 255).astype(np.uint8)


def cropped(image: np.ndarray) -> np.ndarray:
    height, width = image.shape
    return image[: int(0.75 * height), width - int(0.75 * width) :]


def resized(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((int(1.4 * image.shape[1]), int(1.4 * image.shape[0]))))


def shrunk(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((image.shape[1] // 2, image.shape[0] // 2)))


def regained(image: np.ndarray) -> np.ndarray:
    return np.clip(255 * (image / 255) ** 1.6 * 1.5 + 8, 0, 255).astype(np.uint8)


def annotated(image: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    draw.line((120, 90, 320, 240), fill=255, width=2)
    draw.line((300, 100, 140, 230), fill=255, width=2)
    draw.text((20, image.shape[0] - 50), "RT BREAST 10 O'CLOCK", fill=255, font_size=22)
    draw.ellipse((image.shape[1] - 70, 10, image.shape[1] - 15, 65), outline=255, width=3)
    return np.asarray(picture)


def mirrored(image: np.ndarray) -> np.ndarray:
    return image[:, ::-1]


def all_at_once(image: np.ndarray) -> np.ndarray:
    return mirrored(annotated(resized(regained(cropped(image)))))


@pytest.mark.parametrize("alter", [cropped, resized, shrunk, regained, annotated, mirrored, all_at_once])
def test_another_version_of_a_frame_is_found_and_nothing_else(alter: Callable[[np.ndarray], np.ndarray]) -> None:
    scans = [speckle(seed) for seed in range(4)]
    names = ["a/a (1).png", "a/a (2).png", "a/a (10).png", "a/a (11).png", "a/a (9).png"]
    pairs = near_duplicate_pairs(names, [*scans, alter(scans[2])])
    assert [(pair.first, pair.second) for pair in pairs] == [("a/a (9).png", "a/a (10).png")]
    assert 0.6 < pairs[0].score <= 1


def test_identical_images_score_one_whatever_their_channels() -> None:
    scan = speckle(5)
    (pair,) = near_duplicate_pairs(["a", "b"], [scan, np.stack([scan] * 3, axis=2)])
    assert pair.score == pytest.approx(1, abs=1e-3)


def test_different_images_of_one_look_are_not_merged() -> None:
    assert near_duplicate_pairs([str(seed) for seed in range(24)], (speckle(seed) for seed in range(24))) == []


def test_shared_annotations_alone_do_not_merge() -> None:
    assert near_duplicate_pairs([str(seed) for seed in range(8)], [annotated(speckle(seed)) for seed in range(8)]) == []


def test_images_without_texture_are_merged_with_their_equals_alone() -> None:
    noise = np.random.default_rng(0).integers(60, 64, (300, 400), dtype=np.uint8)
    ramp = np.linspace(0, 255, 400, dtype=np.uint8)[None].repeat(300, axis=0)
    black, gray = np.zeros((300, 400), np.uint8), np.full((200, 500, 3), 90, np.uint8)
    images = [
        black,
        gray,
        noise,
        ramp,
        black,
        speckle(1),
        speckle(2),
        np.zeros((1, 1), np.uint8),
        np.zeros((1, 60_000), np.uint8),
    ]
    assert near_duplicate_pairs([str(index) for index in range(len(images))], images) == [Pair("0", "4", 1.0, True)]


def test_a_small_scan_in_a_black_screen_is_merged_with_its_equal() -> None:
    screen = np.zeros((400, 600), np.uint8)
    screen[100:230, 100:230] = speckle(3)[:130, :130]
    assert near_duplicate_pairs(["a", "b", "c"], [screen, screen.T.copy(), screen]) == [Pair("a", "c", 1.0, True)]


def test_images_that_cannot_be_read_are_in_no_pair() -> None:
    (pair,) = near_duplicate_pairs(["a", "b", "c", "d"], [None, speckle(0), None, cropped(speckle(0))])
    assert (pair.first, pair.second, pair.identical) == ("b", "d", False)


def test_nothing_to_compare_gives_no_pairs() -> None:
    assert near_duplicate_pairs([], []) == []
    assert near_duplicate_pairs(["a"], [speckle(0)]) == []


def test_pairs_do_not_depend_on_the_order_of_few_images() -> None:
    scans = [speckle(0), cropped(speckle(0)), speckle(1), regained(speckle(1)), speckle(2)]
    names = ["a", "b", "c", "d", "e"]
    forth = near_duplicate_pairs(names, scans)
    back = near_duplicate_pairs(names[::-1], scans[::-1])
    assert [(pair.first, pair.second) for pair in forth] == [("a", "b"), ("c", "d")]
    assert [(pair.first, pair.second) for pair in back] == [("a", "b"), ("c", "d")]
    assert [pair.score for pair in back] == pytest.approx([pair.score for pair in forth], abs=0.02)


def test_a_higher_threshold_keeps_fewer_pairs() -> None:
    scan = speckle(3)
    images = [scan, annotated(regained(scan))]
    (pair,) = near_duplicate_pairs(["a", "b"], images)
    assert pair.score < 1
    assert near_duplicate_pairs(["a", "b"], images, threshold=1.0) == []


@pytest.mark.parametrize(
    ("names", "images", "threshold", "message"),
    [
        (["a", "a"], [speckle(0), speckle(1)], 0.4, "unique"),
        (["a", "b"], [speckle(0)], 0.4, "zip"),
        (["a"], [speckle(0).astype(np.float32)], 0.4, "a: expected uint8"),
        (["a"], [np.zeros((4, 4, 4), np.uint8)], 0.4, "a: expected uint8"),
        (["a"], [np.zeros((0, 4), np.uint8)], 0.4, "a: expected uint8"),
        (["a"], [speckle(0)], 0.0, "threshold"),
    ],
)
def test_wrong_input_is_refused(names: list[str], images: list[np.ndarray], threshold: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        near_duplicate_pairs(names, images, threshold)


def test_groups_are_in_natural_order() -> None:
    names = ["n (10)", "n (9)", "n (1)", "b (2)", "b (11)", "n (3)"]
    pairs = [Pair("n (9)", "n (10)", 1.0), Pair("n (1)", "n (10)", 0.5), Pair("b (2)", "b (11)", 0.9)]
    found = groups(pairs, names)
    assert found == [["b (2)", "b (11)"], ["n (1)", "n (9)", "n (10)"]]
    assert group_of(names, found) == {
        "n (10)": "n (1)", "n (9)": "n (1)", "n (1)": "n (1)", "b (2)": "b (2)", "b (11)": "b (2)", "n (3)": "n (3)",
    }  # fmt: skip


def test_a_pair_of_unknown_images_is_refused() -> None:
    with pytest.raises(ValueError, match="'z'"):
        groups([Pair("a", "z", 1.0)], ["a", "b"])


NAMES = [f"image ({number})" for number in range(12)]


@given(
    ends=st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=14),
    data=st.data(),
)
def test_grouping_is_an_equivalence_and_independent_of_order(ends: list[tuple[str, str]], data: st.DataObject) -> None:
    pairs = [Pair(first, second, 1.0) for first, second in ends]
    found = groups(pairs, NAMES)
    member_of = group_of(NAMES, found)
    assert all(len(group) > 1 for group in found)
    assert len({name for group in found for name in group}) == sum(map(len, found))
    assert all(member_of[member_of[name]] == member_of[name] for name in NAMES)
    assert all(member_of[first] == member_of[second] for first, second in ends)
    lone = {name for name in NAMES if all(name not in end or end[0] == end[1] for end in ends)}
    assert {name for name in NAMES if not any(name in group for group in found)} == lone
    assert len(set(member_of.values())) >= len(NAMES) - len({frozenset(end) for end in ends if end[0] != end[1]})
    shuffled = [Pair(pair.second, pair.first, 1.0) for pair in data.draw(st.permutations(pairs))]
    assert groups(shuffled, data.draw(st.permutations(NAMES))) == found


@pytest.fixture(scope="module")
def busi_pairs() -> tuple[list[str], list[Pair]]:
    folder = Path(os.environ["BUSI_DATA_DIR"])
    paths = sorted(path for path in folder.glob("*/*.png") if re.fullmatch(r"\w+ \(\d+\)\.png", path.name))
    names = [f"{path.parent.name}/{path.name}" for path in paths]
    return names, near_duplicate_pairs(names, (np.asarray(Image.open(path).convert("RGB")) for path in paths))


@pytest.mark.busi
def test_busi_pairs_of_known_kinds_are_found(busi_pairs: tuple[list[str], list[Pair]]) -> None:
    scores = {(pair.first, pair.second): pair.score for pair in busi_pairs[1]}
    assert scores["benign/benign (433).png", "malignant/malignant (145).png"] > 0.99  # pixel for pixel
    assert scores["malignant/malignant (128).png", "malignant/malignant (129).png"] > 0.9  # another crop
    assert scores["malignant/malignant (7).png", "malignant/malignant (8).png"] > 0.9  # next frame of a sweep


@pytest.mark.busi
def test_busi_groups_are_many_and_small(busi_pairs: tuple[list[str], list[Pair]]) -> None:
    names, pairs = busi_pairs
    found = groups(pairs, names)
    assert len(names) == 780
    assert 145 <= len(found) <= 165
    assert 330 <= sum(map(len, found)) <= 375
    assert max(map(len, found)) <= 8
    conflicting = [group for group in found if len({name.split("/")[0] for name in group}) > 1]
    assert len(conflicting) == 8
