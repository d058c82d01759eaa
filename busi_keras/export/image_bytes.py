"""Image bytes become pixels inside the TensorFlow graph, as `imaging.read_image` makes them outside.

A graph cannot catch what a decoder throws, and one image that fails takes its whole batch along. So what is refused is
refused by its header, before anything is decoded, and the error names the row. `saved_models/README.md` lists what
still differs from `imaging`.
"""

import tensorflow as tf

from busi_keras.export.image_header import OTHER, ImageHeader
from busi_keras.imaging import MAX_MEGAPIXELS

_ANIMATION_CONTROL = b"\x00\x00\x00\x08acTL"
"""Length and type of the chunk; the type alone stands in compressed pixels by chance, once in 65,000 images."""
_ANIMATED = "is animated; save the frame you want as a separate image"
_PNG_ALPHA = (4, 6)  # colour types
_BMP_HEADERS, _BMP_PLAIN, _BMP_BITS = (40, 124), 0, (8, 24, 32)


def decode(image_bytes: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
    """The pixels of one image, upright, uint8 `(height, width, 3)`; for use inside a `tf.function`.

    Args:
        image_bytes: string, scalar: PNG, JPEG, BMP or GIF.
        row: int, scalar: which image of the batch it is, for the errors.

    Raises:
        tf.errors.InvalidArgumentError: with the row: the bytes are no such image, or one of 0 or over
            `MAX_MEGAPIXELS` megapixels, animated, partly transparent, in CMYK, or a BMP of a rare kind. Without it:
            the data are truncated or damaged.
    """
    header = ImageHeader(image_bytes)
    with tf.control_dependencies([_refuse(header.kind == OTHER, row, "is not a PNG, JPEG, BMP or GIF file")]):
        header.kind = tf.identity(header.kind)
    height, width = header.size()
    too_large = height * width > MAX_MEGAPIXELS * 10**6
    checks = [
        _refuse((height < 1) | (width < 1), row, "is an image without pixels"),
        _refuse(too_large, row, f"is over {MAX_MEGAPIXELS} megapixels; make it smaller first"),
    ]
    with tf.control_dependencies(checks):
        image_bytes = tf.identity(image_bytes)
    image = tf.switch_case(
        header.kind,
        [
            lambda: _jpeg(image_bytes, row),
            lambda: _png(image_bytes, header, row),
            lambda: _bmp(image_bytes, header, row),
            lambda: _gif(image_bytes, row),
        ],
    )
    return _upright(image, header.orientation())


def _refuse(wrong: tf.Tensor, row: tf.Tensor, why: str) -> tf.Operation:
    message = tf.strings.join(["image_bytes[", tf.strings.as_string(row), "] ", why])
    return tf.debugging.Assert(tf.logical_not(wrong), [message])


def _jpeg(image_bytes: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
    channels = tf.image.extract_jpeg_shape(image_bytes)[2]
    with tf.control_dependencies([_refuse(channels == 4, row, "is in the colour model CMYK; save it as grey or RGB")]):
        image_bytes = tf.identity(image_bytes)
    return tf.io.decode_jpeg(image_bytes, channels=3, dct_method="INTEGER_ACCURATE")  # as Pillow decodes


def _png(image_bytes: tf.Tensor, header: ImageHeader, row: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([_refuse(header.contains(_ANIMATION_CONTROL), row, _ANIMATED)]):
        image_bytes = tf.identity(image_bytes)

    def opaque() -> tf.Tensor:
        image = tf.io.decode_png(image_bytes, channels=4)
        transparent = tf.reduce_min(image[..., 3]) < 255
        checks = [_refuse(transparent, row, "is partly transparent; flatten it onto its background first")]
        with tf.control_dependencies(checks):
            return tf.identity(image[..., :3])

    colour_type = header.number(25, 1)
    may_be_transparent = tf.reduce_any(colour_type == list(_PNG_ALPHA)) | header.contains(b"tRNS")
    return tf.cond(may_be_transparent, opaque, lambda: tf.io.decode_png(image_bytes, channels=3))


def _bmp(image_bytes: tf.Tensor, header: ImageHeader, row: tf.Tensor) -> tf.Tensor:
    length, bits, compression = header.number(14, 4), header.number(28, 2), header.number(30, 4)
    known = (length >= _BMP_HEADERS[0]) & (length <= _BMP_HEADERS[1]) & (compression == _BMP_PLAIN)
    known &= tf.reduce_any(bits == list(_BMP_BITS))
    why = "is a BMP that is compressed, or not of 8, 24 or 32 bits a pixel; save it as PNG"
    with tf.control_dependencies([_refuse(tf.logical_not(known), row, why)]):
        image = tf.io.decode_bmp(tf.identity(image_bytes))

    def coloured() -> tf.Tensor:  # TensorFlow takes an index into the palette for a shade of grey
        named = header.number(46, 4)
        colours = tf.where((named == 0) | (named > 256), tf.constant(256, tf.int64), named)
        palette = tf.reshape(header.slice(14 + length, 4 * colours), (-1, 4))[:, 2::-1]
        return tf.cast(tf.gather(palette, tf.cast(image[..., 0], tf.int32)), tf.uint8)

    return tf.cond(bits == 8, coloured, lambda: image[..., :3])


def _gif(image_bytes: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
    frames = tf.io.decode_gif(image_bytes)
    with tf.control_dependencies([_refuse(tf.shape(frames)[0] > 1, row, _ANIMATED)]):
        return tf.identity(frames[0])


def _upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """The image turned as EXIF's orientation, 1 to 8, says."""
    turns = [
        lambda: image,
        lambda: tf.image.flip_left_right(image),
        lambda: tf.image.rot90(image, 2),
        lambda: tf.image.flip_up_down(image),
        lambda: tf.image.transpose(image),
        lambda: tf.image.rot90(image, 3),
        lambda: tf.image.rot90(tf.image.transpose(image), 2),
        lambda: tf.image.rot90(image, 1),
    ]
    return tf.switch_case(orientation - 1, turns)
