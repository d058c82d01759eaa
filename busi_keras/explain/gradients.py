"""The one thing that Keras has no common function for: a gradient, on each backend."""

from collections.abc import Callable

import keras
import numpy as np

from busi_keras.models.sampling import Tensor


def value_gradient(function: Callable[[Tensor], Tensor], at: Tensor) -> np.ndarray:
    """The gradient of a scalar function of a tensor.

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
        return keras.ops.convert_to_numpy(tape.gradient(value, at))
    if backend == "jax":
        import jax

        return keras.ops.convert_to_numpy(jax.grad(function)(at))
    import torch

    leaf = at.detach().requires_grad_()
    return keras.ops.convert_to_numpy(torch.autograd.grad(function(leaf), leaf)[0])
