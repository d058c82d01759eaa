"""Image bytes in the graph are treated as `imaging.read_image` treats them, or refused with their row."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from busi_keras.errors import UsageError
from busi_keras.export.image_bytes import decode
from busi_keras.imaging import read_image

COLOURED = Image.fromarray(np.random.default_rng(0).integers(0, 255, (6, 9, 3), dtype=np.uint8)).resize((63, 41), 3)


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def note(text: str) -> PngInfo:
    info = PngInfo()
    info.add_text("note", text)
    return info


def turned(orientation: int, byte_order: str = "<") -> Image.Exif:
    exif = Image.Exif()
    exif.endian = byte_order
    exif[0x0112] = orientation
    return exif


def with_number(content: bytes, at: int, number: bytes) -> bytes:
    return content[:at] + number + content[at + len(number) :]


@pytest.fixture(scope="module")
def in_graph() -> Callable[[bytes], np.ndarray]:
    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
    def run(image_bytes: tf.Tensor) -> tf.Tensor:
        return decode(image_bytes, tf.constant(7))

    return lambda image_bytes: run(tf.constant(image_bytes)).numpy()


GREY, PALETTE = COLOURED.convert("L"), COLOURED.convert("P")
DEEP = Image.fromarray(np.random.default_rng(1).integers(0, 65535, (5, 7), dtype=np.uint16))
SAME = {
    **{f"{mode}.png": encoded(COLOURED.convert(mode), "PNG") for mode in ("1", "L", "P", "RGB", "RGBA", "LA")},
    "16-bit.png": encoded(DEEP, "PNG"),
    "unused transparent colour.png": encoded(Image.new("L", (9, 9), 7), "PNG", transparency=3),
    "turned.png": encoded(COLOURED, "PNG", exif=turned(6)),
    "L.jpg": encoded(GREY, "JPEG", quality=95),
    "RGB.jpg": encoded(COLOURED, "JPEG"),
    "progressive.jpg": encoded(COLOURED, "JPEG", progressive=True),
    **{f"turned {turn}.jpg": encoded(COLOURED, "JPEG", exif=turned(turn)) for turn in range(1, 9)},
    "a note that says acTL.png": encoded(COLOURED, "PNG", pnginfo=note("an acTL in the text")),
    "turned, big-endian.jpg": encoded(COLOURED, "JPEG", exif=turned(8, ">")),
    **{f"{mode}.bmp": encoded(COLOURED.convert(mode), "BMP") for mode in ("L", "P", "RGB", "RGBA")},
    **{f"{mode}.gif": encoded(COLOURED.convert(mode), "GIF") for mode in ("1", "L", "P")},
}


@pytest.mark.parametrize("name", SAME)
def test_pixels_are_those_of_imaging(name: str, in_graph: Callable[[bytes], np.ndarray]) -> None:
    np.testing.assert_array_equal(in_graph(SAME[name]), read_image(SAME[name]))


def half_transparent() -> Image.Image:
    image = COLOURED.convert("RGBA")
    image.putalpha(128)
    return image


LARGE = (60_000).to_bytes(4, "big")
JPEG_SIZE = encoded(GREY, "JPEG").index(b"\xff\xc0") + 5
ONE_MORE = {"save_all": True, "append_images": [COLOURED.rotate(180)]}
REFUSED = {
    "text": (b"no image", "is not a PNG, JPEG, BMP or GIF file"),
    "nothing": (b"", "is not a PNG, JPEG, BMP or GIF file"),
    "TIFF": (encoded(COLOURED, "TIFF"), "is not a PNG, JPEG, BMP or GIF file"),
    "a PNG's first bytes": (b"\x89PNG\r\n\x1a\n", "is an image without pixels"),
    "large PNG": (with_number(encoded(GREY, "PNG"), 16, LARGE + LARGE), "is over 50 megapixels"),
    "large BMP": (with_number(encoded(GREY, "BMP"), 18, LARGE[::-1] + LARGE[::-1]), "is over 50 megapixels"),
    "large GIF": (with_number(encoded(GREY, "GIF"), 6, b"\xff\xff\xff\xff"), "is over 50 megapixels"),
    "large JPEG": (with_number(encoded(GREY, "JPEG"), JPEG_SIZE, b"\xea\x60\xea\x60"), "is over 50 megapixels"),
    "half-transparent PNG": (encoded(half_transparent(), "PNG"), "is partly transparent"),
    "transparent colour": (encoded(Image.new("L", (9, 9), 7), "PNG", transparency=7), "is partly transparent"),
    "animated PNG": (encoded(COLOURED, "PNG", **ONE_MORE), "is animated"),
    "animated GIF": (encoded(PALETTE, "GIF", **ONE_MORE), "is animated"),
    "CMYK": (encoded(COLOURED.convert("CMYK"), "JPEG"), "is in the colour model CMYK"),
    "BMP of one bit": (
        encoded(COLOURED.convert("1"), "BMP"),
        "is a BMP that is compressed, or not of 8, 24 or 32 bits",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_refused_with_its_row(name: str, in_graph: Callable[[bytes], np.ndarray]) -> None:
    content, why = REFUSED[name]
    with pytest.raises(tf.errors.InvalidArgumentError) as refusal:
        in_graph(content)
    assert f"image_bytes[7] {why}" in str(refusal.value)


@pytest.mark.parametrize("name", ["RGB.png", "RGB.jpg", "RGB.bmp", "P.gif"])
def test_truncated_data_are_an_invalid_argument(name: str, in_graph: Callable[[bytes], np.ndarray]) -> None:
    for kept in (len(SAME[name]) - 30, 60, 20):
        with pytest.raises(UsageError):
            read_image(SAME[name][:kept])
        with pytest.raises(tf.errors.InvalidArgumentError):
            in_graph(SAME[name][:kept])
