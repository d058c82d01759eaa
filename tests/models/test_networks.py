"""What every network promises: shapes, types, preprocessing inside, a stored file that gives the same outputs."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest

from busi_keras.config import Experiment
from busi_keras.errors import UsageError
from busi_keras.models import build, build_classifier, build_multitask, build_two_stage, build_unet, join
from busi_keras.models.backbone import resolve_weights
from busi_keras.models.heads import build_label_head
from busi_keras.models.novelty import novelty_head
from busi_keras.models.temperature import set_temperature
from tests.lively import lively
from tests.tiny import TINY

pytestmark = pytest.mark.backends

SIZE = 64

NETWORKS: dict[str, tuple[Callable[[], keras.Model], set[str]]] = {
    "unet": (lambda: build_unet(SIZE, width=4), {"mask"}),
    "attention-unet": (lambda: build_unet(SIZE, width=4, attention=True), {"mask"}),
    "classifier": (lambda: build_classifier(SIZE, "mobilenet-v2"), {"label", "novelty"}),
    "multitask": (lambda: build_multitask(SIZE, "resnet50"), {"mask", "label", "novelty"}),
    "multitask-cnn": (lambda: build_multitask(SIZE, "mobilenet-v2", skips=True), {"mask", "label", "novelty"}),
    "multitask-cnn-attention": (
        lambda: build_multitask(SIZE, TINY, skips=True, attention=True),
        {"mask", "label", "novelty"},
    ),
    "multitask-cnn-deep": (
        lambda: build_multitask(SIZE, TINY, skips=True, deep_supervision=True),
        {"mask", "label", "novelty"},
    ),
    "ensemble": (
        lambda: join([build_multitask(SIZE, TINY, skips=True) for _ in range(2)]),
        {"mask", "label", "novelty"},
    ),
    "multitask-cnn-resnet50": (lambda: build_multitask(SIZE, "resnet50", skips=True), {"mask", "label", "novelty"}),
    "two-stage": (
        lambda: build_two_stage(build_unet(SIZE, width=4), build_classifier(SIZE, "mobilenet-v2")),
        {"mask", "label", "novelty"},
    ),
}


def test_dropout_goes_on_where_its_state_says() -> None:
    keras.utils.set_random_seed(3)
    head = build_label_head(build_multitask(SIZE, TINY).get_layer("encoder"))
    features = np.ones((4, *head.input_shape[1:]), np.float32)
    state = next(variable for variable in head.variables if "seed" in variable.path)
    before = keras.ops.convert_to_numpy(state).copy()
    first, second = (keras.ops.convert_to_numpy(head(features, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 0
    state.assign(before)
    keras.utils.set_random_seed(4)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(head(features, training=True)), first)


@cache
def built(name: str) -> keras.Model:
    """One of `NETWORKS`, not to be changed."""
    return NETWORKS[name][0]()


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (2, SIZE, SIZE, 3)).astype(np.float32)


@pytest.fixture
def bfloat16() -> Iterator[None]:
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def numpy(tensor: object) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


def run(network: keras.Model, images: np.ndarray) -> dict[str, np.ndarray]:
    """Compiled on JAX, where a network run operation by operation takes many times as long."""
    outputs = network.predict_on_batch(images) if keras.backend.backend() == "jax" else network(images, training=False)
    return {task: numpy(values) for task, values in outputs.items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_have_the_promised_names_shapes_and_types(name: str, images: np.ndarray) -> None:
    tasks = NETWORKS[name][1]
    outputs = run(built(name), images)
    assert set(outputs) == tasks
    shapes = {"mask": (2, SIZE, SIZE, 1), "label": (2, 3), "novelty": (2,)}
    for task in tasks:
        values = outputs[task]
        assert values.shape == shapes[task]
        assert values.dtype == np.float32
        assert np.isfinite(values).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_stored_network_gives_the_same_outputs(name: str, images: np.ndarray, tmp_path: Path) -> None:
    network = built(name)
    network.save(tmp_path / "network.keras")
    again = keras.models.load_model(tmp_path / "network.keras")
    expected = run(network, images)
    for task, values in run(again, images).items():
        np.testing.assert_allclose(values, expected[task], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "before", "after", "blocks"),
    [
        ("multitask", "conv4_block1_out", "conv4_block6_out", 16),
        ("multitask-cnn", "block_6_project_BN", "block_9_add", 10),
    ],
)
def test_a_residual_block_that_starts_from_nothing_starts_as_the_identity(
    name: str, before: str, after: str, blocks: int, images: np.ndarray
) -> None:
    encoder = built(name).get_layer("encoder")
    between = keras.Model(encoder.inputs, [encoder.get_layer(layer).output for layer in (before, after)])
    np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(maps) for maps in between(images, training=False)))
    silent = [
        layer.name
        for layer in encoder.layers
        if hasattr(layer, "gamma") and not np.any(keras.ops.convert_to_numpy(layer.gamma))
    ]
    assert len(silent) == blocks


@pytest.mark.usefixtures("bfloat16")
def test_heads_stay_float32_in_mixed_precision(images: np.ndarray) -> None:
    network = build_multitask(SIZE, "mobilenet-v2", skips=True)
    assert network.get_layer("encoder").output[-1].dtype == "bfloat16"
    assert {output.dtype for output in network.output.values()} == {"float32"}


def test_the_unet_has_four_levels_of_doubling_width() -> None:
    encoder = build_unet(SIZE).get_layer("encoder")
    assert [feature.shape[1:] for feature in encoder.output] == [
        (64, 64, 64),
        (32, 32, 128),
        (16, 16, 256),
        (8, 8, 512),
    ]


@pytest.mark.parametrize("backbone", ["resnet50", "mobilenet-v2", "efficientnet-lite0"])
def test_a_pyramid_halves_at_each_level(backbone: str) -> None:
    encoder = build_classifier(SIZE, backbone).get_layer("encoder")
    assert [feature.shape[1] for feature in encoder.output] == [32, 16, 8, 4, 2]


def test_resnet50_gets_the_pixels_its_imagenet_weights_expect() -> None:
    preprocessing = build_classifier(SIZE, "resnet50").get_layer("encoder").get_layer("preprocessing")
    red = np.full((1, 1, 1, 3), [255, 0, 0], np.float32)
    ours = numpy(preprocessing(red))
    np.testing.assert_allclose(ours[0, 0, 0], [-103.939, -116.779, 255 - 123.68], atol=1e-3)
    np.testing.assert_allclose(ours, keras.applications.resnet50.preprocess_input(red.copy()), atol=1e-3)


def test_a_label_head_is_pooling_and_one_dense_layer() -> None:
    encoder = build_unet(SIZE, width=4).get_layer("encoder")
    head = build_label_head(encoder)
    kernel, bias = head.get_layer("logits").get_weights()
    features = np.random.default_rng(1).normal(size=(2, 8, 8, 32)).astype(np.float32)
    expected = features.mean(axis=(1, 2)) @ kernel + bias
    np.testing.assert_allclose(numpy(head(features, training=False)), expected, atol=1e-5)


@pytest.mark.parametrize("whence", ["file", "cache"])
def test_stored_weights_reach_the_layers_they_belong_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whence: str
) -> None:
    source = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3))
    file = tmp_path / "resnet.weights.h5"
    source.save_weights(file)
    if whence == "cache":  # where Keras' own download would lie
        monkeypatch.setattr("keras.src.applications.resnet.file_utils.get_file", lambda *asked, **options: str(file))
    weights = {"file": str(file), "cache": "imagenet"}[whence]
    encoder = build_classifier(SIZE, "resnet50", weights).get_layer("encoder")
    images = np.random.default_rng(0).uniform(0, 255, (1, SIZE, SIZE, 3)).astype(np.float32)
    expected = numpy(source(keras.applications.resnet50.preprocess_input(images.copy()), training=False))
    assert expected.max() > 0
    np.testing.assert_allclose(
        numpy(encoder(images, training=False)[-1]) / expected.max(), expected / expected.max(), atol=1e-4
    )


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    source = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(96, 96, 3))
    source.save_weights(tmp_path / "mobilenet.weights.h5")
    with pytest.raises(UsageError, match=r"mobilenet\.weights\.h5 does not fit resnet50 .* choose its --backbone"):
        build_classifier(SIZE, "resnet50", str(tmp_path / "mobilenet.weights.h5"))
    (tmp_path / "text.weights.h5").write_text("no weights")
    with pytest.raises(UsageError, match=r"text\.weights\.h5 does not fit"):
        build_classifier(SIZE, "mobilenet-v2", str(tmp_path / "text.weights.h5"))


def test_a_stored_network_is_what_all_of_another_starts_from_uncalibrated(images: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "trained.keras"
    asked = Experiment("multitask-cnn", "phantom", backbone="mobilenet-v2", image_size=SIZE)
    trained = build(asked)
    before = run(trained, images)
    set_temperature(trained, 2.0)
    trained.save(path)
    begun = run(build(replace(asked, weights=str(path))), images)
    for task in ("mask", "label"):
        np.testing.assert_allclose(begun[task], before[task], atol=1e-4)
    assert build(replace(asked, weights=str(path), image_size=96)).input_shape == (None, 96, 96, 3)

    with pytest.raises(UsageError, match=r"trained\.keras does not fit this network .*the same --approach, --backbone"):
        build(replace(asked, weights=str(path), attention_gates=True))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UsageError, match=r"trained\.keras does not fit this network"):
        build(replace(asked, weights=str(path)))


def test_weights_follow_what_can_be_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("busi_keras.models.imagenet.reachable", lambda url: False)
    assert resolve_weights("auto", "resnet50") == "none"
    with pytest.raises(UsageError, match=r"--weights imagenet: resnet50_weights.* give --weights none"):
        resolve_weights("imagenet", "resnet50")
    with pytest.raises(UsageError, match=r"nowhere\.h5: no such file"):
        resolve_weights("nowhere.h5", "resnet50")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5").touch()
    assert resolve_weights("auto", "resnet50") == "imagenet"


COMPARE = """
import sys, keras, numpy as np, busi_keras.models
from pathlib import Path
from busi_keras.explain.gradcam import GradCam
from busi_keras.explain.methods import METHODS
folder = Path(sys.argv[1])
images = np.load(folder / "images.npy")
for path in folder.glob("*.keras"):
    network = keras.models.load_model(path)
    classes, each = np.repeat(np.arange(3), len(images)), np.tile(images, (3, 1, 1, 1))
    methods = METHODS if path.stem == "two-stage" else ["gradcam"]
    maps = {method: GradCam(network, method).of_class(each, classes) for method in methods}
    outputs = network.predict_on_batch(images)
    for layer in network._flatten_layers():  # untrained masks hover about the threshold: so that all pixels count
        if isinstance(layer, keras.layers.Conv2D) and layer.name == "logits":
            layer.bias.assign(layer.bias + 10)
        if isinstance(layer, keras.layers.Dense) and layer.name == "logits":
            layer.bias.assign([0.0, 0.0, -20.0])
    maps["lesion map"] = GradCam(network).of_lesion(images)
    values = {name: np.stack([one.values for one in found]) for name, found in maps.items()}
    np.savez(path.with_suffix(f".{keras.backend.backend()}.npz"), **outputs, **values)
"""


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the other backends are started from here")
def test_one_file_gives_the_same_outputs_and_heat_maps_on_every_backend(images: np.ndarray, tmp_path: Path) -> None:
    keras.utils.set_random_seed(5)
    np.save(tmp_path / "images.npy", images)
    names = ("multitask", "multitask-cnn", "two-stage", "ensemble")
    for name in names:
        network = NETWORKS[name][0]()
        if name != "multitask":  # an untrained ResNet50 is lively by itself, an untrained MobileNetV2 gives zeros
            network = lively(network)
        head = novelty_head(network)
        features = np.random.default_rng(6).uniform(0, 2, (20, head.get_layer("texture").output.shape[-1]))
        head.get_layer("distance").fit(features.astype(np.float32))
        network.save(tmp_path / f"{name}.keras")
    for backend in ("tensorflow", "jax", "torch"):
        environment = os.environ | {"KERAS_BACKEND": backend}
        subprocess.run([sys.executable, "-c", COMPARE, tmp_path], check=True, env=environment)
    for name in names:
        expected = np.load(tmp_path / f"{name}.tensorflow.npz")
        other_methods = {"gradcam++", "hirescam"} if name == "two-stage" else set()
        assert {"mask", "label", "novelty", "gradcam", "lesion map"} | other_methods == set(expected)
        for task, values in expected.items():
            assert np.abs(values).max() > 0.01, (name, task)
            for backend in ("jax", "torch"):
                found = np.load(tmp_path / f"{name}.{backend}.npz")[task]
                relative = 1e-4 if task in ("mask", "label", "novelty") else 0.0
                np.testing.assert_allclose(found, values, atol=1e-4, rtol=relative, err_msg=f"{name} {task} {backend}")
