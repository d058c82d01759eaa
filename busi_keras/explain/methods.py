"""How much each channel, or each place of each channel, counts: what tells the methods of one family apart.

A method takes activations and gradients, float32 `(batch, h, w, channels)`, and gives weights that broadcast to them.
"""

from collections.abc import Callable

from keras import ops

from busi_keras.models.sampling import Tensor

Method = Callable[[Tensor, Tensor], Tensor]


def gradcam(activations: Tensor, gradients: Tensor) -> Tensor:
    """A channel counts by its mean gradient. Selvaraju et al., "Grad-CAM", ICCV 2017."""
    return ops.mean(gradients, axis=(1, 2), keepdims=True)


def gradcam_plus_plus(activations: Tensor, gradients: Tensor) -> Tensor:
    """Positive gradients count, each place by its share in the score. Chattopadhay et al., "Grad-CAM++", WACV 2018.

    The paper's alpha for an exponential score, g² / (2 g² + ΣA g³), with g² divided out.
    """
    positive = ops.relu(gradients)
    alpha = 1 / (2 + ops.sum(activations, axis=(1, 2), keepdims=True) * positive)
    return ops.sum(alpha * positive, axis=(1, 2), keepdims=True)


def hirescam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Each place counts by its own gradient. Draelos and Carin, "Use HiResCAM instead of Grad-CAM", 2020."""
    return gradients


METHODS: dict[str, Method] = {"gradcam": gradcam, "gradcam++": gradcam_plus_plus, "hirescam": hirescam}
