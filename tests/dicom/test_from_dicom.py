import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset

from busi_keras.data.busi import read_busi
from busi_keras.data.patients import PATIENTS_FILE, read_patients
from busi_keras.data.phantom import make_phantom
from busi_keras.errors import UsageError
from busi_keras.imaging import read_image
from busi_keras.workflows.from_dicom import convert_folder

CINE = 110
ROOT = Path(__file__).parents[2]
AREA = (10, 5, 110, 85)
Write = Callable[..., Path]


def phantom(index: int) -> np.ndarray:
    return make_phantom(3, index, index % 3, 90, 120).image


@pytest.fixture
def archive(tmp_path: Path, ultrasound_file: Write, region: Callable[..., Dataset]) -> Write:
    """Writes a file into the folder `archive`, with a scan area."""

    def write(name: str, pixels: np.ndarray, **more: object) -> Path:
        path = tmp_path / "archive" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return ultrasound_file(path, pixels, **{"SequenceOfUltrasoundRegions": [region(AREA)], **more})

    return write


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    def write(**labels: str) -> Path:
        path = tmp_path / "labels.csv"
        path.write_text("file,label\n" + "".join(f"{name},{label}\n" for name, label in labels.items()))
        return path

    return write


def test_dicom_becomes_busis_layout_without_what_names_a_patient(
    tmp_path: Path, archive: Write, table: Callable[..., Path], patient: tuple[str, ...]
) -> None:
    archive("Erika.dcm", phantom(0))
    archive("sub/b.dcm", np.stack([phantom(1), phantom(2), phantom(3)]))
    output = tmp_path / "busi"
    result = convert_folder(
        tmp_path / "archive", table(**{"Erika.dcm": "benign", "sub/b.dcm": "normal"}), output, every=2
    )
    assert result.failed == ()
    assert [(one.label, len(one.images), one.written) for one in result.done] == [("benign", 1, 1), ("normal", 2, 2)]
    records = read_busi(output)
    assert [record.label for record in records] == [0, 2, 2]
    np.testing.assert_array_equal(read_image(records[0].image)[..., 0], phantom(0)[5:85, 10:110])
    assert Image.open(records[0].image).info == {}
    written = [path for path in output.rglob("*") if path.is_file()]
    assert len(written) == 3 + 1
    [of_patient] = json.loads((output / PATIENTS_FILE).read_text())
    assert sorted(of_patient) == sorted(record.name for record in records)
    for path in written:
        assert not [word for word in patient if word in str(path.relative_to(output))]
        assert not [word for word in patient if word.encode() in path.read_bytes()]
    assert "3 images of 2 files" in result.summary(output)
    assert "draw one for each of the 1 lesion images" in result.summary(output)


def test_images_of_one_patient_are_listed_and_those_of_others_apart(
    tmp_path: Path, archive: Write, table: Callable[..., Path]
) -> None:
    for index, who in enumerate(({"PatientID": "A"}, {"PatientID": "B"}, {"PatientID": "A"}, {"PatientID": None})):
        archive(f"{index}.dcm", phantom(index), **who)
    labels = table(**{f"{index}.dcm": "normal" for index in range(4)})
    done = convert_folder(tmp_path / "archive", labels, tmp_path / "busi").done
    first, _, third, _ = (one.images[0].relative_to(tmp_path / "busi").as_posix() for one in done)
    assert [sorted(group) for group in read_patients(tmp_path / "busi")] == [sorted([first, third])]

    archive("4.dcm", phantom(4), PatientID="A")
    for name in ("0.dcm", "1.dcm", "3.dcm"):
        (tmp_path / "archive" / name).unlink()
    again = convert_folder(
        tmp_path / "archive", table(**{"2.dcm": "normal", "4.dcm": "normal"}), tmp_path / "busi"
    ).done
    last = again[1].images[0].relative_to(tmp_path / "busi").as_posix()
    assert [sorted(group) for group in read_patients(tmp_path / "busi")] == [sorted([first, third, last])]


def test_a_path_in_the_table_is_meant_before_a_name(tmp_path: Path, archive: Write, table: Callable[..., Path]) -> None:
    archive("a.dcm", phantom(0))
    archive("sub/a.dcm", phantom(1))
    archive("sub/b.dcm", phantom(2))
    labels = {"a.dcm": "benign", "sub/a.dcm": "normal", "b.dcm": "benign", "sub/b.dcm": "malignant"}
    result = convert_folder(tmp_path / "archive", table(**labels), tmp_path / "busi")
    assert [(one.path.parent.name, one.label) for one in result.done] == [
        ("archive", "benign"), ("sub", "normal"), ("sub", "benign")
    ]  # fmt: skip
    assert [one.error.split(": ")[1] for one in result.failed] == [
        "another line gives this file a different class; fix one"
    ]


def test_what_is_there_is_not_written_again(tmp_path: Path, archive: Write, table: Callable[..., Path]) -> None:
    archive("a.dcm", phantom(0))
    labels = table(**{"a.dcm": "benign"})
    convert_folder(tmp_path / "archive", labels, tmp_path / "busi")
    [image] = (tmp_path / "busi" / "benign").iterdir()
    before = image.stat().st_mtime_ns
    again = convert_folder(tmp_path / "archive", labels, tmp_path / "busi")
    assert (again.done[0].images, again.done[0].written) == ((image,), 0)
    assert image.stat().st_mtime_ns == before
    contrary = convert_folder(tmp_path / "archive", table(**{"a.dcm": "malignant"}), tmp_path / "busi")
    assert contrary.done == ()
    assert "is labelled malignant, but" in contrary.failed[0].error
    assert not (tmp_path / "busi" / "malignant").exists()


def test_burnt_in_annotation_is_refused_unless_asked_for(
    tmp_path: Path, archive: Write, table: Callable[..., Path]
) -> None:
    archive("flagged.dcm", phantom(0), BurnedInAnnotation="YES")
    archive("silent.dcm", phantom(1), SequenceOfUltrasoundRegions=[])
    archive("free.dcm", phantom(2), SequenceOfUltrasoundRegions=[], BurnedInAnnotation="NO")
    labels = table(**dict.fromkeys(("flagged.dcm", "silent.dcm", "free.dcm"), "benign"))
    result = convert_folder(tmp_path / "archive", labels, tmp_path / "busi")
    assert [one.path.name for one in result.done] == ["free.dcm"]
    assert [one.path.name for one in result.failed] == ["flagged.dcm", "silent.dcm"]
    assert "is flagged with burnt-in annotation, which may name a patient" in result.failed[0].error
    assert "names no scan area and does not say" in result.failed[1].error
    asked = convert_folder(tmp_path / "archive", labels, tmp_path / "busi", allow_burnt_in=True)
    assert len(asked.done) == 3


def test_bad_files_are_listed_and_the_others_done(tmp_path: Path, archive: Write, table: Callable[..., Path]) -> None:
    good = archive("good.dcm", phantom(0))
    (good.parent / "cut.dcm").write_bytes(good.read_bytes()[:2500])
    archive("unlabelled.dcm", phantom(1))
    archive("one/twin.dcm", phantom(2))
    archive("two/twin.dcm", phantom(3))
    labels = table(**{"good.dcm": "benign", "cut.dcm": "benign", "twin.dcm": "normal", "absent.dcm": "normal"})
    result = convert_folder(tmp_path / "archive", labels, tmp_path / "busi")
    assert [one.path.name for one in result.done] == ["good.dcm"]
    reasons = {one.path.name: one.error for one in result.failed}
    assert set(reasons) == {"cut.dcm", "unlabelled.dcm", "twin.dcm", "absent.dcm"}
    assert "unlabelled.dcm has no line in" in reasons["unlabelled.dcm"]
    assert any("line 4 of" in one.error and "2 files in" in one.error for one in result.failed)
    assert "no DICOM file in" in reasons["absent.dcm"]


def test_what_was_kept_of_a_damaged_cine_is_listed_with_what_was_converted(
    tmp_path: Path, archive: Write, table: Callable[..., Path]
) -> None:
    archive("one.dcm", np.stack([phantom(0), phantom(1)]))
    archive("two.dcm", np.stack([phantom(2), phantom(1)]))  # a frame that is of another class already
    archive(".trash/one.dcm", phantom(3))
    result = convert_folder(
        tmp_path / "archive", table(**{"one.dcm": "benign", "two.dcm": "normal"}), tmp_path / "busi"
    )
    assert [(one.path.name, len(one.images)) for one in result.done] == [("one.dcm", 2), ("two.dcm", 1)]
    assert [one.path.name for one in result.failed] == ["two.dcm"]
    assert result.summary(tmp_path / "busi").splitlines()[1].startswith("3 images of 2 files")
    assert len(list((tmp_path / "busi").glob("*/*.png"))) == 3


def test_a_list_of_patients_that_cannot_be_read_is_refused_before_the_work(
    tmp_path: Path, archive: Write, table: Callable[..., Path]
) -> None:
    archive("a.dcm", phantom(0))
    (tmp_path / "busi").mkdir()
    (tmp_path / "busi" / PATIENTS_FILE).write_text("[[],]")
    with pytest.raises(UsageError, match=r"patients\.json is not a list of groups"):
        convert_folder(tmp_path / "archive", table(**{"a.dcm": "benign"}), tmp_path / "busi")
    assert [path.name for path in (tmp_path / "busi").iterdir()] == [PATIENTS_FILE]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,label\na.dcm,benign\n", r"labels\.csv has no column file; its first line has to be: file,label"),
        ("file,label\na.dcm,Müstermann\n", r"line 2 of .*labels\.csv names no file or no class; give one of benign"),
        ("file,label\na.dcm,benign\n./a.dcm,normal\n", r"line 3 of .* contradicts line 2 on a file's class"),
        ("", "has no column file"),
        (None, r"labels\.csv does not exist"),
    ],
)
def test_a_table_that_is_not_as_it_must_be_is_refused(
    tmp_path: Path, archive: Write, text: str | None, message: str
) -> None:
    archive("a.dcm", phantom(0))
    if text is not None:
        (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message) as caught:
        convert_folder(tmp_path / "archive", tmp_path / "labels.csv", tmp_path / "busi")
    assert "Müstermann" not in str(caught.value)


def test_a_folder_without_dicom_is_refused(tmp_path: Path, table: Callable[..., Path]) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty holds no DICOM file"):
        convert_folder(tmp_path / "empty", table(), tmp_path / "busi")
    with pytest.raises(UsageError, match="nothing is not a folder"):
        convert_folder(tmp_path / "nothing", table(), tmp_path / "busi")


def test_a_conversion_that_is_killed_goes_on(tmp_path: Path, archive: Write, table: Callable[..., Path]) -> None:
    archive("cine.dcm", np.stack([np.roll(phantom(0), shift, axis=1) for shift in range(CINE)]))
    archive("before.dcm", np.stack([phantom(1), phantom(4)]))
    labels = table(**{"before.dcm": "malignant", "cine.dcm": "benign"})
    command = [sys.executable, ROOT / "cli.py", "data", "from-dicom", tmp_path / "archive"]
    command += ["--labels", labels, "--output", tmp_path / "busi"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "busi").glob("benign/benign*.png"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = {path: read_image(path) for path in (tmp_path / "busi").glob("benign/benign*.png")}
    assert 3 <= len(there) < CINE
    [patient] = read_patients(tmp_path / "busi")  # of the file that was done
    assert len(patient) == 2
    result = convert_folder(tmp_path / "archive", labels, tmp_path / "busi")
    assert [one.written for one in result.done] == [0, CINE - len(there)]
    for path, pixels in there.items():
        np.testing.assert_array_equal(read_image(path), pixels)
    assert len(read_busi(tmp_path / "busi")) == CINE + 2
