"""What an image file says of itself before its pixels, read inside the TensorFlow graph: no decoder is run."""

import tensorflow as tf

JPEG, PNG, BMP, GIF, OTHER = range(5)

_MAGICS = (
    (JPEG, b"\xff\xd8\xff"),
    (PNG, b"\x89PNG\r\n\x1a\n"),
    (BMP, b"BM"),
    (GIF, b"GIF87a"),
    (GIF, b"GIF89a"),
)
_SEARCHED_BYTES = 65536
_EXIF_ORIENTATION = ((b"\x12\x01\x03\x00\x01\x00\x00\x00", 8), (b"\x01\x12\x00\x03\x00\x00\x00\x01", 9))
"""EXIF's entry (tag 0x0112, one short) in either byte order, and how far behind its start the value's low byte is."""


class ImageHeader:
    """The first bytes of a file, for use inside a `tf.function`.

    Args:
        image_bytes: string, scalar.

    Attributes:
        kind: int32, scalar: `JPEG`, `PNG`, `BMP`, `GIF` or `OTHER`, by the file's first bytes.
    """

    def __init__(self, image_bytes: tf.Tensor) -> None:
        self._image_bytes = image_bytes
        start = tf.strings.substr(image_bytes, 0, _SEARCHED_BYTES)
        self._start = tf.cast(tf.io.decode_raw(start, tf.uint8), tf.int64)
        self.kind = tf.constant(OTHER)
        for kind, magic in _MAGICS:
            same = tf.reduce_all(self.slice(0, len(magic)) == list(magic))
            self.kind = tf.where(same, kind, self.kind)

    def slice(self, start: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        """`count` bytes from `start`, int64; zeros where the file is shorter."""
        padding = tf.zeros(tf.reshape(start + count, (1,)), tf.int64)
        return tf.concat([self._start, padding], axis=0)[start : start + count]

    def number(self, start: int, count: int, little_endian: bool = True) -> tf.Tensor:
        """The unsigned number in `count` bytes from `start`: int64, scalar."""
        powers = [256**power for power in range(count)]
        return tf.reduce_sum(self.slice(start, count) * (powers if little_endian else powers[::-1]))

    def size(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Height and width in pixels, int64, scalars, as the header claims them; of `OTHER` nothing is to be asked.

        Raises:
            tf.errors.InvalidArgumentError: a JPEG without a readable header.
        """
        return tf.switch_case(
            self.kind,
            [
                self._jpeg_size,
                lambda: (self.number(20, 4, little_endian=False), self.number(16, 4, little_endian=False)),
                lambda: (tf.abs(_signed(self.number(22, 4))), _signed(self.number(18, 4))),  # top row first: negative
                lambda: (self.number(8, 2), self.number(6, 2)),
            ],
        )

    def contains(self, pattern: bytes) -> tf.Tensor:
        """Whether the bytes stand anywhere in the first 64 KB: bool, scalar."""
        return tf.reduce_any(self._matches(pattern))

    def orientation(self) -> tf.Tensor:
        """How a camera was held, by EXIF: int32, scalar, 1 to 8; 1 where nothing is said."""
        orientation = tf.constant(1, tf.int64)
        for entry, offset in _EXIF_ORIENTATION:
            place = tf.where(self._matches(entry))[:1, 0]  # none, or the first
            value = tf.reduce_sum(self.slice(tf.reduce_sum(place) + offset, tf.constant(1, tf.int64)))
            orientation = tf.where(tf.size(place) > 0, value, orientation)
        known = (orientation >= 1) & (orientation <= 8)
        return tf.where(known, tf.cast(orientation, tf.int32), 1)

    def _matches(self, pattern: bytes) -> tf.Tensor:
        """At which places the bytes stand: bool."""
        count = tf.maximum(0, tf.size(self._start) - len(pattern) + 1)
        same = [self._start[place : place + count] == byte for place, byte in enumerate(pattern)]
        return tf.reduce_all(tf.stack(same), axis=0)

    def _jpeg_size(self) -> tuple[tf.Tensor, tf.Tensor]:
        shape = tf.cast(tf.image.extract_jpeg_shape(self._image_bytes), tf.int64)
        return shape[0], shape[1]


def _signed(number: tf.Tensor) -> tf.Tensor:
    """The same 32 bits, read as a signed number."""
    return tf.where(number < 2**31, number, number - 2**32)
