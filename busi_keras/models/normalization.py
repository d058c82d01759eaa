"""BatchNormalization at the speed of the backend's own kernel."""

import keras
from keras import layers, ops

from busi_keras.models.sampling import Tensor


@keras.saving.register_keras_serializable(package="busi_keras")
class FusedBatchNormalization(layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, computed by one kernel where Keras composes it of many.

    Keras' layer passes over the map for the mean, again for the variance and again for each step of the normalization,
    and so does its gradient, which takes time on TensorFlow and PyTorch. Takes the same arguments and gives the same
    outputs, gradients and moving statistics, to float tolerance. Only training on `(batch, H, W, channels)` maps is
    fused; in inference, in export and on JAX, where the compiler fuses, this is Keras' layer. It follows Ioffe and
    Szegedy, ICML 2015.
    """

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None) -> Tensor:
        """Maps of the same shape, in the layer's compute dtype; see `keras.layers.BatchNormalization`."""
        if not (training and self.trainable) or mask is not None or not self._can_fuse(inputs):
            return super().call(inputs, training=training, mask=mask)
        gamma, beta = ops.convert_to_tensor(self.gamma), ops.convert_to_tensor(self.beta)
        fused = _KERNELS[keras.backend.backend()]
        outputs, mean, variance = fused(ops.cast(inputs, "float32"), gamma, beta, self.epsilon)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1 - self.momentum))
        return ops.cast(outputs, self.compute_dtype)

    def _can_fuse(self, inputs: Tensor) -> bool:
        return (
            keras.backend.backend() in _KERNELS
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and self.scale
            and self.center
            and not self.renorm
            and not self.synchronized
            and keras.backend.standardize_dtype(inputs.dtype) != "float64"
            and tuple(inputs.shape[:3]) != (1, 1, 1)  # PyTorch refuses to normalize a single value
        )


def fuse_batch_norm(network: keras.Model) -> keras.Model:
    """A copy of a functional network, with new initial weights, its BatchNormalization layers fused."""

    def fuse(layer: layers.Layer) -> layers.Layer:
        kind = FusedBatchNormalization if type(layer) is layers.BatchNormalization else type(layer)
        return kind.from_config(layer.get_config())

    return keras.models.clone_model(network, clone_function=fuse)


def _fused_tensorflow(x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    import tensorflow as tf

    # The raw operation: its wrapper in `tf.compat.v1.nn` raises a small epsilon without saying so.
    y = tf.raw_ops.FusedBatchNormV3(x=x, scale=gamma, offset=beta, mean=[], variance=[], epsilon=epsilon)
    count = tf.cast(tf.size(x) // tf.size(gamma), x.dtype)
    return y.y, y.batch_mean, _biased(y.batch_variance, count)


def _fused_torch(x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    import torch

    # With a momentum of 1 the running statistics come out as the batch's own.
    mean, variance = torch.zeros_like(gamma), torch.zeros_like(gamma)
    y = torch.nn.functional.batch_norm(
        x.permute(0, 3, 1, 2), mean, variance, gamma, beta, training=True, momentum=1.0, eps=epsilon
    )
    return y.permute(0, 2, 3, 1), mean, _biased(variance, x.numel() // gamma.numel())


def _biased(variance: Tensor, count: Tensor | int) -> Tensor:
    """Keras keeps the variance over n values divided by n; the kernels give it divided by n - 1."""
    return variance * ((count - 1) / count)


_KERNELS = {"tensorflow": _fused_tensorflow, "torch": _fused_torch}
