"""The one thing that Keras has no common function for: a gradient, on each backend."""

from collections.abc import Callable

import keras

from busi_keras.models.sampling import Tensor


def gradient(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """The gradient of a scalar function of a tensor. On TensorFlow it can be part of a graph.

    Args:
        function: tensor -> scalar, made of `keras.ops` and layers in inference mode.
        at: float32, where to differentiate.

    Returns:
        float32, of the shape of `at`.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(at)
            value = function(at)
        return tape.gradient(value, at)
    if backend == "jax":
        import jax

        return jax.grad(function)(at)
    import torch

    leaf = at.detach().requires_grad_()
    return torch.autograd.grad(function(leaf), leaf)[0]
