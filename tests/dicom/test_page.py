"""DICOM dropped on the page: frames cut to the scanned area, sizes in mm, and nothing of the patient."""

import csv
import threading
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

from busi_keras.imaging import encode_png, read_image
from busi_keras.inference.predictor import Predictor
from busi_keras.web.app import create_app
from busi_keras.web.served_model import ServedModel
from busi_keras.web.service import Settings

US_IMAGE, US_MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.3.1"


@pytest.fixture
def client(predictor: Predictor, tmp_path: Path) -> Iterator[TestClient]:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"a network")
    model, loaded = ServedModel(file, lambda path: predictor), threading.Event()
    model.start(loaded.set)
    assert loaded.wait(20)
    settings = Settings(corrections=tmp_path / "corrections", private_parent=tmp_path)
    with TestClient(create_app(model, settings), raise_server_exceptions=False) as client:
        client.post("/api/session")
        yield client


def upload(client: TestClient, file: Path) -> dict:
    answer = client.post("/api/uploads", content=file.read_bytes(), headers={"X-File-Name": "case"})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_frames_of_a_cine_are_cut_to_the_scanned_area_and_measured_in_mm(
    client: TestClient,
    ultrasound_file: Callable[..., Path],
    region: Callable[..., Dataset],
    patient: tuple[str, ...],
    tmp_path: Path,
) -> None:
    stored = np.zeros((3, 90, 120), np.uint8)
    stored[:, :10] = 255  # text above the scanned area
    stored[2, 40:60, 50:80] = 250
    file = ultrasound_file(
        tmp_path / "cine.dcm", stored, SequenceOfUltrasoundRegions=[region((20, 10, 110, 80))], BurnedInAnnotation="YES"
    )
    given = upload(client, file)
    assert given["frames"] == 3
    cases = [client.post(f"/api/uploads/{given['key']}/frames/{index}").json() for index in (2, 0)]
    found, empty = (case["finding"] for case in cases)
    assert (found["width"], found["height"]) == (90, 70)
    assert found["spacing_mm"] == [pytest.approx(0.1), pytest.approx(0.2)]
    np.testing.assert_allclose(found["lesions"][0]["box"], (30, 30, 60, 50), atol=3)
    assert found["lesions"][0]["size"]["unit"] == "mm"
    assert found["lesions"][0]["size"]["width"] == pytest.approx(3, abs=0.5)
    assert found["scan_area"] == [20, 10, 110, 80]
    assert (found["frame_width"], found["frame_height"]) == (120, 90)
    report = client.get(f"/api/cases/{cases[0]['key']}/report.json").json()
    assert (report["scan_area"], report["frame_width"], report["frame_height"]) == ([20, 10, 110, 80], 120, 90)
    assert empty["lesions"] == []
    row = next(csv.DictReader(StringIO(client.get("/api/cases.csv").text)))
    x0, y0, x1, y1 = found["lesions"][0]["box"]
    assert row["largest_box"] == f"{x0 + 20} {y0 + 10} {x1 + 20} {y1 + 10}"  # of the file's frame
    assert any("burnt-in annotation" in warning for warning in found["warnings"])
    text = str(cases)
    assert not [word for word in patient if word in text]


def test_results_for_the_archive_are_of_the_frame_shown_and_lie_where_the_file_has_it(
    client: TestClient,
    ultrasound_file: Callable[..., Path],
    region: Callable[..., Dataset],
    patient: tuple[str, ...],
    tmp_path: Path,
) -> None:
    stored = np.zeros((3, 90, 120), np.uint8)
    stored[1, 40:60, 50:80] = 250
    file = ultrasound_file(
        tmp_path / "cine.dcm", stored, SequenceOfUltrasoundRegions=[region((20, 10, 110, 80))], BurnedInAnnotation="NO"
    )
    given = upload(client, file)
    cases = [client.post(f"/api/uploads/{given['key']}/frames/{index}").json() for index in range(3)]
    assert all(case["dicom"] for case in cases)
    answer = client.get(f"/api/cases/{cases[1]['key']}/dicom.zip")
    assert answer.status_code == 200, answer.text
    assert not [word for word in patient if word in str(answer.headers)]
    with zipfile.ZipFile(BytesIO(answer.content)) as archive:
        written = {name[-7:-4].strip("_"): dcmread(BytesIO(archive.read(name))) for name in archive.namelist()}
    source = dcmread(file)
    assert {one.PatientID for one in written.values()} == {source.PatientID}
    assert {one.Modality for one in written.values()} == {"SEG", "SR", "OT"}
    mask = np.zeros((90, 120), bool)
    image = client.get(f"/api/cases/{cases[1]['key']}/mask.png").content
    mask[10:80, 20:110] = read_image(image)[..., 0] > 127
    np.testing.assert_array_equal(written["seg"].pixel_array.reshape(90, 120) > 0, mask)
    [group] = written["seg"].PerFrameFunctionalGroupsSequence
    [referred] = group.DerivationImageSequence[0].SourceImageSequence
    assert (referred.ReferencedSOPInstanceUID, referred.ReferencedFrameNumber) == (source.SOPInstanceUID, 2)
    assert written["sc"].SourceImageSequence[0].ReferencedFrameNumber == 2

    png = client.post("/api/uploads", content=encode_png(np.zeros((64, 64), np.uint8))).json()
    plain = client.post(f"/api/uploads/{png['key']}/frames/0").json()
    assert not plain["dicom"]
    assert client.get(f"/api/cases/{plain['key']}/dicom.zip").status_code == 404


@pytest.mark.parametrize(
    ("named", "burnt_in", "may"),
    [
        (False, None, True),
        (False, "NO", False),
        (False, "YES", True),
        (True, None, False),
        (True, "NO", False),
        (True, "YES", True),
    ],
)
def test_what_may_name_a_patient_is_saved_only_after_a_look(
    named: bool,
    burnt_in: str | None,
    may: bool,
    client: TestClient,
    ultrasound_file: Callable[..., Path],
    region: Callable[..., Dataset],
    tmp_path: Path,
) -> None:
    stored = np.zeros((90, 120), np.uint8)
    stored[40:60, 50:80] = 250
    more: dict = {"SequenceOfUltrasoundRegions": [region((20, 10, 110, 80))]} if named else {}
    more |= {"BurnedInAnnotation": burnt_in} if burnt_in else {}
    given = upload(client, ultrasound_file(tmp_path / "still.dcm", stored, **more))
    case = client.post(f"/api/uploads/{given['key']}/frames/0").json()
    assert case["may_name_patient"] is may
    assert any("may name a patient" in w or "a name may be visible" in w for w in case["finding"]["warnings"]) is may
    address = f"/api/cases/{case['key']}/correction"
    answer = client.put(address, json={"label": "benign"})
    assert answer.status_code == (422 if may else 200)
    assert list(tmp_path.glob("corrections/benign/*")) == [] or not may
    if may:
        assert answer.json()["error"] == "a name may be visible in this image; check it, and confirm that there is none"
    assert client.put(address, json={"label": "benign", "no_name": True}).json()["saved"] == "benign/benign (1).png"


def test_a_frame_of_an_upload_that_was_removed_is_not_there(
    client: TestClient, ultrasound_file: Callable[..., Path], tmp_path: Path
) -> None:
    given = upload(client, ultrasound_file(tmp_path / "still.dcm", np.zeros((90, 120), np.uint8)))
    next(tmp_path.rglob("*.upload")).unlink()  # as DELETE does it while the frame waits for a thread
    answer = client.post(f"/api/uploads/{given['key']}/frames/0")
    assert answer.status_code == 404
    assert str(tmp_path) not in answer.text


OF_OTHER_MAKERS = {
    "JPEG": "examples_ybr_color.dcm",
    "JPEG, RGB": "SC_rgb_dcmtk_+eb+cr.dcm",
    "lossless JPEG": "SC_rgb_jpeg_gdcm.dcm",
    "JPEG-LS, near lossless": "SC_rgb_jls_lossy_sample.dcm",
    "JPEG 2000": "SC_rgb_gdcm_KY.dcm",
    "lossless JPEG 2000": "examples_jpeg2k.dcm",
    "RLE": "SC_rgb_rle_2frame.dcm",
    "YBR_FULL_422": "SC_ybr_full_422_uncompressed.dcm",
    "big endian": "SC_rgb_small_odd_big_endian.dcm",
    "12-bit JPEG": "JPGExtended.dcm",
}
"""Files that come with pydicom."""


@pytest.mark.parametrize("coding", OF_OTHER_MAKERS)
def test_each_coding_comes_through_the_page_as_pydicom_decodes_it(
    coding: str, client: TestClient, tmp_path: Path
) -> None:
    dataset = dcmread(str(get_testdata_file(OF_OTHER_MAKERS[coding], download=False)))
    many = "NumberOfFrames" in dataset and dataset.NumberOfFrames > 1
    dataset.SOPClassUID, dataset.Modality = US_MULTI_FRAME if many else US_IMAGE, "US"
    dataset.pop("SequenceOfUltrasoundRegions", None)  # the whole frame is compared
    dataset.save_as(tmp_path / "case.dcm")
    given = upload(client, tmp_path / "case.dcm")
    case = client.post(f"/api/uploads/{given['key']}/frames/{given['frames'] - 1}").json()
    shown = read_image(client.get(f"/api/cases/{case['key']}/image.png").content)
    expected = dataset.pixel_array[-1] if many else dataset.pixel_array
    if dataset.BitsStored == 12:
        expected = np.repeat((expected >> 4)[..., None], 3, axis=-1)  # no window: the high byte
    np.testing.assert_array_equal(shown, expected)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (
            {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "Modality": "CT"},
            "is not an ultrasound image (CT Image Storage)",
        ),
        ({"PixelData": None}, "holds no pixels"),
        ({"Rows": 900}, "claims 80 x 900 pixels, but 4800 of 72000 bytes are there"),
        ({"Rows": 9000, "Columns": 9000}, "has frames of 9000 x 9000, over 50 megapixels"),
    ],
)
def test_dicom_that_cannot_be_shown_is_a_sentence_and_the_server_goes_on(
    more: dict, expected: str, client: TestClient, ultrasound_file: Callable[..., Path], tmp_path: Path
) -> None:
    broken = ultrasound_file(tmp_path / "broken.dcm", np.full((60, 80), 40, np.uint8), **more)
    answer = client.post("/api/uploads", content=broken.read_bytes())
    assert answer.status_code == 422
    assert expected in answer.json()["error"]
    whole = upload(client, ultrasound_file(tmp_path / "whole.dcm", np.full((60, 80), 40, np.uint8)))
    assert client.post(f"/api/uploads/{whole['key']}/frames/0").status_code == 201


def test_a_file_of_two_gigabytes_is_refused_before_it_is_sent(client: TestClient) -> None:
    answer = client.post("/api/uploads", content=b"DICM", headers={"Content-Length": str(2 * 10**9)})
    assert answer.status_code == 413
    assert (
        answer.json()["error"]
        == "this file is over 256 MB; make it smaller, or start the server with a larger --max-upload"
    )


def test_broken_dicom_is_a_sentence_that_names_neither_path_nor_patient(
    client: TestClient, ultrasound_file: Callable[..., Path], patient: tuple[str, ...], tmp_path: Path
) -> None:
    whole = ultrasound_file(tmp_path / "still.dcm", np.full((60, 80), 40, np.uint8)).read_bytes()
    for content, expected in (
        (whole[:-500], "but 4300 of 4800 bytes are there"),
        (whole[: whole.index(b"Erika") + 3], "holds no pixels, or is cut off before them"),
    ):
        answer = client.post("/api/uploads", content=content, headers={"X-File-Name": "Jane%20Doe.dcm"})
        assert answer.status_code == 422
        sentence = answer.json()["error"]
        assert expected in sentence
        assert sentence.startswith("this file")
        assert str(tmp_path) not in sentence
        assert not [word for word in (*patient, "Jane") if word in sentence]
