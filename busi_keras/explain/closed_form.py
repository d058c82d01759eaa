"""Grad-CAM without gradients: where the label head is pooling and one dense layer, it has a closed form.

The class's weights over the last map, equal to Grad-CAM after scaling (Zhou et al., "Learning deep features for
discriminative localization", CVPR 2016). It is plain arithmetic, so every exported format carries it.
"""

import keras
from keras import layers, ops

from busi_keras.explain.flow import trace
from busi_keras.explain.heat_map import heat_maps
from busi_keras.models.sampling import Tensor


class PredictedClassHeatMap(layers.Layer):
    """The heat map of the class with the largest logit; evidence against it is left out.

    Call with `(features (batch, h, w, channels), logits (batch, 3))`, and the squares `(batch, 3)` that the features
    show where that is not the whole image; gives float32 `(batch, S, S)`.

    Args:
        dense: the label head's dense layer.
        size: S, side of the image in pixels.
    """

    def __init__(self, dense: layers.Dense, size: int) -> None:
        super().__init__(dtype="float32", name="heat_map")
        self.dense, self.size = dense, size

    def call(self, features: Tensor, logits: Tensor, squares: Tensor | None = None) -> Tensor:
        largest = ops.top_k(logits, k=1)[1][:, 0]  # Keras' argmax works on bits, which ONNX and OpenVINO do not know
        weights = ops.take(ops.transpose(self.dense.kernel), largest, axis=0)
        evidence = ops.relu(ops.sum(features * ops.expand_dims(weights, axis=(1, 2)), axis=-1))
        return heat_maps(evidence, squares, self.size)

    def compute_output_shape(
        self, features_shape: tuple, logits_shape: tuple, squares_shape: tuple | None = None
    ) -> tuple:
        return (features_shape[0], self.size, self.size)


def with_heat_map(network: keras.Model) -> keras.Model:
    """A network as it is served: probabilities instead of logits, and the heat map of the predicted class.

    Args:
        network: with both heads, as `models.build` makes it.

    Returns:
        `image` float32 `(batch, S, S, 3)`, 0-255 -> `probabilities` `(batch, 3)`, sum 1, `mask` and `heatmap`
        `(batch, S, S)` in [0, 1], `novelty` `(batch,)`; float32 all. It shares the network's weights.
    """
    flow = trace(network)
    if flow.label_head is None or flow.mask_head is None:
        raise ValueError(f"{network.name} has not both heads")
    heat_map = PredictedClassHeatMap(flow.label_head.get_layer("logits"), flow.size)
    outputs = {
        "probabilities": ops.softmax(flow.label),
        "mask": ops.sigmoid(ops.squeeze(flow.mask, axis=-1)),
        "heatmap": heat_map(flow.features, flow.label, flow.squares),
        "novelty": flow.novelty,
    }
    return keras.Model(flow.image, outputs, name="served")
