"""Requests that TF Serving sends itself before it serves a version, so that the first client need not wait."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from busi_keras.card import Card
from busi_keras.config import CLASSES
from busi_keras.data.phantom import make_phantom
from busi_keras.imaging import Letterbox, encode_png

WARM_UP_FILE = "tf_serving_warmup_requests"
_LARGEST = 256


def write_warm_up(path: Path, model: str, card: Card) -> None:
    """One request for each signature, about a phantom: a TFRecord file of `tensorflow.serving.PredictionLog`.

    Args:
        model: name under which the model is served.

    Raises:
        ImportError: the messages of TF Serving are not installed (`requirements-serving.txt`).
    """
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    image = make_phantom(seed=0, index=0, label=CLASSES.index("benign"), height=_LARGEST, width=_LARGEST).image
    pixels = np.repeat(image[..., None], 3, axis=-1)
    square = Letterbox.of(pixels, card.image_size).apply(pixels)
    image_bytes = {"image_bytes": np.array([encode_png(image)], object)}
    requests = {
        "serving_default": image_bytes,
        "explain": image_bytes,
        "pixels": {"image": square[None]},
        "card": {"request": np.array([b""], object)},
    }
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests.items():
            log = PredictionLog()
            request = log.predict_log.request
            request.model_spec.name, request.model_spec.signature_name = model, signature
            for name, values in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
            writer.write(log.SerializeToString())
