"""What a SavedModel answers: its signatures, traced for TF Serving. Runs under the TensorFlow backend."""

from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf
from keras import ops

from busi_keras.card import Card
from busi_keras.config import CLASSES
from busi_keras.explain.closed_form import with_heat_map
from busi_keras.explain.flow import trace
from busi_keras.explain.gradcam import class_score, coarse_maps
from busi_keras.explain.heat_map import heat_maps
from busi_keras.explain.methods import METHODS
from busi_keras.export.graph_letterbox import GraphLetterbox
from busi_keras.export.image_bytes import decode
from busi_keras.imaging import MASK_THRESHOLD

DECODED_AT_ONCE = 2
"""Images of a batch that are decoded, or whose maps are drawn, side by side: one of 50 megapixels takes up to 800 MB
until it is scaled."""


class ServedNetwork:
    """A network with its signatures; `saved_models/README.md` describes them.

    Args:
        network: as `models.build` makes it, with both heads.
        card: what is known of it.
    """

    def __init__(self, network: keras.Model, card: Card) -> None:
        self._size, self._card = card.image_size, card.to_json()
        self._variables = network.variables
        self._flow = flow = trace(network)
        seen = {"features": flow.features, "mask": flow.mask, "label": flow.label, "novelty": flow.novelty}
        self._network = keras.Model(flow.image, seen | ({} if flow.squares is None else {"squares": flow.squares}))
        self._closed_form = with_heat_map(network)

    def save(self, folder: Path, assets: Sequence[Path]) -> None:
        """Writes the SavedModel.

        TensorFlow's own variables are saved, not Keras' that wrap them, nor Keras' models: for a wrapper a second
        variable is exported, and it is that one which a session, and so TF Serving, would restore.

        Args:
            folder: where to.
            assets: files that go with it, under their names.
        """
        module = tf.Module()
        module.weights = [variable.value for variable in self._variables]
        module.assets = [tf.saved_model.Asset(str(asset)) for asset in assets]
        tf.saved_model.save(module, str(folder), signatures=self.signatures())

    def signatures(self) -> dict[str, tf.types.experimental.GenericFunction]:
        """The functions by the names they are served under."""
        strings = tf.TensorSpec((None,), tf.string, name="image_bytes")
        pixels = tf.TensorSpec((None, self._size, self._size, 3), tf.float32, name="image")
        anything = tf.TensorSpec((None,), tf.string, name="request")
        return {
            "serving_default": tf.function(self._predict, input_signature=[strings]),
            "explain": tf.function(self._explain, input_signature=[strings]),
            "pixels": tf.function(self._pixels, input_signature=[pixels]),
            "card": tf.function(self._show_card, input_signature=[anything]),
        }

    def _predict(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        squares, boxes = self._squares(image_bytes)
        return self._answer(self._network(squares, training=False), boxes)

    def _explain(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        squares, boxes = self._squares(image_bytes)
        seen = self._network(squares, training=False)
        score = class_score(self._flow.label_head, ops.argmax(seen["label"], axis=-1))
        coarse = coarse_maps(score, tf.cast(seen["features"], tf.float32), METHODS["gradcam"])
        maps = heat_maps(coarse, seen.get("squares"), self._size)

        def png(one: tuple[tf.Tensor, GraphLetterbox]) -> tf.Tensor:
            values = tf.clip_by_value(one[1].invert(one[0]), 0, 1)
            return tf.io.encode_png(tf.cast(tf.round(values * 255), tf.uint8))

        return self._answer(seen, boxes) | {"heatmap_png_bytes": _strings(png, (maps, boxes))}

    def _pixels(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._closed_form(image, training=False)

    def _show_card(self, request: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"card": tf.fill(tf.shape(request), self._card)}

    def _squares(self, image_bytes: tf.Tensor) -> tuple[tf.Tensor, GraphLetterbox]:
        """Letterboxed images, float32 `(batch, S, S, 3)`, 0-255, and the way back."""

        def square(one: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, GraphLetterbox]:
            image = decode(*one)
            box = GraphLetterbox.of(image, self._size)
            return box.apply(image, self._size), box

        rows = tf.range(tf.size(image_bytes))
        spec = (tf.TensorSpec((self._size, self._size, 3), tf.float32), GraphLetterbox.spec())
        return tf.map_fn(square, (image_bytes, rows), fn_output_signature=spec, parallel_iterations=DECODED_AT_ONCE)

    def _answer(self, seen: dict[str, tf.Tensor], boxes: GraphLetterbox) -> dict[str, tf.Tensor]:
        def png(one: tuple[tf.Tensor, GraphLetterbox]) -> tf.Tensor:
            found = one[1].invert(one[0]) >= MASK_THRESHOLD
            return tf.io.encode_png(tf.cast(found, tf.uint8) * 255)

        probabilities = tf.nn.softmax(seen["label"])
        return {
            "label": tf.gather(tf.constant(CLASSES), tf.argmax(probabilities, axis=-1)),
            "probabilities": probabilities,
            "mask_png_bytes": _strings(png, (tf.sigmoid(seen["mask"][..., 0]), boxes)),
            "novelty": seen["novelty"],
        }


def _strings(function: object, elements: object) -> tf.Tensor:
    spec = tf.TensorSpec((), tf.string)
    return tf.map_fn(function, elements, fn_output_signature=spec, parallel_iterations=DECODED_AT_ONCE)
