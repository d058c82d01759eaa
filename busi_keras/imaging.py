"""The one place where bytes become pixels, and where pixels change size.

Every image is read as 8-bit RGB, or refused: nothing is converted by guess. The network's square input is made by
`Letterbox`, and everything that comes out of a network goes back through its inverse to the image's own size.
"""

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from busi_keras.errors import UsageError

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff")
MAX_MEGAPIXELS = 50
MASK_THRESHOLD = 0.5

_GREY_16_BIT = ("I;16", "I;16B", "I;16L")
DARK_16_BIT = 4096
"""Below it lie the samples of 12 bits that were stored in 16."""
_COLOUR_MODELS = ("1", "L", "P", "RGB", "LA", "PA", "RGBA", *_GREY_16_BIT)
_ORIENTATION, _BITS_PER_SAMPLE, _PHOTOMETRIC, _BLACK_IS_ZERO = 0x0112, 258, 262, 1  # TIFF's and EXIF's


def read_image(source: Path | bytes) -> np.ndarray:
    """An image's pixels.

    Grey, palette and bilevel images become RGB; 16-bit samples keep their high byte, as TensorFlow and libpng do; an
    alpha channel is dropped where it is opaque; the orientation that a camera noted in EXIF is applied.

    Args:
        source: a file (PNG, JPEG, BMP, GIF or TIFF) or its bytes.

    Returns:
        uint8 `(height, width, 3)`, 0-255.

    Raises:
        UsageError: the file is missing, empty, truncated or no image; it is over `MAX_MEGAPIXELS` (known from its
            header, before decoding), animated, transparent, or in CMYK or another colour model.
    """
    with _opened(source) as image:
        deep_colour = _is_deep_colour(image)
        decoded = _decoded(image, _name(source))
    pixels, largest = _rgb(decoded), None
    if deep_colour:  # Pillow keeps the high bytes alone
        largest = 256 * int(pixels.max()) + 255
    elif decoded.mode in _GREY_16_BIT:
        largest = int(np.asarray(decoded).max())
    if largest is not None and 0 < largest < DARK_16_BIT:
        raise UsageError(
            f"{_name(source)} has 16 bits per sample, but no value above {largest}: such data would be read as "
            "black; save it with 8 bits"
        )
    return pixels


def pixel_count(source: Path | bytes) -> int:
    """How many pixels an image has, from its header alone: nothing is decoded.

    Raises:
        UsageError: the file is missing, empty or no image, or is over `MAX_MEGAPIXELS`.
    """
    with _opened(source) as image:
        return image.width * image.height


def read_mask(source: Path | bytes) -> np.ndarray:
    """A binary mask.

    Returns:
        bool `(height, width)`, True inside the lesion.

    Raises:
        UsageError: as `read_image`, and where the mask holds other values than 0 and one more.
    """
    name = _name(source)
    with _opened(source) as image:
        deep_colour = _is_deep_colour(image)
        mask = _decoded(image, name)
    if deep_colour:  # Pillow keeps the high bytes alone, which may be 0 where the mask is not
        raise UsageError(f"{name} is a mask in colours of 16 bits; save it as grey, 0 outside and 255 inside")
    pixels = np.asarray(mask)[..., None] if mask.mode in _GREY_16_BIT else _rgb(mask)
    grey = pixels[..., 0]
    if (pixels != grey[..., None]).any():
        raise UsageError(f"{name} is not a binary mask: it is coloured; save it with 0 outside and 255 inside")
    values = np.flatnonzero(np.bincount(grey.ravel()))
    if len(values) > 2 or (len(values) == 2 and values[0] != 0):
        shown = ", ".join(map(str, values[:4])) + (", ..." if len(values) > 4 else "")
        raise UsageError(
            f"{name} is not a binary mask: it holds the values {shown}; save it with 0 outside and 255 inside"
        )
    return grey > 0


def encode_png(pixels: np.ndarray) -> bytes:
    """A PNG file's bytes from uint8 `(height, width)` or `(height, width, 3)`, or from a bool mask (0 and 255)."""
    buffer = BytesIO()
    values = np.where(pixels, np.uint8(255), np.uint8(0)) if pixels.dtype == bool else pixels
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def pixels_digest(image: np.ndarray) -> str:
    """64 hexadecimal digits: the same for the same pixels, `(height, width, 3)` or `(height, width)`, of any file."""
    return hashlib.sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes()).hexdigest()


@dataclass(frozen=True)
class Letterbox:
    """The map between an image and the network's square input: the aspect ratio is kept, the rest is zeros.

    Resampling is an antialiased triangle filter on float pixels: Pillow's BILINEAR, `tf.image.resize` with
    `antialias=True`; the two give the same numbers.

    Attributes:
        height, width: the image's own size, in pixels.
        size: side of the square, in pixels.
    """

    height: int
    width: int
    size: int

    @property
    def scaled_height(self) -> int:
        """The image's height inside the square."""
        return _scaled(self.height, max(self.height, self.width), self.size)

    @property
    def scaled_width(self) -> int:
        """The image's width inside the square."""
        return _scaled(self.width, max(self.height, self.width), self.size)

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the square that hold the image."""
        top = (self.size - self.scaled_height) // 2
        left = (self.size - self.scaled_width) // 2
        return slice(top, top + self.scaled_height), slice(left, left + self.scaled_width)

    @classmethod
    def of(cls, pixels: np.ndarray, size: int) -> "Letterbox":
        """The map of an image or mask `(height, width, ...)` into a square of that size."""
        return cls(pixels.shape[0], pixels.shape[1], size)

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels `(height, width[, channels])` of any real dtype into float32 `(size, size[, channels])`."""
        square = np.zeros((self.size, self.size, *pixels.shape[2:]), np.float32)
        square[self.window] = resize(pixels, self.scaled_height, self.scaled_width)
        return square

    def apply_to_mask(self, mask: np.ndarray) -> np.ndarray:
        """A bool mask `(height, width)` into bool `(size, size)`."""
        return self.apply(mask) >= MASK_THRESHOLD

    def invert(self, square: np.ndarray) -> np.ndarray:
        """Values `(size, size[, channels])` of the square into float32 at the image's own size."""
        return resize(square[self.window], self.height, self.width)


def resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixels `(h, w[, channels])` of any real dtype, resampled by an antialiased triangle filter into float32."""
    if pixels.ndim == 3:
        return np.stack([resize(pixels[..., c], height, width) for c in range(pixels.shape[2])], axis=-1)
    plane = Image.fromarray(np.ascontiguousarray(pixels, np.float32))
    return np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR))


def _scaled(side: int, longest: int, size: int) -> int:
    return max(1, (2 * side * size + longest) // (2 * longest))


def _name(source: Path | bytes) -> str:
    return str(source) if isinstance(source, Path) else "the image"


@contextmanager
def _opened(source: Path | bytes) -> Iterator[ImageFile.ImageFile]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")  # what Pillow warns of is checked here, or does no harm
        with _open(source) as image:
            yield image


def _open(source: Path | bytes) -> ImageFile.ImageFile:
    """An image whose header was read and found to be of a fair size, not yet decoded."""
    name = _name(source)
    try:
        image = Image.open(source if isinstance(source, Path) else BytesIO(source), formats=FORMATS)
    except FileNotFoundError:
        raise UsageError(f"{name} does not exist; check the path") from None
    except IsADirectoryError:
        raise UsageError(f"{name} is a folder; name an image in it") from None
    except Image.DecompressionBombError:
        raise UsageError(f"{name} is over {MAX_MEGAPIXELS} megapixels; make it smaller first") from None
    except UnidentifiedImageError:
        raise UsageError(f"{name} is not a readable image; give a PNG, JPEG, BMP, GIF or TIFF file") from None
    except OSError as error:
        if error.errno is None:  # Pillow's own: a kind of BMP that it does not know
            raise UsageError(f"{name} is damaged, or of a kind that is not read ({error}); save it as PNG") from None
        raise UsageError(f"{name} cannot be read ({error.strerror}); check the file and its permissions") from None
    except Exception as error:  # a damaged header makes Pillow raise ValueError, TypeError, struct.error, ...
        raise UsageError(f"{name} is damaged ({error}); get the file again") from None
    width, height = image.size
    if width * height > MAX_MEGAPIXELS * 1_000_000:
        image.close()
        raise UsageError(f"{name} is {width} x {height}, over {MAX_MEGAPIXELS} megapixels; make it smaller first")
    return image


def _decoded(image: ImageFile.ImageFile, name: str) -> Image.Image:
    """The image upright, opaque, and in one of `_COLOUR_MODELS`."""
    try:
        frames = _frames(image)
        image.load()
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception as error:  # damaged data make Pillow raise IndexError, struct.error, SyntaxError, OSError, ...
        raise UsageError(f"{name} is damaged ({error}); get the file again") from None
    if frames != 1:
        raise UsageError(f"{name} has {frames or 'several'} frames; save the frame you want as a separate image")
    if image.mode not in _COLOUR_MODELS:
        raise UsageError(f"{name} is in the colour model {image.mode}; save it as grey or RGB, 8 bits a channel")
    if image.mode in _GREY_16_BIT and not _spans_16_bits(image):
        raise UsageError(f"{name} has 12 bits a sample, or stores white as 0; save it as grey, 8 bits, black as 0")
    if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
        raise UsageError(f"{name} is partly transparent; flatten it onto its background first")
    return _upright(image, orientation)


def _frames(image: ImageFile.ImageFile) -> int:
    """How many images are in the file; 0 for several in a TIFF, which may be made so that Pillow counts for hours."""
    several = image.format == "TIFF" and getattr(image, "is_animated", False)
    return 0 if several else getattr(image, "n_frames", 1)


def _is_deep_colour(image: ImageFile.ImageFile) -> bool:
    """Whether a file that is not decoded yet has colours, or grey with alpha, of 16 bits a sample."""
    return image.mode not in _GREY_16_BIT and any(";16" in str(tile[3]) for tile in image.tile)


def _spans_16_bits(image: Image.Image) -> bool:
    """Whether 0 is black and 65535 white; Pillow gives a TIFF's samples as they are stored."""
    tags = getattr(image, "tag_v2", {})
    return tags.get(_BITS_PER_SAMPLE, (16,)) == (16,) and tags.get(_PHOTOMETRIC, _BLACK_IS_ZERO) == _BLACK_IS_ZERO


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode in _GREY_16_BIT:
        high_byte = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(high_byte[..., None], 3, axis=-1)
    return np.asarray(image.convert("RGB"))


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image
