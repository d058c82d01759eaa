"""ONNX, OpenVINO, LiteRT and int8: the same outputs as Keras, the card inside, and clear refusals."""

import json
import logging
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

from busi_keras.card import Card, attach_card, read_card
from busi_keras.errors import UsageError
from busi_keras.export.engine_file import ENGINE_FILES, export_engine_file, write_engine_file
from busi_keras.export.graph import for_inference, served_function
from busi_keras.export.saved_model import write_saved_model
from busi_keras.inference.engine import OUTPUTS, Outputs
from busi_keras.inference.engines.keras import KerasEngine
from busi_keras.inference.predictor import Predictor
from busi_keras.inference.processor import adds_8_bit_products_exactly
from busi_keras.models import build_two_stage, build_unet
from busi_keras.models.decoder import plain_decoder
from busi_keras.models.ensemble import join
from busi_keras.models.heads import build_label_head, build_mask_head, build_novelty_head
from busi_keras.models.multitask import with_heads
from busi_keras.models.novelty import novelty_head
from busi_keras.models.temperature import set_temperature

pytestmark = pytest.mark.slow

SIZE = 64
TEMPERATURE = 2.5
ROOT = Path(__file__).parents[2]
APPROACHES = ("two-stage", "multitask", "ensemble")
"""The layers of multitask-cnn are those of the first two."""
FLOAT_FORMATS = ("onnx", "openvino", "litert")


def small_network(approach: str) -> keras.Model:
    """As `models.build` makes it, on the contracting path of a U-Net in the place of a ResNet50."""
    keras.utils.set_random_seed(3)
    if approach == "ensemble":
        return fitted(join([small_multitask(), small_multitask()]))
    if approach == "multitask":
        return fitted(small_multitask())
    encoder = build_unet(SIZE, width=8).get_layer("encoder")
    image = keras.Input((SIZE, SIZE, 3), name="image")
    pyramid = encoder(image)
    classified = {"label": build_label_head(encoder)(pyramid[-1]), "novelty": build_novelty_head(encoder)(pyramid)}
    unet = build_unet(SIZE, width=4, attention=True)
    outline(unet, unet.get_layer("mask_head"), share=0.001)
    return fitted(build_two_stage(unet, keras.Model(image, classified, name="classifier")))


def small_multitask() -> keras.Model:
    encoder = build_unet(SIZE, width=8).get_layer("encoder")
    mask_head = build_mask_head(encoder, lambda pyramid: [plain_decoder(pyramid[-1], (16, 8, 8))])
    network = with_heads(encoder, mask_head, build_label_head(encoder), build_novelty_head(encoder))
    outline(network, mask_head, share=0.3)
    return network


def fitted(network: keras.Model) -> keras.Model:
    """As if some images had trained it, and sure that no image is normal, which would empty the mask."""
    head = novelty_head(network)
    features = np.random.default_rng(9).normal(size=(40, head.get_layer("texture").output.shape[-1]))
    head.get_layer("distance").fit(features.astype(np.float32))
    classifier = network.get_layer("classifier") if network.name == "two_stage" else network
    logits = classifier.get_layer("label_head").get_layer("logits")
    logits.set_weights([logits.get_weights()[0], np.array([0.0, 0.0, -3.0], np.float32)])
    set_temperature(network, TEMPERATURE)
    return network


def outline(network: keras.Model, mask_head: keras.Model, share: float) -> None:
    """Lets an untrained network outline a share of the pixels, and be sure of most: a crop hangs on a mask's pixels."""
    found = network.predict_on_batch(smooth_images(3))["mask"]
    kernel, bias = mask_head.get_layer("logits").get_weights()
    mask_head.get_layer("logits").set_weights([20 * kernel, 20 * (bias - np.quantile(found, 1 - share))])


def card(approach: str) -> Card:
    return Card(approach, SIZE, "phantom", {}, "grouped", "none", "resnet50", {}, "test", {"é": 1}, {}, "2026-11-23")


def smooth_images(count: int, seed: int = 5) -> np.ndarray:
    """Float32 `(count, S, S, 3)`, 0-255, blobs on noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (count, 6, 6), dtype=np.uint8)
    grey = [np.asarray(Image.fromarray(one).resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for one in coarse]
    return np.repeat(np.stack(grey)[..., None], 3, axis=-1).astype(np.float32)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `APPROACH/` with `model.keras` and that in each format."""
    folder = tmp_path_factory.mktemp("exported")
    for approach in APPROACHES:
        model_file = folder / approach / "model.keras"
        model_file.parent.mkdir()
        small_network(approach).save(model_file)
        attach_card(model_file, card(approach))
        function = served_function(model_file)
        for name in FLOAT_FORMATS:
            writer = __import__(ENGINE_FILES[name].writer, fromlist=["write"])
            writer.write(function, card(approach), model_file.with_suffix(ENGINE_FILES[name].suffix))
        write_engine_file(model_file, model_file.with_name("to_quantize.xml"), "openvino-int8")
    return folder


def outputs(path: Path, images: np.ndarray) -> Outputs:
    return Predictor.load(path).engine.run(images)


@pytest.mark.parametrize("export_format", FLOAT_FORMATS)
@pytest.mark.parametrize("approach", APPROACHES)
def test_every_engine_gives_what_keras_gives(approach: str, export_format: str, exported: Path) -> None:
    folder, images = exported / approach, smooth_images(3)
    predictor = Predictor.load(folder / f"model{ENGINE_FILES[export_format].suffix}")
    assert predictor.card == card(approach)
    expected = outputs(folder / "model.keras", images)
    assert 0 < (expected.mask > 0.5).mean() < 0.5
    assert (expected.novelty > 0.5).all()
    assert expected.heatmap.max() > 0.5
    logits = np.log(expected.probabilities)
    assert np.abs(softmax(TEMPERATURE * logits, axis=1) - expected.probabilities).max() > 0.1  # were it not calibrated
    for batch in (images, images[:1], images):
        found = predictor.engine.run(batch)
        for name in OUTPUTS:
            values = getattr(found, name)
            assert values.dtype == np.float32
            np.testing.assert_allclose(values, getattr(expected, name)[: len(batch)], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("approach", "weight_bits"), [("two-stage", 7), ("multitask", 7), ("multitask", 8)])
def test_int8_is_smaller_and_says_almost_the_same(
    approach: str,
    weight_bits: int,
    exported: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from busi_keras.export.int8 import quantize

    folder, images = exported / approach, smooth_images(24)
    target = tmp_path / "int8.xml"
    done = {"screening": {"sensitivity": 0.9, "specificity": 0.5}}
    stored = replace(card(approach), thresholds={"screening": 0.2}, operating=done, novelty_threshold=2.0)
    quantize(folder / "to_quantize.xml", (image[None] for image in images), stored, target, weight_bits)
    weights = (folder / "to_quantize.bin").stat().st_size
    assert target.with_suffix(".bin").stat().st_size < 0.6 * weights  # of so small a network; of ResNet50 0.25
    monkeypatch.setattr("busi_keras.inference.engines.openvino.adds_8_bit_products_exactly", lambda: False)
    with caplog.at_level(logging.WARNING):
        predictor = Predictor.load(target)
    own = predictor.card
    assert own.scores["note"].startswith("Scores and thresholds of malignant are those of the network in float32")
    assert own.operating == {}
    kept = {"scores": stored.scores, "operating": stored.operating, "novelty_threshold": stored.novelty_threshold}
    assert replace(own, **kept) == stored
    assert ("this processor has no VNNI" in caplog.text) == (weight_bits == 8)
    if weight_bits == 8 and not adds_8_bit_products_exactly():
        pytest.skip("8-bit weights want a processor with VNNI")
    fresh = smooth_images(8, seed=6)
    expected, found = outputs(folder / "model.keras", fresh), predictor.engine.run(fresh)
    assert np.abs(found.mask - expected.mask).mean() < 0.05
    if approach != "two-stage":  # its crops follow the mask's outermost pixels, which mean little here
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=0.05)
        change = own.novelty_threshold / stored.novelty_threshold
        np.testing.assert_allclose(found.novelty, change * expected.novelty, rtol=0.1)
        assert np.abs(found.heatmap - expected.heatmap).mean() < 0.05


def test_upsampling_and_convolution_in_one_give_what_both_give_to_the_edges() -> None:
    keras.utils.set_random_seed(7)
    image = keras.Input((5, 6, 3))
    doubled = keras.layers.UpSampling2D(2, interpolation="nearest")(image)
    x = keras.layers.Conv2D(4, 3, padding="same", bias_initializer="random_normal", activation="relu")(doubled)
    shared = keras.layers.UpSampling2D(2, interpolation="nearest")(x)
    both = keras.layers.Add()([keras.layers.Conv2D(4, 3, padding="same")(shared), shared])
    network = keras.Model(image, keras.layers.Conv2D(2, 3, padding="same")(both))
    images = np.random.default_rng(1).normal(size=(2, 5, 6, 3)).astype(np.float32)
    fused = for_inference(network)
    kinds = [type(layer).__name__ for layer in fused.layers]
    assert kinds.count("UpsampledConvolution") == 1
    assert kinds.count("ResizingUpSampling") == 1  # two layers take its map
    np.testing.assert_allclose(fused.predict_on_batch(images), network.predict_on_batch(images), atol=1e-5)


def test_cli_exports_and_predicts_without_importing_keras(exported: Path, tmp_path: Path) -> None:
    target = tmp_path / "made.onnx"
    command = [sys.executable, ROOT / "cli.py", "export", exported / "two-stage" / "model.keras", "--format", "onnx"]
    environment = os.environ | {"KERAS_BACKEND": "torch"}
    done = subprocess.run([*command, "--output", target], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    again = subprocess.run([*command, "--output", target], capture_output=True, text=True, env=environment)
    assert again.returncode == 2
    assert "made.onnx exists already" in again.stderr

    Image.fromarray(smooth_images(1)[0].astype(np.uint8)).save(tmp_path / "image.png")
    code = (
        "import sys, cli\n"
        "try:\n    cli.app()\nexcept SystemExit as e:\n    assert e.code == 0, e.code\n"
        "heavy = {'keras', 'tensorflow', 'torch', 'jax', 'matplotlib', 'sklearn', 'onnx', 'scipy.stats'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    for model in (target, exported / "two-stage" / "model.xml"):
        arguments = ["predict", tmp_path / "image.png", "--model", model, "--output", tmp_path / "out"]
        predicted = subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, env=environment
        )
        assert predicted.returncode == 0, predicted.stderr
        assert "image.png: " in predicted.stdout


def test_cli_explains_with_an_engine_file_what_comes_with_each_prediction(exported: Path, tmp_path: Path) -> None:
    folder = exported / "multitask"
    Image.fromarray(smooth_images(1)[0].astype(np.uint8)).save(tmp_path / "image.png")
    found = {}
    for model in ("model.onnx", "model.keras"):
        command = [sys.executable, ROOT / "cli.py", "gradcam", tmp_path / "image.png", "--model", folder / model]
        done = subprocess.run([*command, "--output", tmp_path / model, "--json"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found[model] = json.loads(done.stdout)["figures"][0]
        with Image.open(found[model]["figure"]) as figure:
            assert figure.width >= 1500
    assert found["model.onnx"]["label"] == found["model.keras"]["label"]
    assert not found["model.keras"]["flat"]
    measured = found["model.onnx"]["faithfulness"]
    for name in ("deletion", "insertion"):
        assert measured[name] == pytest.approx(found["model.keras"]["faithfulness"][name], abs=1e-3)
    assert measured["randomization"] is None  # that needs the network itself

    command = [sys.executable, ROOT / "cli.py", "gradcam", tmp_path / "image.png", "--model", folder / "model.onnx"]
    refused = subprocess.run([*command, "--target", "lesion"], capture_output=True, text=True, cwd=tmp_path)
    assert refused.returncode == 2
    assert "--target lesion by --method gradcam needs the network itself" in " ".join(refused.stderr.split())
    assert not (tmp_path / "gradcam").exists()


@pytest.mark.parametrize("suffix", [".onnx", ".xml", ".tflite"])
def test_files_that_are_missing_damaged_or_others_are_refused_in_a_sentence(
    suffix: str, exported: Path, tmp_path: Path
) -> None:
    good = exported / "multitask" / f"model{suffix}"
    path = tmp_path / f"model{suffix}"
    with pytest.raises(UsageError, match=rf"model\{suffix} does not exist"):
        Predictor.load(path)
    path.write_bytes(b"no model")
    with pytest.raises(UsageError, match=rf"model\{suffix} is damaged,? or not"):
        Predictor.load(path)
    shutil.copy(good.with_suffix(".bin"), tmp_path / "model.bin")
    path.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    with pytest.raises(UsageError, match=rf"model\{suffix} is damaged,? or not"):
        Predictor.load(path)


def test_an_openvino_model_needs_its_whole_bin_file(exported: Path, tmp_path: Path) -> None:
    good = exported / "multitask" / "model.xml"
    shutil.copy(good, tmp_path / "model.xml")
    for content in (None, good.with_suffix(".bin").read_bytes()[:1000]):
        if content:
            (tmp_path / "model.bin").write_bytes(content)
        with pytest.raises(UsageError, match=r"model\.xml is damaged, or not in openvino format"):
            Predictor.load(tmp_path / "model.xml")


def test_models_without_a_card_are_refused(exported: Path, tmp_path: Path) -> None:
    import onnx
    import openvino

    folder = exported / "multitask"
    model = onnx.load(folder / "model.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "model.onnx")
    network = openvino.Core().read_model(folder / "model.xml")
    network.set_rt_info("{}", ["busi_keras", "card"])
    openvino.save_model(network, tmp_path / "model.xml")
    content = (folder / "model.tflite").read_bytes()
    (tmp_path / "model.tflite").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "model.tflite", "a") as archive:
        archive.writestr("busi_keras.card.json", "{}")
    for suffix in (".onnx", ".xml", ".tflite"):
        with pytest.raises(UsageError, match=rf"model\{suffix} has no busi_keras card"):
            Predictor.load(tmp_path / f"model{suffix}")


def test_a_missing_library_is_named(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = exported / "multitask"
    for suffix, module, package in (
        (".onnx", "onnxruntime", "onnxruntime"),
        (".xml", "openvino", "openvino"),
        (".tflite", "ai_edge_litert", "ai-edge-litert"),
    ):
        for name in [name for name in sys.modules if name.split(".")[0] == module]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(UsageError, match=rf"model\{suffix} needs {package}, .* pip install {package}"):
            Predictor.load(folder / f"model{suffix}")


def test_exports_that_cannot_be_are_refused_before_anything_runs(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_file = exported / "multitask" / "model.keras"
    (tmp_path / "alone.bin").write_bytes(b"somebody's")
    with pytest.raises(UsageError, match=r"alone\.bin exists already; remove it first, or name another file"):
        export_engine_file(model_file, "openvino", tmp_path / "alone.xml")
    assert (tmp_path / "alone.bin").read_bytes() == b"somebody's"
    (tmp_path / "alone.bin").unlink()
    with pytest.raises(UsageError, match=r"model\.onnx exists already; remove it first, or name another file"):
        export_engine_file(model_file, "onnx", model_file.with_suffix(".onnx"))
    with pytest.raises(UsageError, match=r"--output is .*model\.bin; with --format openvino it must end with \.xml"):
        export_engine_file(model_file, "openvino", tmp_path / "model.bin")
    found = __import__("importlib.util", fromlist=["find_spec"]).find_spec
    absent = ["tensorflow"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in absent else found(name))
    with pytest.raises(UsageError, match=r"needs TensorFlow, whatever backend trained it; pip install 'tensorflow"):
        export_engine_file(model_file, "litert", tmp_path / "model.tflite")
    absent.append("nncf")
    with pytest.raises(UsageError, match=r"--format openvino-int8 needs nncf, not installed here; pip install -r"):
        export_engine_file(model_file, "openvino-int8", tmp_path / "model.xml")
    assert not any(tmp_path.iterdir())


def test_a_keras_file_that_carries_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    image = keras.Input((SIZE, SIZE, 3), name="image")
    keras.Model(image, keras.layers.Lambda(lambda x: x * 2)(image)).save(path)
    attach_card(path, card("multitask"))
    assert read_card(path).approach == "multitask"
    with pytest.raises(UsageError, match=r"model\.keras cannot be loaded \(.*ambda"):
        KerasEngine.load(path)


def test_a_saved_model_gives_what_keras_gives_by_its_newest_version(exported: Path, tmp_path: Path) -> None:
    model_file, images = exported / "two-stage" / "model.keras", smooth_images(3)
    version = tmp_path / "served" / "9"
    version.mkdir(parents=True)
    write_saved_model(model_file, version, "served")
    (tmp_path / "served" / "8").mkdir()
    (tmp_path / "served" / "8" / "saved_model.pb").write_bytes(b"an older version")
    (tmp_path / "served" / "10").mkdir()
    predictor = Predictor.load(tmp_path / "served")
    assert predictor.card == card("two-stage")
    expected = outputs(model_file, images)
    for found in (predictor.engine.run(images), Predictor.load(version).engine.run(images)):
        for name in OUTPUTS:
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-4)
    (version / "saved_model.pb").write_bytes((version / "saved_model.pb").read_bytes()[:1000])
    with pytest.raises(UsageError, match="9 is damaged, or not in saved-model format"):
        Predictor.load(version)
    with pytest.raises(UsageError, match="8 has no busi_keras card"):
        Predictor.load(tmp_path / "served" / "8")
    with pytest.raises(UsageError, match=r"10 holds no model\.keras; finish"):
        Predictor.load(tmp_path / "served" / "10")
