from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.pixels import convert_color_space
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from busi_keras.data.phantom import make_phantom
from busi_keras.dicom.detection import is_dicom
from busi_keras.dicom.regions import NO_SCAN_AREA, Spacing
from busi_keras.dicom.ultrasound import BURNT_IN, read_ultrasound
from busi_keras.errors import UsageError

GREY = make_phantom(0, 0, 0, 90, 120).image
SHOWN = np.repeat(GREY[..., None], 3, axis=-1)
RGB = np.stack([GREY, GREY // 2, 255 - GREY], axis=-1)
LOSSLESS = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless)
STORED = {
    "MONOCHROME2": (GREY, SHOWN),
    "MONOCHROME1": (255 - GREY, SHOWN),
    "RGB": (RGB, RGB),
    "16 bits": ((GREY.astype(np.uint16) << 8) + 7, SHOWN),
    "signed": (((GREY.astype(np.int32) << 8) - 2**15).astype(np.int16), SHOWN),
}
Write = Callable[..., Path]


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("kind", STORED)
def test_every_lossless_transfer_syntax_gives_the_same_pixels(
    tmp_path: Path, ultrasound_file: Write, kind: str, syntax: str
) -> None:
    stored, shown = STORED[kind]
    interpretation = kind if kind in ("MONOCHROME1", "RGB") else "MONOCHROME2"
    image = read_ultrasound(ultrasound_file(tmp_path / "a.dcm", stored, interpretation, syntax))
    assert (image.rows, image.columns, image.frame_count) == (90, 120, 1)
    [frame] = image.frames()
    assert frame.number == 1
    assert frame.pixels.dtype == np.uint8
    np.testing.assert_array_equal(frame.pixels, shown)


def test_jpeg_is_decoded_as_pillow_does(tmp_path: Path, ultrasound_file: Write) -> None:
    grey = read_ultrasound(ultrasound_file(tmp_path / "a.dcm", GREY, "MONOCHROME2", JPEGBaseline8Bit))
    assert np.abs(next(grey.frames()).pixels.astype(int) - SHOWN).mean() < 2
    smooth = np.asarray(Image.fromarray(RGB).resize((12, 9)).resize((120, 90), Image.Resampling.BICUBIC))
    colour = read_ultrasound(ultrasound_file(tmp_path / "b.dcm", smooth, "YBR_FULL_422", JPEGBaseline8Bit))
    assert np.abs(next(colour.frames()).pixels.astype(int) - smooth).max() < 12


def test_big_endian_is_read(tmp_path: Path, ultrasound_file: Write) -> None:
    deep = (GREY.astype(">u2") << 8).astype(">u2")
    image = read_ultrasound(ultrasound_file(tmp_path / "a.dcm", deep, "MONOCHROME2", ExplicitVRBigEndian))
    np.testing.assert_array_equal(next(image.frames()).pixels, SHOWN)


def test_ybr_becomes_rgb(tmp_path: Path, ultrasound_file: Write) -> None:
    ybr = convert_color_space(RGB, "RGB", "YBR_FULL")
    full = read_ultrasound(ultrasound_file(tmp_path / "a.dcm", ybr, "YBR_FULL"))
    assert np.abs(next(full.frames()).pixels.astype(int) - RGB).max() <= 3

    pairs = np.repeat(ybr[:, ::2], 2, axis=1)  # both pixels of a pair have one colour, so that nothing is lost
    pairs[..., 0] = ybr[..., 0]
    subsampled = np.stack([pairs[:, ::2, 0], pairs[:, 1::2, 0], pairs[:, ::2, 1], pairs[:, ::2, 2]], axis=-1)
    path = ultrasound_file(tmp_path / "b.dcm", ybr, "YBR_FULL_422", PixelData=subsampled.tobytes())
    np.testing.assert_array_equal(
        next(read_ultrasound(path).frames()).pixels, convert_color_space(pairs, "YBR_FULL", "RGB")
    )


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_gives_colours(tmp_path: Path, ultrasound_file: Write, bits: int) -> None:
    tables = np.stack([np.arange(256), np.arange(256)[::-1], np.arange(256) // 2]).astype(f"u{bits // 8}")
    palette = {}
    for colour, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        palette[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
        palette[f"{colour}PaletteColorLookupTableData"] = (table << (bits - 8)).tobytes()
    image = read_ultrasound(ultrasound_file(tmp_path / "a.dcm", GREY, "PALETTE COLOR", **palette))
    np.testing.assert_array_equal(next(image.frames()).pixels, np.stack([GREY, 255 - GREY, GREY // 2], axis=-1))


def test_a_palette_that_is_not_as_deep_as_it_says_is_not_read_as_black(tmp_path: Path, ultrasound_file: Write) -> None:
    def written(bits: int, table: np.ndarray) -> Path:
        palette = {}
        for colour in ("Red", "Green", "Blue"):
            palette[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
            palette[f"{colour}PaletteColorLookupTableData"] = table.tobytes()
        return ultrasound_file(tmp_path / f"{bits}.dcm", GREY, "PALETTE COLOR", **palette)

    low = np.arange(256, dtype="<u2")
    for bits, table in ((8, low), (8, low << 8), (16, low.astype(np.uint8))):
        image = read_ultrasound(written(bits, table))
        np.testing.assert_array_equal(next(image.frames()).pixels, np.repeat(GREY[..., None], 3, axis=-1))
    with pytest.raises(UsageError, match=r"16\.dcm has a palette of 16 bits, but no value above 255"):
        next(read_ultrasound(written(16, low)).frames())


def test_a_window_is_applied_after_the_rescaling(tmp_path: Path, ultrasound_file: Write) -> None:
    """PS3.3, C.11.2.1.2: white from centre - 0.5 + (width - 1) / 2 on, black up to centre - 0.5 - (width - 1) / 2."""
    stored = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    rescaled = {"RescaleSlope": 2, "RescaleIntercept": -1000, "RescaleType": "US"}
    window = {"WindowCenter": [1000.5, 5], "WindowWidth": [2001, 1]}
    path = ultrasound_file(tmp_path / "a.dcm", stored, BitsStored=12, HighBit=11, **rescaled, **window)
    pixels = next(read_ultrasound(path).frames()).pixels[..., 0].ravel()
    assert pixels[500] == 0
    assert pixels[:500].max() == 0
    assert pixels[1000] == 128
    assert pixels[1500] == 255
    assert pixels[1500:].min() == 255
    exact = ultrasound_file(tmp_path / "b.dcm", stored, VOILUTFunction="LINEAR_EXACT", WindowCenter=16, WindowWidth=32)
    np.testing.assert_array_equal(next(read_ultrasound(exact).frames()).pixels[0, :5, 0], [0, 8, 16, 24, 32])


def test_without_a_window_deep_samples_keep_their_high_byte(tmp_path: Path, ultrasound_file: Write) -> None:
    stored = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    path = ultrasound_file(tmp_path / "a.dcm", stored, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(next(read_ultrasound(path).frames()).pixels[..., 0], stored >> 4)


def test_samples_too_dark_for_their_depth_are_refused(tmp_path: Path, ultrasound_file: Write) -> None:
    stored = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    path = ultrasound_file(tmp_path / "a.dcm", stored)
    with pytest.raises(
        UsageError, match=r"a\.dcm has 16 bits per sample, but no value above 4095, and no window: .* save it"
    ):
        next(read_ultrasound(path).frames())
    black = ultrasound_file(tmp_path / "b.dcm", np.zeros((64, 64), np.uint16))
    assert next(read_ultrasound(black).frames()).pixels.max() == 0
    windowed = ultrasound_file(tmp_path / "c.dcm", stored, WindowCenter=2048, WindowWidth=4096)
    assert next(read_ultrasound(windowed).frames()).pixels.max() == 255


@pytest.mark.parametrize("count", [0, -1, "1.5"])
def test_an_impossible_number_of_frames_is_refused(tmp_path: Path, ultrasound_file: Write, count: object) -> None:
    path = ultrasound_file(tmp_path / "a.dcm", GREY, NumberOfFrames=count)
    with pytest.raises(UsageError, match=rf"a\.dcm is damaged: its number of frames is {count}; get the file again"):
        read_ultrasound(path)


def test_a_window_without_width_is_refused(tmp_path: Path, ultrasound_file: Write) -> None:
    path = ultrasound_file(tmp_path / "a.dcm", GREY, WindowCenter=100, WindowWidth=0)
    with pytest.raises(UsageError, match=r"a\.dcm has a window 0 wide; save it with one of 1 or wider"):
        next(read_ultrasound(path).frames())


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless, JPEGBaseline8Bit], ids=lambda uid: uid.keyword
)
def test_every_nth_frame_of_a_cine_comes_one_at_a_time(tmp_path: Path, ultrasound_file: Write, syntax: str) -> None:
    frames = np.stack([np.full((40, 60), 20 * number, np.uint8) for number in range(7)])
    cine = read_ultrasound(ultrasound_file(tmp_path / "a.dcm", frames, "MONOCHROME2", syntax))
    assert (cine.frame_count, cine.frames_in(3)) == (7, 3)
    assert [(frame.number, int(frame.pixels[9, 9, 0])) for frame in cine.frames(3)] == [(1, 0), (4, 60), (7, 120)]
    with pytest.raises(UsageError, match="--every is 0"):
        next(cine.frames(0))


def test_a_file_on_disk_and_its_bytes_are_the_same(tmp_path: Path, ultrasound_file: Write) -> None:
    path = ultrasound_file(tmp_path / "a.dcm", GREY)
    np.testing.assert_array_equal(next(read_ultrasound(path.read_bytes()).frames()).pixels, SHOWN)


def test_memory_holds_a_frame_and_not_the_film(tmp_path: Path, ultrasound_file: Write) -> None:
    import tracemalloc

    cine = read_ultrasound(ultrasound_file(tmp_path / "a.dcm", np.zeros((60, 256, 256, 3), np.uint8), "RGB"))
    tracemalloc.start()
    for frame in cine.frames():
        assert frame.pixels.shape == (256, 256, 3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * 256 * 256 * 3


def test_files_of_other_makers_are_read_as_pydicom_does() -> None:
    for name in ("examples_ybr_color.dcm", "examples_rgb_color.dcm", "examples_palette.dcm", "ExplVR_BigEnd.dcm"):
        path = Path(str(get_testdata_file(name, download=False)))
        dataset = pydicom.dcmread(path)
        expected = dataset.pixel_array if dataset.PhotometricInterpretation != "PALETTE COLOR" else None
        image = read_ultrasound(path)
        frame = next(image.frames())
        assert frame.pixels.shape == (dataset.Rows, dataset.Columns, 3)
        if dataset.PhotometricInterpretation == "RGB":
            np.testing.assert_array_equal(frame.pixels, expected if image.frame_count == 1 else expected[0])
    ybr = read_ultrasound(Path(str(get_testdata_file("examples_ybr_color.dcm", download=False))))
    assert (ybr.frame_count, ybr.scan_area.box) == (30, (84, 31, 320, 240))
    assert ybr.spacing is not None
    assert ybr.spacing.x_mm == pytest.approx(0.5105, abs=1e-4)


def test_the_scan_area_and_the_size_of_a_pixel_come_from_the_regions(
    tmp_path: Path, ultrasound_file: Write, region: Callable[..., Dataset]
) -> None:
    items = [
        region((0, 0, 120, 20), RegionSpatialFormat=2),  # M-mode
        region((10, 20, 50, 60)),
        region((20, 5, 110, 85), delta_cm=(0.012, -0.008)),
        region((0, 0, 119, 89), RegionDataType=2),  # colour flow
    ]
    image = read_ultrasound(ultrasound_file(tmp_path / "a.dcm", GREY, SequenceOfUltrasoundRegions=items))
    assert image.scan_area.box == (20, 5, 110, 85)
    assert image.scan_area_named
    assert image.spacing == Spacing(pytest.approx(0.12), pytest.approx(0.08))
    assert image.warnings == (
        "the file defines 2 2-D tissue regions: only the largest is analysed",
        "pixels are not square (0.12 x 0.08 mm): shapes are analysed as stored, stretched in one direction",
    )
    square = ultrasound_file(
        tmp_path / "b.dcm", GREY, SequenceOfUltrasoundRegions=[region((20, 5, 110, 85), delta_cm=(0.01, 0.0104))]
    )
    assert read_ultrasound(square).warnings == ()
    np.testing.assert_array_equal(image.scan_area.crop(SHOWN), SHOWN[5:85, 20:110])


def test_a_region_that_reaches_over_the_frame_is_cut_and_an_impossible_one_passed_over(
    tmp_path: Path, ultrasound_file: Write, region: Callable[..., Dataset]
) -> None:
    over = ultrasound_file(tmp_path / "a.dcm", GREY, SequenceOfUltrasoundRegions=[region((100, 50, 4000, 4000))])
    assert read_ultrasound(over).scan_area.box == (100, 50, 120, 90)
    for box in ((50, 50, 40, 40), (200, 200, 300, 300), (5, 5, 12, 80)):
        path = ultrasound_file(tmp_path / "b.dcm", GREY, SequenceOfUltrasoundRegions=[region(box)])
        image = read_ultrasound(path)
        assert image.scan_area.is_whole
        assert not image.scan_area_named
        assert image.spacing is None
        assert image.warnings == (NO_SCAN_AREA,)


@pytest.mark.parametrize(
    "more",
    [
        {"PhysicalUnitsXDirection": 4},  # seconds
        {"PhysicalDeltaX": 0.0},
        {"PhysicalDeltaY": float("nan")},
        {"PhysicalDeltaY": 3.0},
        {"PhysicalUnitsYDirection": None},
    ],
    ids=str,
)
def test_a_size_that_is_not_in_cm_along_both_axes_is_no_size(
    tmp_path: Path, ultrasound_file: Write, region: Callable[..., Dataset], more: dict[str, float]
) -> None:
    items = [region((0, 0, 120, 90), **more)]
    image = read_ultrasound(ultrasound_file(tmp_path / "a.dcm", GREY, SequenceOfUltrasoundRegions=items))
    assert image.spacing is None
    assert image.scan_area_named


@pytest.mark.parametrize(("flag", "burnt_in"), [("YES", True), ("NO", False), (None, None)])
def test_the_flag_of_burnt_in_annotation_is_a_warning(
    tmp_path: Path, ultrasound_file: Write, flag: str | None, burnt_in: bool | None
) -> None:
    more = {"BurnedInAnnotation": flag} if flag else {}
    image = read_ultrasound(ultrasound_file(tmp_path / "a.dcm", GREY, **more))
    assert image.burnt_in is burnt_in
    assert (BURNT_IN in image.warnings) is (burnt_in is True)


def test_a_secondary_capture_of_ultrasound_is_ultrasound(tmp_path: Path, ultrasound_file: Write) -> None:
    capture = "1.2.840.10008.5.1.4.1.1.7"
    assert read_ultrasound(ultrasound_file(tmp_path / "a.dcm", GREY, SOPClassUID=capture)).rows == 90
    with pytest.raises(UsageError, match=r"Secondary Capture Image Storage of another modality than US"):
        read_ultrasound(ultrasound_file(tmp_path / "a.dcm", GREY, SOPClassUID=capture, Modality="OT"))


def test_what_means_to_be_dicom(tmp_path: Path, ultrasound_file: Write) -> None:
    path = ultrasound_file(tmp_path / "IM0001", GREY)
    assert is_dicom(path)
    assert is_dicom(path.read_bytes())
    assert is_dicom(tmp_path / "anything.DCM")
    (tmp_path / "DICOMDIR").write_bytes(path.read_bytes())
    (tmp_path / "README").write_text("text")
    for name in ("DICOMDIR", "README", "image.png", "nothing"):
        assert not is_dicom(tmp_path / name)


def test_without_pydicom_one_sentence_says_what_to_install(
    tmp_path: Path, ultrasound_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ultrasound_file(tmp_path / "a.dcm", GREY)
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(UsageError, match=r"needs pydicom, which is not installed; pip install -r requirements-dicom"):
        read_ultrasound(path)
