import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from busi_keras.evaluation.faithfulness import (
    Faithfulness,
    Localization,
    Perturbation,
    localization,
    mean_curves,
    perturbation,
    rank_correlation,
    summarize_faithfulness,
)

SIDE = 16


def lesion() -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[4:8, 4:12] = True
    return mask


def test_a_map_that_is_the_mask_is_perfect() -> None:
    found = localization(lesion().astype(np.float32), lesion())
    assert (found.energy_inside, found.pointing_game, found.iou) == (1.0, True, 1.0)
    assert found.chance == 32 / 256


def test_a_uniform_map_has_the_energy_of_chance() -> None:
    found = localization(np.ones((SIDE, SIDE), np.float32), lesion())
    assert found.energy_inside == pytest.approx(found.chance)
    assert found.iou == pytest.approx(found.chance)


def test_a_map_beside_the_lesion_misses_it() -> None:
    found = localization((~lesion()).astype(np.float32), lesion())
    assert (found.energy_inside, found.pointing_game, found.iou) == (0.0, False, 0.0)


@given(arrays(np.float32, (SIDE, SIDE), elements=st.floats(0, 1, width=32)), st.floats(0.5, 20))
def test_the_scale_of_a_map_does_not_matter(heat_map: np.ndarray, scale: float) -> None:
    heat_map[0, 0] = 1
    one, other = localization(heat_map, lesion()), localization(heat_map * np.float32(scale), lesion())
    assert one.energy_inside == pytest.approx(other.energy_inside, abs=1e-5)
    assert one.pointing_game == other.pointing_game
    assert 0 <= one.energy_inside <= 1


def test_the_curves_of_a_network_that_looks_at_the_lesion_alone() -> None:
    """Its probability is the lesion's share that is still bright; the lesion is an eighth of the image."""
    image = np.zeros((SIDE, SIDE, 3), np.float32)
    image[lesion()] = 200

    def probability(images: np.ndarray) -> np.ndarray:
        return (images[:, lesion(), 0] == 200).mean(axis=1)

    right = perturbation(image, lesion().astype(float), probability)
    wrong = perturbation(image, (~lesion()).astype(float), probability)
    assert right.deletion_curve[:4] == (1, 0.5, 0, 0)  # an eighth is two of sixteen steps
    assert right.insertion_curve[:4] == (0, 0.5, 1, 1)
    assert right.deletion == pytest.approx(1 / 16, abs=0.01)  # falls from 1 to 0 over the first eighth
    assert right.insertion == pytest.approx(1 - 1 / 16, abs=0.01)
    assert wrong.deletion == pytest.approx(1 - 1 / 16, abs=0.01)
    assert wrong.insertion == pytest.approx(1 / 16, abs=0.01)


def test_the_curves_of_a_network_that_looks_at_nothing_are_constant() -> None:
    image = np.random.default_rng(0).uniform(0, 255, (SIDE, SIDE, 3)).astype(np.float32)
    found = perturbation(image, image[..., 0], lambda images: np.full(len(images), 0.7))
    assert found.deletion == pytest.approx(0.7)
    assert found.insertion == pytest.approx(0.7)


def test_maps_in_the_same_order_correlate_and_a_flat_one_with_none() -> None:
    values = np.random.default_rng(1).uniform(0, 1, (SIDE, SIDE))
    assert rank_correlation(values, values**3) == pytest.approx(1)
    assert rank_correlation(values, -values) == pytest.approx(-1)
    assert rank_correlation(values, np.zeros_like(values)) == 0


def test_each_number_is_averaged_over_the_images_of_a_class_that_have_it() -> None:
    hit, miss = Localization(0.75, True, 0.5, 0.25), Localization(0.25, False, 0.0, 0.25)
    found = [
        Faithfulness(hit, Perturbation((0.5, 0.25, 0.0), (0.75, 0.75, 0.75)), 0.5),
        Faithfulness(miss),
        Faithfulness(),
        Faithfulness(),
    ]
    summary = summarize_faithfulness([1, 1, 1, 2], found)
    assert list(summary) == ["benign", "malignant", "normal"]
    malignant = summary["malignant"]
    assert (malignant["energy_inside"], malignant["n_energy_inside"]) == (0.5, 2)
    assert (malignant["pointing_game"], malignant["iou"], malignant["chance"]) == (0.5, 0.25, 0.25)
    assert (malignant["deletion"], malignant["insertion"], malignant["n_insertion"]) == (0.25, 0.75, 1)
    assert (malignant["randomization"], malignant["n_randomization"]) == (0.5, 1)
    for empty in (summary["benign"], summary["normal"]):
        assert (empty["energy_inside"], empty["n_energy_inside"], empty["deletion"]) == (None, 0, None)


def test_curves_are_averaged_over_the_images_of_a_class_that_have_them() -> None:
    one, other = Perturbation((1.0, 0.5, 0.0), (0.0, 0.5, 1.0)), Perturbation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    found = [Faithfulness(perturbation=one), Faithfulness(), Faithfulness(perturbation=other), Faithfulness()]
    assert mean_curves([0, 0, 0, 1], found) == {"benign": Perturbation((0.75, 0.5, 0.25), (0.25, 0.5, 0.75))}
    assert Faithfulness(perturbation=one).to_json()["deletion_curve"] == [1.0, 0.5, 0.0]
    assert Faithfulness().to_json()["insertion_curve"] is None
