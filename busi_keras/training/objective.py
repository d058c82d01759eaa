"""What is minimized and what is watched: a network with its augmentation, losses and metrics, on every backend."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from busi_keras.explain.flow import trace
from busi_keras.models.augment import augment
from busi_keras.models.losses import MASK_LOSS, cross_entropy, misplaced_evidence
from busi_keras.models.metrics import correct, image_dice, image_iou
from busi_keras.models.sampling import Tensor


class Objective(keras.Model):
    """Trains `network`, a model with the outputs `mask`, `label`, or both.

    A batch is one dictionary: `image` uint8 `(batch, S, S, 3)`, `mask` uint8 `(batch, S, S, 1)` (0 or 1), `label`
    int32 `(batch,)`, and for augmentation what `draw_augmentation` gives. Everything from uint8 on runs in the
    compiled step.

    Args:
        network: the model to train; only it is ever stored.
        mask_loss: key of `MASK_LOSS`.
        mask_weight, label_weight: the tasks' shares in the loss.
        heat_map_weight: the share of `misplaced_evidence`; above 0 the network needs both heads.
        class_weights: factor of each class in the cross-entropy, in the order of `CLASSES`.
    """

    def __init__(
        self,
        network: keras.Model,
        mask_loss: str,
        mask_weight: float,
        label_weight: float,
        heat_map_weight: float,
        class_weights: tuple[float, ...],
    ) -> None:
        super().__init__(dtype="float32")
        self.network = network
        self.mask_weight, self.label_weight, self.heat_map_weight = mask_weight, label_weight, heat_map_weight
        self._with_features = _with_features(network) if heat_map_weight else None
        self._mask_loss = MASK_LOSS[mask_loss]
        self._class_weights = class_weights
        names = (["mask_loss", "dice", "iou"] if self._has("mask") else []) + (
            ["label_loss", "accuracy"] if self._has("label") else []
        )
        names += ["heat_map_loss"] if heat_map_weight else []
        self._means = {name: keras.metrics.Mean(name=name) for name in names}
        self.built = True

    def _has(self, task: str) -> bool:
        return task in self.network.output

    def call(self, inputs: Mapping[str, Tensor], training: bool = False) -> dict[str, Tensor]:
        images, masks = ops.cast(inputs["image"], "float32"), ops.cast(inputs["mask"], "float32")
        if "transform" in inputs:
            images, masks = augment(images, masks, inputs)
        outputs = dict((self._with_features or self.network)(images, training=training))
        if self._with_features:
            dense = self.network.get_layer("label_head").get_layer("logits")
            outputs["evidence"] = ops.matmul(ops.cast(outputs.pop("features"), "float32"), dense.kernel)
        return {**outputs, "true_mask": masks, "true_label": inputs["label"]}

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients of the step before; only PyTorch keeps any, and Keras calls this there alone.

        `torch.nn.Module.zero_grad` would leave out the label head's: Keras files a module's parameters by their paths,
        and both heads' last layers have the path `logits/kernel`.
        """
        for variable in self.trainable_variables:
            variable.value.grad = None

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Tensor:
        """The tasks' losses, weighted and summed, and the network's own."""
        losses = self._task_losses(y_pred)
        total = sum(getattr(self, f"{task}_weight") * ops.mean(loss) for task, loss in losses.items())
        return sum(self.losses, start=total)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Tensor]:
        """Running means over the images of the epoch so far."""
        values = {f"{task}_loss": loss for task, loss in self._task_losses(y_pred).items()}
        if self._has("mask"):
            values["dice"] = image_dice(y_pred["true_mask"], y_pred["mask"])
            values["iou"] = image_iou(y_pred["true_mask"], y_pred["mask"])
        if self._has("label"):
            values["accuracy"] = correct(y_pred["true_label"], y_pred["label"])
        for name, mean in self._means.items():
            mean.update_state(values[name])
        return self.get_metrics_result()

    def _task_losses(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        losses = {}
        if self._has("mask"):
            losses["mask"] = self._mask_loss(outputs["true_mask"], outputs["mask"])
        if self._has("label"):
            weights = ops.convert_to_tensor(self._class_weights, "float32")
            losses["label"] = cross_entropy(outputs["true_label"], outputs["label"], weights)
        if self.heat_map_weight:
            losses["heat_map"] = misplaced_evidence(outputs["true_mask"], outputs["true_label"], outputs["evidence"])
        return losses


def _with_features(network: keras.Model) -> keras.Model:
    """The network with what its label head pools as one more output; the weights are the same."""
    flow = trace(network)
    return keras.Model(flow.image, {"mask": flow.mask, "label": flow.label, "features": flow.features})
