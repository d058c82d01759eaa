"""A SavedModel for TF Serving: image bytes in; class, probabilities and a mask at the image's own size out.

Exporting needs TensorFlow, whatever backend the network was trained on, so it runs in a process of its own:
`python -m busi_keras.export.saved_model MODEL.keras FOLDER`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from busi_keras.card import CARD_FILE, read_card
from busi_keras.config import CLASSES
from busi_keras.errors import UsageError
from busi_keras.files import replacing_folder, write_text
from busi_keras.imaging import MASK_THRESHOLD, MAX_MEGAPIXELS


def export_saved_model(model_file: Path, folder: Path) -> Path:
    """Writes the next version of a SavedModel: `folder/1`, `folder/2`, ...

    A version appears at once, by a rename: TF Serving polls the folder.

    Args:
        model_file: a `.keras` file with its card.
        folder: the served model's folder, such as `saved_models/multitask`.

    Returns:
        The version's folder.

    Raises:
        UsageError: TensorFlow is not installed, or the file is no network of this project.
    """
    read_card(model_file)
    version = folder / str(_next_version(folder))
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "busi_keras.export.saved_model", str(model_file.resolve()), str(version.resolve())]
    project = Path(__file__).resolve().parents[2]
    environment["PYTHONPATH"] = os.pathsep.join([str(project), environment.get("PYTHONPATH", "")])
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if finished.returncode:
        reason = (finished.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UsageError(f"{model_file} could not be exported to {version}: {reason}")
    return version


def write_version(model_file: Path, version: Path) -> None:
    """Builds the signatures and writes one version. Runs under the TensorFlow backend.

    Signatures:
        serving_default: `image_bytes` string `(batch,)`, PNG, JPEG, BMP or GIF -> `label` string `(batch,)`,
            `probabilities` float32 `(batch, 3)`, `mask_png_bytes` string `(batch,)`, each at its image's own size.
        pixels: `image` float32 `(batch, S, S, 3)`, letterboxed, 0-255 -> `probabilities`, and `mask` float32
            `(batch, S, S)` in [0, 1].
    """
    import keras
    import tensorflow as tf

    from busi_keras.inference.engines.keras import KerasEngine

    card = read_card(model_file)
    network = KerasEngine.load(model_file).network
    size = card.image_size

    def letterbox(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shape = tf.shape(image)[:2]
        longest = tf.reduce_max(shape)
        scaled = tf.maximum(1, (2 * shape * size + longest) // (2 * longest))
        corner = (size - scaled) // 2
        pixels = tf.image.resize(image, scaled, antialias=True)
        after = size - scaled - corner
        square = tf.pad(pixels, [[corner[0], after[0]], [corner[1], after[1]], [0, 0]])
        return tf.ensure_shape(square, (size, size, 3)), tf.concat([shape, corner, scaled], 0)

    def decode(image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.cond(
            tf.io.is_jpeg(image_bytes),
            lambda: tf.io.decode_jpeg(image_bytes, channels=3, dct_method="INTEGER_ACCURATE"),  # as Pillow decodes
            lambda: tf.io.decode_image(image_bytes, channels=3, expand_animations=False),
        )
        pixels = tf.cast(tf.shape(image)[0], tf.int64) * tf.cast(tf.shape(image)[1], tf.int64)
        limit = tf.constant(MAX_MEGAPIXELS * 10**6, tf.int64)
        message = f"the image is over {MAX_MEGAPIXELS} megapixels"
        with tf.control_dependencies([tf.debugging.assert_less_equal(pixels, limit, message)]):
            return letterbox(tf.cast(image, tf.float32))

    def mask_png(mask: tf.Tensor, geometry: tf.Tensor) -> tf.Tensor:
        shape, corner, scaled = geometry[:2], geometry[2:4], geometry[4:]
        window = tf.slice(mask, [corner[0], corner[1], 0], [scaled[0], scaled[1], 1])
        found = tf.image.resize(window, shape, antialias=True) >= MASK_THRESHOLD
        return tf.io.encode_png(tf.cast(found, tf.uint8) * 255)

    def run(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = network(images, training=False)
        return tf.nn.softmax(logits["label"]), tf.sigmoid(logits["mask"])

    archive = keras.export.ExportArchive()
    archive.track(network)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def serving_default(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        spec = (tf.TensorSpec((size, size, 3), tf.float32), tf.TensorSpec((6,), tf.int32))
        squares, geometry = tf.map_fn(decode, image_bytes, fn_output_signature=spec)
        probabilities, masks = run(squares)
        return {
            "label": tf.gather(tf.constant(CLASSES), tf.argmax(probabilities, axis=-1)),
            "probabilities": probabilities,
            "mask_png_bytes": tf.map_fn(
                lambda pair: mask_png(*pair), (masks, geometry), fn_output_signature=tf.TensorSpec((), tf.string)
            ),
        }

    @tf.function(input_signature=[tf.TensorSpec((None, size, size, 3), tf.float32, name="image")])
    def pixels(image: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities, masks = run(image)
        return {"probabilities": probabilities, "mask": masks[..., 0]}

    archive.add_endpoint("serving_default", serving_default)
    archive.add_endpoint("pixels", pixels)
    with replacing_folder(version) as part:
        archive.write_out(str(part), verbose=False)
        write_text(part / "assets.extra" / CARD_FILE, card.to_json())


def _next_version(folder: Path) -> int:
    if not folder.is_dir():
        return 1
    return 1 + max((int(path.name) for path in folder.iterdir() if re.fullmatch(r"\d+", path.name)), default=0)


if __name__ == "__main__":
    try:
        write_version(Path(sys.argv[1]), Path(sys.argv[2]))
    except (UsageError, ImportError) as error:
        sys.exit(str(error))
