"""The shared encoders: a registry of ImageNet backbones, their preprocessing inside, as feature pyramids."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
from keras import layers, ops

from busi_keras.errors import UsageError
from busi_keras.models.decoder import BATCH_NORM_MOMENTUM
from busi_keras.models.normalization import fuse_batch_norm
from busi_keras.models.sampling import Tensor
from busi_keras.network import reachable

WEIGHTS_SERVER = "https://storage.googleapis.com"


@dataclass(frozen=True)
class Backbone:
    """One entry of the registry.

    Attributes:
        application: makes it, one of `keras.applications`.
        taps: names of the layers whose outputs make the pyramid, at strides 2, 4, 8, 16 and 32.
        preprocessing: `"caffe"` (BGR, ImageNet's mean subtracted, not scaled) or `"unit"` (-1 to 1).
        imagenet_file: under which name Keras caches the ImageNet weights without the top.
    """

    application: Callable[..., keras.Model]
    taps: tuple[str, ...]
    preprocessing: str
    imagenet_file: str


log = logging.getLogger(__name__)

REGISTRY = {
    "resnet50": Backbone(
        keras.applications.ResNet50,
        ("conv1_relu", "conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out"),
        "caffe",
        "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ),
    "mobilenet-v2": Backbone(
        keras.applications.MobileNetV2,
        (
            "block_1_expand_relu",
            "block_3_expand_relu",
            "block_6_expand_relu",
            "block_13_expand_relu",
            "out_relu",
        ),
        "unit",
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
    ),
}


@keras.saving.register_keras_serializable(package="busi_keras")
class CaffePreprocessing(layers.Layer):
    """RGB 0-255 to what ResNet50's ImageNet weights expect: BGR, ImageNet's channel means subtracted, not scaled."""

    def call(self, images: Tensor) -> Tensor:
        means = ops.convert_to_tensor([103.939, 116.779, 123.68], images.dtype)
        return ops.flip(images, axis=-1) - means


def build_encoder(name: str, image_size: int, weights: str) -> keras.Model:
    """A backbone as an encoder named `encoder`.

    Args:
        name: key of `REGISTRY`.
        image_size: S, side of the input in pixels.
        weights: `"none"`, `"imagenet"`, or the path of a weights file for the application without its top.

    Returns:
        float32 `(batch, S, S, 3)`, 0-255 -> list of five maps at strides 2, 4, 8, 16, 32.

    Raises:
        UsageError: the weights cannot be had, or are another network's.
    """
    backbone = REGISTRY[name]
    image = keras.Input((image_size, image_size, 3), name="image")
    if backbone.preprocessing == "caffe":
        pixels = CaffePreprocessing(name="preprocessing")(image)
    else:
        pixels = layers.Rescaling(1 / 127.5, offset=-1.0, name="preprocessing")(image)
    network = backbone.application(include_top=False, weights=None, input_tensor=pixels)
    pyramid = [network.get_layer(tap).output for tap in backbone.taps]
    encoder = fuse_batch_norm(keras.Model(image, pyramid, name="encoder"))
    if weights == "none":
        for layer in _batch_norms(encoder):
            layer.momentum = BATCH_NORM_MOMENTUM
        _silence_residuals(encoder)
    else:
        encoder.set_weights(_pretrained(name, image_size, weights).get_weights())
    return encoder


def resolve_weights(requested: str, backbone: str) -> str:
    """What `--weights` comes to here: `auto` is `imagenet` where it is cached or can be downloaded, else `none`.

    Raises:
        UsageError: ImageNet weights are insisted on and cannot be had, or a file named does not exist.
    """
    if requested == "none":
        return requested
    if requested == "auto":
        return "imagenet" if _cached(backbone) or _downloaded(backbone) else "none"
    if requested == "imagenet":
        if _cached(backbone) or reachable(WEIGHTS_SERVER):
            return requested
        raise UsageError(
            f"--weights imagenet: {REGISTRY[backbone].imagenet_file} is not in {_cache_folder()} and "
            f"{WEIGHTS_SERVER} does not answer; copy the file there, or give --weights none or --weights FILE"
        )
    path = Path(requested)
    if not path.is_file():
        raise UsageError(
            f"--weights {requested}: no such file; give auto, imagenet, none, a weights file (.h5) or a model (.keras)"
        )
    return str(path.resolve())


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
    and learns from few steps. `keras.applications` adds the shortcut first and the branch last.
    """
    norm_of = {id(layer.output): layer for layer in _batch_norms(encoder)}
    for layer in encoder.layers:
        if isinstance(layer, layers.Add):
            gamma = norm_of[id(layer.input[-1])].gamma
            gamma.assign(ops.zeros(gamma.shape))


def _pretrained(name: str, image_size: int, weights: str) -> keras.Model:
    application = REGISTRY[name].application
    shape = (image_size, image_size, 3)
    if weights == "imagenet":
        try:
            return application(include_top=False, weights="imagenet", input_shape=shape)
        except Exception as error:  # Keras raises a bare Exception when a download fails
            raise UsageError(
                f"ImageNet weights of {name} could not be loaded ({error}); give --weights none or FILE"
            ) from error
    network = application(include_top=False, weights=None, input_shape=shape)
    try:
        network.load_weights(weights)
    except (ValueError, OSError, KeyError, IndexError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(
            f"--weights {weights} does not fit {name} ({reason}); give a weights file of "
            f"keras.applications.{application.__name__}(include_top=False), or choose its --backbone"
        ) from None
    return network


def _downloaded(backbone: str) -> bool:
    """Tries to bring the ImageNet weights into Keras' cache."""
    if not reachable(WEIGHTS_SERVER):
        return False
    try:
        REGISTRY[backbone].application(include_top=False, weights="imagenet")
    except Exception as error:  # Keras raises a bare Exception when a download fails
        log.warning("ImageNet weights of %s could not be downloaded (%s)", backbone, error)
        return False
    return True


def _cache_folder() -> Path:
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"


def _cached(backbone: str) -> bool:
    return (_cache_folder() / REGISTRY[backbone].imagenet_file).is_file()
