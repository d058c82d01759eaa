import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from busi_keras.card import Card, attach_card
from busi_keras.data.phantom_set import write_phantoms


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("BUSI_DATA_DIR"):
        return
    skip = pytest.mark.skip(reason="needs real BUSI: set BUSI_DATA_DIR to the folder of benign, malignant and normal")
    for item in items:
        if "busi" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def phantom_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 phantoms of 64 px in BUSI's layout; not to be written to."""
    folder = tmp_path_factory.mktemp("data") / "phantoms"
    write_phantoms(folder, 48, seed=0, size=64)
    return folder


@pytest.fixture(scope="session")
def stored_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `.keras` file of an untrained two-stage network of 64 px, with its card."""
    import keras

    from busi_keras.models import build_classifier, build_two_stage, build_unet
    from busi_keras.models.novelty import novelty_head

    keras.utils.set_random_seed(4)
    unet = build_unet(64, width=4)
    logits = unet.get_layer("mask_head").get_layer("logits")
    logits.set_weights([20 * values for values in logits.get_weights()])  # untrained masks hover about the threshold
    path = tmp_path_factory.mktemp("stored") / "model.keras"
    network = build_two_stage(unet, build_classifier(64, "resnet50"))
    novelty = novelty_head(network)
    features = np.random.default_rng(9).normal(size=(40, novelty.get_layer("texture").output.shape[-1]))
    novelty.get_layer("distance").fit(features.astype(np.float32))
    network.save(path)
    card = Card("two-stage", 64, "phantom", {}, "grouped", "none", "resnet50", {}, "test", {}, {}, "2026-11-23")
    attach_card(path, card)
    return path


@pytest.fixture(scope="session")
def saved_model(stored_network: Path) -> Path:
    """`stored_network` as the eighth version of a served model."""
    from busi_keras.export.saved_model import export_saved_model

    (stored_network.parent / "served" / "7").mkdir(parents=True)
    return export_saved_model(stored_network, stored_network.parent / "served")


@pytest.fixture(scope="session")
def image_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Grey, RGB and RGBA, PNG and JPEG and BMP, larger and smaller than 64 px."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(8)
    coarse = rng.integers(0, 255, (6, 9, 3), dtype=np.uint8)

    def image(mode: str, size: tuple[int, int]) -> Image.Image:
        return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)

    image("L", (200, 120)).save(folder / "grey.png")
    image("RGB", (75, 140)).save(folder / "tall.png")
    image("RGBA", (64, 64)).save(folder / "alpha.png")
    image("L", (130, 90)).save(folder / "grey.jpg", quality=95)
    image("RGB", (31, 20)).save(folder / "small.jpg", quality=95)
    image("RGB", (301, 199)).save(folder / "odd.bmp")
    return sorted(folder.iterdir())


@pytest.fixture(scope="session")
def served(saved_model: Path) -> Iterator[Mapping[str, Callable]]:
    """The signatures of `saved_model`, loaded into this process."""
    import tensorflow as tf

    model = tf.saved_model.load(str(saved_model))
    yield model.signatures
    del model  # the signatures hold no reference of their own to its variables
