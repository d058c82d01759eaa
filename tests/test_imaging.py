import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from busi_keras.errors import UsageError
from busi_keras.imaging import encode_png, pixel_count, pixels_digest, read_image, read_mask

GREY = np.add.outer(np.arange(24), 7 * np.arange(30)).astype(np.uint8)
COLOUR = np.stack([GREY, 255 - GREY, GREY // 2], axis=-1)
NOISE = np.random.default_rng(0).integers(0, 256, (24, 30, 3), np.uint8)
MASK = np.hypot(*np.mgrid[-12:12, -15:15]) < 8


def encoded(image: Image.Image | np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=-1)


def png(width: int, height: int, depth: int, colour_type: int, rows: bytes) -> bytes:
    """A PNG written by hand, of the kinds that Pillow does not write; `rows` begin with their filter byte."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + (chunk(b"IDAT", zlib.compress(rows)) if rows else b"")
        + chunk(b"IEND", b"")
    )


def png_16_bit(samples: np.ndarray, colour_type: int) -> bytes:
    """A PNG of 16-bit samples (height, width, channels): type 0 grey, 2 RGB, 4 grey and alpha, 6 RGBA."""
    height, width, _ = samples.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return png(width, height, 16, colour_type, rows)


def with_alpha(pixels: np.ndarray, alpha: int) -> Image.Image:
    image = Image.fromarray(pixels)
    image.putalpha(alpha)
    return image


def with_orientation(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def palette() -> Image.Image:
    image = Image.fromarray(GREY % 4).convert("P")
    image.putpalette([0, 0, 0, 255, 0, 0, 10, 20, 30, 200, 200, 200])
    return image


PALETTE_PIXELS = np.array([[0, 0, 0], [255, 0, 0], [10, 20, 30], [200, 200, 200]], np.uint8)[GREY % 4]


WHOLE = {
    "PNG": encoded(NOISE),
    "JPEG": encoded(NOISE, "JPEG", exif=with_orientation(6)),
    "GIF": encoded(NOISE, "GIF", save_all=True, append_images=[Image.fromarray(255 - NOISE)]),
    "BMP": encoded(NOISE, "BMP"),
    "TIFF": encoded(NOISE, "TIFF", exif=with_orientation(6)),
}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(encoded(COLOUR), COLOUR, id="RGB"),
        pytest.param(encoded(GREY), rgb(GREY), id="grey"),
        pytest.param(encoded(COLOUR, "BMP"), COLOUR, id="BMP"),
        pytest.param(encoded(COLOUR, "TIFF", compression="tiff_lzw"), COLOUR, id="TIFF"),
        pytest.param(encoded(GREY, "GIF"), rgb(GREY), id="GIF"),
        pytest.param(encoded(MASK), rgb(255 * MASK.astype(np.uint8)), id="1 bit"),
        pytest.param(encoded(palette()), PALETTE_PIXELS, id="palette"),
        pytest.param(encoded(palette(), transparency=b"\xff" * 4), PALETTE_PIXELS, id="palette, opaque alpha"),
        pytest.param(encoded(palette(), transparency=9), PALETTE_PIXELS, id="palette, transparent colour not used"),
        pytest.param(encoded(with_alpha(GREY, 255)), rgb(GREY), id="LA, opaque"),
        pytest.param(encoded(with_alpha(COLOUR, 255)), COLOUR, id="RGBA, opaque"),
        pytest.param(encoded(GREY * np.uint16(256) + np.uint16(77)), rgb(GREY), id="16-bit grey"),
        pytest.param(encoded(GREY * np.uint16(256) + np.uint16(77), "TIFF"), rgb(GREY), id="16-bit TIFF"),
        pytest.param(png_16_bit(COLOUR * np.uint16(256) + np.uint16(200), 2), COLOUR, id="16-bit RGB"),
        pytest.param(png(4, 1, 2, 0, b"\0\x1b"), rgb(np.array([[0, 85, 170, 255]], np.uint8)), id="2-bit grey"),
    ],
)
def test_every_kind_of_image_becomes_8_bit_rgb(content: bytes, expected: np.ndarray) -> None:
    pixels = read_image(content)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("pixels", [GREY, COLOUR])
def test_a_jpeg_is_read_as_pillow_decodes_it(tmp_path: Path, pixels: np.ndarray) -> None:
    (tmp_path / "a.JPG").write_bytes(encoded(pixels, "JPEG", quality=95))
    expected = np.asarray(Image.open(tmp_path / "a.JPG").convert("RGB"))
    np.testing.assert_array_equal(read_image(tmp_path / "a.JPG"), expected)
    if pixels.ndim == 2:
        assert np.abs(expected.astype(int) - rgb(pixels)).mean() < 3


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_exif_is_applied(kind: str, orientation: int) -> None:
    rotated: Callable[[np.ndarray], np.ndarray] = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, 1),
    }[orientation]
    lying = read_image(encoded(COLOUR, kind))
    np.testing.assert_array_equal(read_image(encoded(COLOUR, kind, exif=with_orientation(orientation))), rotated(lying))


def test_a_deep_grey_image_is_turned_upright_too() -> None:
    deep = encoded(GREY * np.uint16(256), exif=with_orientation(6))
    np.testing.assert_array_equal(read_image(deep), rgb(np.rot90(GREY, -1)))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(encoded(with_alpha(COLOUR, 254)), "partly transparent; flatten", id="RGBA"),
        pytest.param(encoded(with_alpha(GREY, 0)), "partly transparent; flatten", id="LA"),
        pytest.param(encoded(palette(), transparency=2), "partly transparent; flatten", id="palette"),
        pytest.param(
            encoded(COLOUR, transparency=tuple(COLOUR[3, 5].tolist())), "partly transparent", id="RGB, one colour"
        ),
        pytest.param(encoded(GREY, transparency=int(GREY[3, 5])), "partly transparent", id="grey, one level"),
        pytest.param(encoded(GREY.astype(np.uint16), transparency=5), "partly transparent", id="16-bit, one level"),
        pytest.param(encoded(MASK, transparency=0), "partly transparent", id="1 bit, one level"),
        pytest.param(encoded(Image.new("CMYK", (8, 8)), "JPEG"), "colour model CMYK; save it as grey", id="CMYK JPEG"),
        pytest.param(encoded(Image.new("CMYK", (8, 8)), "TIFF"), "colour model CMYK; save it as", id="CMYK TIFF"),
        pytest.param(encoded(Image.new("LAB", (8, 8)), "TIFF"), "colour model LAB; save it as grey or RGB", id="LAB"),
        pytest.param(encoded(Image.new("I", (8, 8)), "TIFF"), "colour model I; save it as grey", id="32-bit TIFF"),
        pytest.param(encoded(Image.new("F", (8, 8)), "TIFF"), "colour model F; save it as grey", id="float TIFF"),
        pytest.param(
            encoded(GREY.astype(np.uint16), "TIFF", tiffinfo={262: 0}), "stores white as 0; save", id="inverted TIFF"
        ),
        *(
            pytest.param(
                encoded(
                    COLOUR,
                    kind,
                    save_all=True,
                    append_images=[Image.fromarray(COLOUR[::-1]), Image.fromarray(255 - COLOUR)],
                ),
                f"{count} frames; save the frame you want",
                id=f"animated {kind}",
            )
            for kind, count in (("PNG", 3), ("GIF", 3), ("TIFF", "several"))
        ),
        pytest.param(b"", "not a readable image; give a PNG, JPEG, BMP, GIF or TIFF", id="zero bytes"),
        pytest.param(b"patient,age\n1,44\n", "not a readable image; give a PNG", id="text"),
        pytest.param(encoded(COLOUR, "WEBP"), "not a readable image; give a PNG", id="another format"),
        pytest.param(png(8, 8, 8, 0, b""), "damaged", id="no pixels"),
        *(
            pytest.param(whole[:-100], "damaged .*; get the file again", id=f"truncated {kind}")
            for kind, whole in ((kind, encoded(NOISE, kind)) for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF"))
        ),
    ],
)
def test_what_cannot_be_read_rightly_is_refused_by_name(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "benign (7).png"
    path.write_bytes(content)
    for read in (read_image, read_mask):
        with warnings.catch_warnings(action="error"), pytest.raises(UsageError, match=complaint) as refusal:
            read(path)
        assert str(refusal.value).startswith(f"{path} ")
        assert "\n" not in str(refusal.value)
    with pytest.raises(UsageError, match=f"^the image .*{complaint}"):
        read_image(content)


def test_twelve_bits_in_sixteen_are_not_read_as_black() -> None:
    deep = GREY.astype(np.uint16) * np.uint16(16)
    with pytest.raises(UsageError, match=r"16 bits per sample, but no value above \d+: .* save it with 8 bits"):
        read_image(encoded(deep))
    assert not read_image(encoded(np.zeros_like(deep))).any()
    np.testing.assert_array_equal(read_image(encoded(deep * np.uint16(16))), rgb(GREY))
    coloured = np.repeat(deep[..., None], 3, axis=-1)
    with pytest.raises(UsageError, match=r"16 bits per sample, but no value above \d+: .* save it with 8 bits"):
        read_image(png_16_bit(coloured, 2))
    np.testing.assert_array_equal(read_image(png_16_bit(coloured * np.uint16(16), 2)), rgb(GREY))


@pytest.mark.parametrize(("width", "height"), [(10_000, 5_001), (12_000, 10_000), (60_000, 60_000)])
def test_an_image_over_50_megapixels_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int, height: int
) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png(width, height, 8, 2, b"\0" * 100))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("it is decoded"))
    complaint = r"huge\.png is .*over 50 megapixels; make it smaller first"
    with warnings.catch_warnings(action="error"), pytest.raises(UsageError, match=complaint):
        read_image(path)


def test_50_megapixels_are_not_too_many() -> None:
    with pytest.raises(UsageError, match="damaged"):  # for the pixels are not there, not for its size
        read_image(png(10_000, 5_000, 1, 0, b""))


def test_a_path_without_an_image_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"benign \(9\)\.png does not exist; check the path"):
        read_image(tmp_path / "benign (9).png")
    with pytest.raises(UsageError, match="is a folder; name an image in it") as refusal:
        read_image(tmp_path)
    assert str(tmp_path) in str(refusal.value)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_a_damaged_file_is_read_or_refused_and_nothing_else(kind: str, data: st.DataObject) -> None:
    content = bytearray(WHOLE[kind])
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, min(len(content) - 1, 400)))] = data.draw(st.integers(0, 255))
    try:
        pixels = read_image(bytes(content[: data.draw(st.integers(0, len(content)))]))
    except UsageError:
        return
    assert (pixels.dtype, pixels.shape[2:]) == (np.uint8, (3,))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF"])
def test_a_truncated_file_never_gives_other_pixels(kind: str) -> None:
    whole = encoded(NOISE, kind)
    expected = read_image(whole)
    for length in range(0, len(whole), 13):
        try:
            np.testing.assert_array_equal(read_image(whole[:length]), expected)
        except UsageError:
            continue


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(encoded(MASK), id="1 bit"),
        pytest.param(encoded(255 * MASK.astype(np.uint8)), id="grey"),
        pytest.param(encoded(MASK.astype(np.uint8)), id="0 and 1"),
        pytest.param(encoded(128 * MASK.astype(np.uint8)), id="0 and 128"),
        pytest.param(encoded(rgb(255 * MASK.astype(np.uint8))), id="RGB"),
        pytest.param(encoded(with_alpha(rgb(255 * MASK.astype(np.uint8)), 255)), id="RGBA"),
        pytest.param(encoded(Image.fromarray(MASK).convert("P")), id="palette"),
        pytest.param(encoded(65535 * MASK.astype(np.uint16)), id="16 bits, 0 and 65535"),
        pytest.param(encoded(255 * MASK.astype(np.uint16)), id="16 bits, 0 and 255"),
        pytest.param(encoded(MASK.astype(np.uint16)), id="16 bits, 0 and 1"),
    ],
)
def test_a_mask_of_two_values_is_read_in_every_mode(content: bytes) -> None:
    mask = read_mask(content)
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, MASK)


def test_masks_of_one_value() -> None:
    assert not read_mask(encoded(np.zeros((4, 6), np.uint8))).any()
    assert read_mask(encoded(np.full((4, 6), 255, np.uint8))).all()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (encoded(np.array([[0, 128, 255]], np.uint8)), "holds the values 0, 128, 255; save it with 0 outside"),
        (encoded(np.array([[1, 255]], np.uint8)), "holds the values 1, 255; save it with 0 outside"),
        (encoded(GREY), r"holds the values 0, 1, 2, 3, \.\.\.; save"),
        (encoded(np.array([[0, 1, 2]], np.uint16)), "holds the values 0, 1, 2; save"),
        (encoded(np.array([[[0, 0, 0], [255, 0, 0]]], np.uint8)), "is coloured; save it with 0 outside and 255"),
        (png_16_bit(np.array([[[0, 0, 0], [1, 1, 1]]]), 2), "in colours of 16 bits; save it as grey"),
        (encoded(with_alpha(GREY, 128)), "partly transparent"),
    ],
)
def test_a_mask_with_other_values_is_refused_by_name(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "benign (7)_mask.png"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=complaint) as refusal:
        read_mask(path)
    assert str(refusal.value).startswith(f"{path} ")


@pytest.mark.parametrize("pixels", [GREY, COLOUR, MASK])
def test_an_encoded_png_comes_back(pixels: np.ndarray) -> None:
    back = read_image(encode_png(pixels))
    expected = 255 * pixels.astype(np.uint8) if pixels.dtype == bool else pixels
    np.testing.assert_array_equal(back, expected if expected.ndim == 3 else rgb(expected))


def test_pixels_are_counted_from_the_header_alone() -> None:
    whole = encoded(NOISE)
    assert pixel_count(whole) == 24 * 30
    assert pixel_count(whole[:60]) == 24 * 30
    with pytest.raises(UsageError, match="not a readable image"):
        pixel_count(b"text")


def test_the_digest_is_the_pixels_and_their_shape_not_the_file() -> None:
    digest = pixels_digest(NOISE)
    assert pixels_digest(read_image(encoded(NOISE, "BMP"))) == digest
    assert pixels_digest(NOISE.reshape(30, 24, 3)) != digest
    assert pixels_digest(NOISE[:, ::-1]) != digest
