"""Files that are refused, each with one sentence that names no patient."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from busi_keras.data.phantom import make_phantom
from busi_keras.dicom.codestream import unpacked_rle_bytes
from busi_keras.dicom.ultrasound import MAX_FILE_BYTES, read_ultrasound
from busi_keras.errors import UsageError

GREY = make_phantom(0, 0, 0, 90, 120).image
Write = Callable[..., Path]


def _complaint(content: bytes) -> str:
    try:
        list(read_ultrasound(content).frames())
    except UsageError as error:
        return str(error)
    return ""


REFUSED = {
    "not ultrasound": (
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "Modality": "CT"},
        r"is not an ultrasound image \(CT Image Storage\); name a B-mode ultrasound image",
    ),
    "no pixels": ({"PixelData": None}, "holds no pixels"),
    "too few pixels": ({"Rows": 900}, "claims 120 x 900 pixels, but 10800 of 108000 bytes are there"),
    "too few frames": ({"NumberOfFrames": 2}, "claims 2 frames of 120 x 90 pixels, but 10800 of 21600 bytes"),
    "huge": ({"Rows": 9000, "Columns": 9000}, "has frames of 9000 x 9000, over 50 megapixels"),
    "32 bits": ({"BitsAllocated": 32, "BitsStored": 32}, "has 32 of 32 bits a sample in MONOCHROME2"),
    "another colour model": ({"PhotometricInterpretation": "CMYK"}, "is in a colour model that cannot be read"),
    "grey in three samples": ({"SamplesPerPixel": 3}, "is damaged: 3 samples a pixel in MONOCHROME2"),
    "no representation": ({"PixelRepresentation": None}, r"is damaged: frame 1 cannot be decoded"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_read_is_refused_with_one_sentence(
    tmp_path: Path, ultrasound_file: Write, reason: str, patient: tuple[str, ...]
) -> None:
    more, message = REFUSED[reason]
    path = ultrasound_file(tmp_path / "a.dcm", GREY, **more)
    with pytest.raises(UsageError, match=rf"^{path} {message}") as caught:
        next(read_ultrasound(path).frames())
    assert not [word for word in patient if word in str(caught.value)]
    assert "\n" not in str(caught.value)


def test_a_video_and_a_deflated_file_are_refused(tmp_path: Path, ultrasound_file: Write) -> None:
    written = ultrasound_file(tmp_path / "a.dcm", GREY).read_bytes()

    def as_syntax(uid: bytes) -> bytes:
        """The same file with another transfer syntax of as many characters, padded as UIDs are."""
        old = b"1.2.840.10008.1.2.1\0"
        assert written.count(old) == 1
        start = written.index(old)
        padded = uid + b"\0" * (len(uid) % 2)
        length = int.from_bytes(written[start - 2 : start], "little")
        group = int.from_bytes(written[140:144], "little") + len(padded) - length
        return (
            written[:140]
            + group.to_bytes(4, "little")
            + written[144 : start - 2]
            + len(padded).to_bytes(2, "little")
            + padded
            + written[start + length :]
        )

    for uid, message in {
        b"1.2.840.10008.1.2.4.102": r"is a video \(MPEG-4 AVC/H\.264 High Profile / Level 4\.1\)",
        b"1.2.840.10008.1.2.1.99": "is deflated as a whole",
        b"1.2.840.10008.1.2.4.94": "is coded in a way that cannot be read",
        b"1.2.3.4.5": r"is coded in a way that cannot be read \(unknown\)",
    }.items():
        with pytest.raises(UsageError, match=message):
            read_ultrasound(as_syntax(uid))


def test_a_file_of_two_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    with path.open("wb") as stream:
        stream.truncate(MAX_FILE_BYTES)  # a hole: takes no room on the disk
    with pytest.raises(UsageError, match=r"a\.dcm has 2\.0 GB; files from 2 GB on are not read"):
        read_ultrasound(path)


def test_what_is_no_dicom_file_is_refused(tmp_path: Path) -> None:
    for name, content, message in (
        ("empty.dcm", b"", "is empty"),
        ("text.dcm", b"Erika " * 100, "is not a DICOM file: the prefix DICM is missing"),
        ("mark.dcm", b"\0" * 128 + b"DICM", "is damaged: its header cannot be read"),
        ("noise.dcm", b"\0" * 128 + b"DICM" + bytes(range(256)) * 9, "is damaged: its header cannot be read"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=rf"{name} {message}"):
            read_ultrasound(tmp_path / name)
    with pytest.raises(UsageError, match=r"nothing\.dcm does not exist"):
        read_ultrasound(tmp_path / "nothing.dcm")
    with pytest.raises(UsageError, match="is a folder"):
        read_ultrasound(tmp_path)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGBaseline8Bit, JPEG2000Lossless])
def test_a_file_cut_off_anywhere_is_refused(
    tmp_path: Path, ultrasound_file: Write, syntax: str, patient: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    whole = ultrasound_file(tmp_path / "a.dcm", np.stack([GREY] * 2), "MONOCHROME2", syntax).read_bytes()
    for share in (0.01, 0.03, 0.06, 0.1, 0.3, 0.6, 0.9, 0.99):
        with pytest.raises(UsageError) as caught:
            list(read_ultrasound(whole[: int(share * len(whole))]).frames())
        assert not [word for word in patient if word in str(caught.value)]
    assert capfd.readouterr() == ("", "")


def test_noise_in_a_file_gives_a_sentence_and_never_names_the_patient(
    tmp_path: Path, ultrasound_file: Write, patient: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(5)
    said: list[str] = []
    for syntax in (ExplicitVRLittleEndian, JPEGBaseline8Bit, JPEGLSLossless, RLELossless):
        whole = ultrasound_file(tmp_path / "a.dcm", GREY, "MONOCHROME2", syntax).read_bytes()
        for _ in range(25):
            damaged = np.frombuffer(whole, np.uint8).copy()
            places = rng.integers(132, min(len(whole), 1500), 12)
            damaged[places] = rng.integers(0, 256, 12)
            said.append(_complaint(damaged.tobytes()))
    assert 20 < len([sentence for sentence in said if sentence]) < len(said)
    assert not [word for word in patient if word in " ".join(said)]
    assert capfd.readouterr() == ("", "")


def test_a_compressed_frame_that_is_larger_than_it_says_is_not_decoded(tmp_path: Path, ultrasound_file: Write) -> None:
    large = np.zeros((900, 900), np.uint8)
    path = ultrasound_file(tmp_path / "a.dcm", large, "MONOCHROME2", JPEGBaseline8Bit, Rows=90, Columns=120)
    with pytest.raises(UsageError, match="claims 120 x 90 pixels, but frame 1 is 900 x 900"):
        next(read_ultrasound(path).frames())
    noise = np.random.default_rng(0).integers(0, 255, (900, 900), dtype=np.uint8)
    path = ultrasound_file(tmp_path / "b.dcm", noise, "MONOCHROME2", JPEGBaseline8Bit, Rows=90, Columns=120)
    with pytest.raises(UsageError, match="its compressed frames are larger than their pixels"):
        read_ultrasound(path)


def test_an_rle_frame_that_unpacks_to_more_than_its_pixels_is_not_unpacked(
    tmp_path: Path, ultrasound_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ultrasound_file(tmp_path / "a.dcm", GREY, syntax=RLELossless)
    dataset = pydicom.dcmread(path)
    bomb = struct.pack("<16L", 1, 64, *[0] * 14) + b"\x81\x07" * 4000  # 128 sevens, 4000 times
    dataset.PixelData = encapsulate([bomb])
    dataset.save_as(path)
    read = read_ultrasound(path)
    monkeypatch.setattr("pydicom.pixels.decoders.rle._rle_decode_segment", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(UsageError, match="frame 1 unpacks to more than its pixels"):
        next(read.frames())


def test_rle_is_counted_as_it_unpacks() -> None:
    packed = struct.pack("<16L", 2, 64, 70, *[0] * 13) + b"\x02abc\x80\x80" + b"\xffx" + b"\x00y"
    assert unpacked_rle_bytes(packed, 100) == 3 + 2 + 1
    assert unpacked_rle_bytes(packed, 2) == 3
    assert unpacked_rle_bytes(packed[:20], 100) == 0
