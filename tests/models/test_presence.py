"""Mask and class speak with one voice, in training only where they must."""

import keras
import numpy as np
import pytest
from scipy.special import expit, softmax

from busi_keras.config import NORMAL
from busi_keras.models import build_multitask
from busi_keras.models.presence import PresenceBound, presence_logits
from tests.tiny import TINY

LABELS = np.array([[1.0, -2.0, 0.5], [0.0, 0.0, 4.0], [3.0, 3.0, -3.0]], np.float32)


@pytest.mark.backends
def test_presence_is_one_less_the_probability_of_normal() -> None:
    presence = expit(keras.ops.convert_to_numpy(presence_logits(LABELS)))
    np.testing.assert_allclose(presence, 1 - softmax(LABELS, axis=-1)[:, NORMAL], rtol=1e-5)


@pytest.mark.backends
def test_no_pixel_is_more_probably_a_lesion_than_the_image_shows_one() -> None:
    mask = np.random.default_rng(0).normal(0, 5, (3, 8, 8, 1)).astype(np.float32)
    bounded = keras.ops.convert_to_numpy(PresenceBound()(mask, LABELS))
    presence = 1 - softmax(LABELS, axis=-1)[:, NORMAL]
    expected = np.minimum(expit(mask), presence[:, None, None, None])
    np.testing.assert_allclose(expit(bounded), expected, atol=1e-6)
    assert not (bounded[1] > 0).any()  # more probably normal than not: nothing is outlined
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(PresenceBound()(mask, LABELS, training=True)), mask)


def test_a_network_that_is_sure_of_normal_outlines_nothing() -> None:
    keras.utils.set_random_seed(1)
    network = build_multitask(32, TINY, skips=True)
    logits = network.get_layer("mask_head").get_layer("logits")
    logits.set_weights([logits.get_weights()[0], np.array([9.0], np.float32)])
    images = np.random.default_rng(1).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    assert (network.predict_on_batch(images)["mask"] > 0).all()
    dense = network.get_layer("label_head").get_layer("logits")
    dense.set_weights([0 * dense.get_weights()[0], np.array([0.0, 0.0, 5.0], np.float32)])
    assert not (network.predict_on_batch(images)["mask"] > 0).any()
