import shutil
import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.data import get_testdata_file

from busi_keras.card import Card
from busi_keras.dicom.algorithm import Algorithm
from busi_keras.dicom.lesion_size import LesionSize, lesion_size
from busi_keras.dicom.measurement_report import Finding
from busi_keras.dicom.regions import Spacing
from busi_keras.dicom.results import Results, make_results
from busi_keras.dicom.secondary_capture import make_capture
from busi_keras.dicom.ultrasound import Ultrasound, read_ultrasound
from busi_keras.errors import UsageError
from busi_keras.evaluation.lesions import Lesion, find_lesions

ALGORITHM = Algorithm("busi_keras multitask-cnn, mobilenet-v2", "0.1, trained 2026-11-23 on BUSI")
PANELS = np.random.default_rng(0).integers(0, 255, (50, 201, 3), dtype=np.uint8)
Write = Callable[..., Path]


def mask_with_two_lesions(rows: int = 91, columns: int = 121) -> np.ndarray:
    mask = np.zeros((rows, columns), bool)
    mask[10:20, 10:40] = mask[50:60, 60:70] = True
    mask[10, 10] = False
    return mask


def finding(mask: np.ndarray, frame_number: int = 1) -> Finding:
    return Finding(frame_number, "malignant", (0.1, 0.7, 0.2), tuple(find_lesions(mask)), ("not like the others",))


def results_of(path: Path, masks: dict[int, np.ndarray], key: int = 1) -> tuple[Results, Ultrasound]:
    ultrasound = read_ultrasound(path)
    made = make_results(ultrasound, finding(masks[key], key), iter(masks.items()), PANELS, ALGORITHM)
    return made, ultrasound


def parsed(content: bytes) -> Dataset:
    return pydicom.dcmread(BytesIO(content))


def complaints(content: bytes, folder: Path) -> list[str]:
    """What dciodvfy calls an error."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("needs dciodvfy: apt-get install dicom3tools")
    (folder / "checked.dcm").write_bytes(content)
    said = subprocess.run(["dciodvfy", "-new", folder / "checked.dcm"], capture_output=True, text=True).stderr
    return [line for line in said.splitlines() if line.startswith("Error")]


def shown_values(report: Dataset) -> dict[str, list[object]]:
    """Values of a report's content items by their names."""
    values: dict[str, list[object]] = {}

    def collect(item: Dataset) -> None:
        if "ConceptNameCodeSequence" in item:
            values.setdefault(item.ConceptNameCodeSequence[0].CodeMeaning, []).append(
                {
                    "NUM": lambda: (
                        float(item.MeasuredValueSequence[0].NumericValue),
                        item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue,
                    ),
                    "TEXT": lambda: item.TextValue,
                    "CODE": lambda: item.ConceptCodeSequence[0].CodeMeaning,
                    "SCOORD": lambda: list(item.GraphicData),
                    "IMAGE": lambda: item.ReferencedSOPSequence[0],
                }.get(item.ValueType, lambda: None)()
            )
        for child in item.get("ContentSequence", ()):
            collect(child)

    collect(report)
    return values


def test_the_masks_pixels_are_the_predicted_ones(tmp_path: Path, ultrasound_file: Write) -> None:
    mask = mask_with_two_lesions()
    made, ultrasound = results_of(ultrasound_file(tmp_path / "a.dcm", np.zeros((91, 121), np.uint8)), {1: mask})
    written = parsed(made.segmentation)
    np.testing.assert_array_equal(written.pixel_array, mask)
    assert written.SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC"
    identification = written.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert (identification.AlgorithmName, identification.AlgorithmVersion) == (ALGORITHM.name, ALGORITHM.version)
    assert written.ContentDescription == "Research use, not a diagnosis."
    read = highdicom.seg.Segmentation.from_dataset(written)
    instance = ultrasound.header.SOPInstanceUID
    np.testing.assert_array_equal(read.get_pixels_by_source_instance([instance])[0, ..., 0], mask)
    assert read.get_source_image_uids()[0][2] == instance


def test_of_a_cine_each_masked_frame_is_there_and_names_its_frame(tmp_path: Path, ultrasound_file: Write) -> None:
    rng = np.random.default_rng(1)
    numbers = [2, 3, 5, 6, 7, 8, 9, 10, 11, 13]  # more than are packed at once, of sizes that fill no whole bytes
    masks = {number: rng.random((51, 61)) > 0.5 for number in numbers}
    path = ultrasound_file(tmp_path / "a.dcm", np.zeros((13, 51, 61), np.uint8))
    made, ultrasound = results_of(path, masks, key=5)
    read = highdicom.seg.Segmentation.from_dataset(parsed(made.segmentation))
    instance = ultrasound.header.SOPInstanceUID
    found = read.get_pixels_by_source_frame(instance, numbers, assert_missing_frames_are_empty=True)
    np.testing.assert_array_equal(found[..., 0], np.stack(list(masks.values())))
    assert read.NumberOfFrames == len(numbers)
    assert {read.SourceImageSequence[0].ReferencedSOPClassUID} == {"1.2.840.10008.5.1.4.1.1.3.1"}
    capture = parsed(made.capture)
    assert capture.SourceImageSequence[0].ReferencedFrameNumber == 5
    assert shown_values(parsed(made.report))["Source of Measurement"][0].ReferencedFrameNumber == 5
    assert complaints(made.segmentation, tmp_path) == []


@pytest.mark.parametrize(
    "name",
    [
        "examples_ybr_color.dcm",
        "examples_palette.dcm",
        "examples_jpeg2k.dcm",
        "examples_rgb_color.dcm",
        "ExplVR_BigEnd.dcm",
    ],
)
def test_results_of_files_that_scanners_wrote_keep_to_the_standard(name: str, tmp_path: Path) -> None:
    """They come with pydicom; the last has its date as ACR-NEMA wrote it."""
    ultrasound = read_ultrasound(Path(str(get_testdata_file(name, download=False))))
    mask = mask_with_two_lesions(ultrasound.rows, ultrasound.columns)
    made = make_results(ultrasound, finding(mask), iter([(1, mask)]), PANELS, ALGORITHM)
    for content in (made.segmentation, made.report, made.capture):
        assert complaints(content, tmp_path) == []
    np.testing.assert_array_equal(parsed(made.segmentation).pixel_array, mask)
    assert parsed(made.report).StudyDate == str(ultrasound.header.StudyDate).replace(".", "")


def test_an_empty_mask_is_a_result_too(tmp_path: Path, ultrasound_file: Write) -> None:
    nothing = np.zeros((91, 121), bool)
    made, _ = results_of(ultrasound_file(tmp_path / "a.dcm", np.zeros((91, 121), np.uint8)), {1: nothing})
    np.testing.assert_array_equal(parsed(made.segmentation).pixel_array, nothing)
    assert complaints(made.segmentation, tmp_path) == []
    assert complaints(made.report, tmp_path) == []
    assert "Area" not in shown_values(parsed(made.report))


def test_the_report_says_class_probabilities_and_sizes_in_mm(
    tmp_path: Path, ultrasound_file: Write, region: Callable[..., Dataset]
) -> None:
    items = [region((0, 0, 121, 91), delta_cm=(0.01, 0.02))]
    path = ultrasound_file(tmp_path / "a.dcm", np.zeros((91, 121), np.uint8), SequenceOfUltrasoundRegions=items)
    made, ultrasound = results_of(path, {1: mask_with_two_lesions()})
    report = parsed(made.report)
    values = shown_values(report)
    assert values["Most probable class"] == ["malignant"]
    assert values["Probability of cancer"] == [(70, "%")]
    assert values["Probability of benign"] == [(10, "%")]
    assert values["Probability of normal"] == [(20, "%")]
    assert values["Width"] == [(3, "mm"), (1, "mm")]
    assert values["Height"] == [(2, "mm"), (2, "mm")]
    assert values["Area"] == [(299 * 0.02, "mm2"), (100 * 0.02, "mm2")]
    assert values["Image Region"][0] == [10, 10, 40, 10, 40, 20, 10, 20, 10, 10]
    assert values["Algorithm Name"] == [ALGORITHM.name]
    assert values["Algorithm Version"] == [ALGORITHM.version]
    assert values["Comment"][:2] == ["Research use, not a diagnosis.", "not like the others"]
    assert [comment.split(":")[0] for comment in values["Comment"][2:]] == ["pixels are not square (0.1 x 0.2 mm)"]
    assert values["Source of Measurement"][0].ReferencedSOPInstanceUID == ultrasound.header.SOPInstanceUID
    assert (report.CompletionFlag, report.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    groups = highdicom.sr.MeasurementReport.from_sequence([report]).get_planar_roi_measurement_groups()
    assert [group.tracking_identifier for group in groups] == ["lesion 1", "lesion 2"]
    evidence = [
        item.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    ]
    assert set(evidence) == {ultrasound.header.SOPInstanceUID, parsed(made.segmentation).SOPInstanceUID}


def test_without_the_size_of_a_pixel_the_report_says_pixels(tmp_path: Path, ultrasound_file: Write) -> None:
    made, _ = results_of(
        ultrasound_file(tmp_path / "a.dcm", np.zeros((91, 121), np.uint8)), {1: mask_with_two_lesions()}
    )
    values = shown_values(parsed(made.report))
    assert values["Width"] == [(30, "{pixels}"), (10, "{pixels}")]
    assert values["Area"] == [(299, "{pixels}"), (100, "{pixels}")]


def test_the_capture_shows_the_panels(tmp_path: Path, ultrasound_file: Write) -> None:
    path = ultrasound_file(tmp_path / "a.dcm", np.zeros((91, 121), np.uint8), BurnedInAnnotation="YES", Laterality="L")
    capture = parsed(results_of(path, {1: mask_with_two_lesions()})[0].capture)
    np.testing.assert_array_equal(capture.pixel_array, PANELS)
    assert (capture.BurnedInAnnotation, capture.Laterality) == ("YES", "L")
    assert capture.ImageComments == "Research use, not a diagnosis."
    assert capture.SeriesDescription == "busi_keras: Research use, not a diagnosis"


@pytest.mark.parametrize("frames", [None, 4])
def test_no_result_has_what_dciodvfy_calls_an_error(
    tmp_path: Path, ultrasound_file: Write, region: Callable[..., Dataset], frames: int | None
) -> None:
    shape = (91, 121) if frames is None else (frames, 91, 121)
    items = [region((5, 5, 115, 85))]
    path = ultrasound_file(tmp_path / "a.dcm", np.zeros(shape, np.uint8), SequenceOfUltrasoundRegions=items)
    numbers = [1] if frames is None else [1, 2, 4]
    made, _ = results_of(path, dict.fromkeys(numbers, mask_with_two_lesions()))
    for content in (made.segmentation, made.report, made.capture):
        assert complaints(content, tmp_path) == []


def test_results_belong_to_the_patient_and_the_study_of_the_file(
    tmp_path: Path, ultrasound_file: Write, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """In each alphabet, and where the file says little or nonsense."""
    frame = np.zeros((91, 121), np.uint8)
    for charset, name in (("ISO_IR 100", "Müstermann^Erika"), (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎")):
        path = ultrasound_file(tmp_path / "a.dcm", frame, SpecificCharacterSet=charset, PatientName=name)
        made, ultrasound = results_of(path, {1: mask_with_two_lesions()})
        for content in (made.segmentation, made.report, made.capture):
            written = parsed(content)
            assert str(written.PatientName) == name
            assert written.PatientID == "PAT-4711"
            assert written.StudyInstanceUID == ultrasound.header.StudyInstanceUID
            assert written.SeriesInstanceUID != ultrasound.header.SeriesInstanceUID
    little = dict.fromkeys(("PatientName", "PatientID", "PatientSex", "StudyID", "AccessionNumber", "StudyTime"))
    path = ultrasound_file(tmp_path / "b.dcm", frame, **little, StudyDate="1.2.3", PatientBirthDate="unknown")
    made, _ = results_of(path, {1: mask_with_two_lesions()})
    for content in (made.segmentation, made.report, made.capture):
        assert not parsed(content).PatientName
        assert not parsed(content).StudyDate
        assert complaints(content, tmp_path) == []
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""


def test_a_file_that_nothing_can_refer_to_is_refused(
    tmp_path: Path, ultrasound_file: Write, patient: tuple[str, ...]
) -> None:
    path = ultrasound_file(tmp_path / "a.dcm", np.zeros((91, 121), np.uint8), StudyInstanceUID=None)
    with pytest.raises(UsageError, match=r"a\.dcm has no StudyInstanceUID, so no DICOM") as caught:
        results_of(path, {1: mask_with_two_lesions()})
    assert not [word for word in patient if word in str(caught.value)]


def test_files_are_called_by_a_hash_of_the_instance_and_written_whole(
    tmp_path: Path, ultrasound_file: Write, patient: tuple[str, ...]
) -> None:
    path = ultrasound_file(tmp_path / "Erika.dcm", np.zeros((91, 121), np.uint8), SOPInstanceUID="1.2.3.20240506")
    made, _ = results_of(path, {1: mask_with_two_lesions()})
    files = made.write(tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "3bd67d885873e863_sc.dcm",
        "3bd67d885873e863_seg.dcm",
        "3bd67d885873e863_sr.dcm",
    ]
    assert files.segmentation.read_bytes() == made.segmentation
    assert not [word for word in patient if word in str(files)]
    (tmp_path / "file").touch()
    with pytest.raises(UsageError):
        made.write(tmp_path / "file")


def test_a_repeated_run_makes_the_same_instances_and_another_finding_others(
    tmp_path: Path, ultrasound_file: Write
) -> None:
    path = ultrasound_file(tmp_path / "a.dcm", np.zeros((91, 121), np.uint8))

    def uids(mask: np.ndarray) -> list[str]:
        made, _ = results_of(path, {1: mask})
        return [parsed(content).SOPInstanceUID for content in (made.segmentation, made.report, made.capture)]

    mask = mask_with_two_lesions()
    first = uids(mask)
    assert len(set(first)) == 3
    assert uids(mask) == first
    other = mask.copy()
    other[0, 0] = True
    assert uids(other)[0] != first[0]


def test_the_algorithm_is_the_model_of_the_card() -> None:
    card = Card("multitask", 64, "BUSI" * 30, {}, "grouped", "none", "resnet50", {}, "test", {}, {}, "2026-11-23")
    algorithm = Algorithm.of(card)
    assert algorithm.name == "busi_keras multitask, resnet50"
    assert algorithm.version.endswith(("BUSI", "BUS", "BU", "B"))
    assert "trained 2026-11-23 on BUSI" in algorithm.version
    assert len(algorithm.version) == 64
    assert algorithm.uid() == Algorithm.of(card).uid()


def test_a_lesions_size_says_its_unit() -> None:
    lesion = Lesion((10, 20, 40, 30), 250)
    assert lesion_size(lesion, None) == LesionSize(30, 10, 250, "px")
    assert lesion_size(lesion, Spacing(0.1, 0.25)) == LesionSize(
        pytest.approx(3), pytest.approx(2.5), pytest.approx(6.25), "mm"
    )
    assert str(lesion_size(lesion, Spacing(0.1, 0.25))) == "3.0 x 2.5 mm, area 6.2 mm²"
    assert str(lesion_size(lesion, None)) == "30 x 10 px, area 250 px"


def test_a_capture_of_lossy_pixels_says_so(tmp_path: Path, ultrasound_file: Write) -> None:
    lossy = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": 8,
        "LossyImageCompressionMethod": "ISO_10918_1",
    }
    grey = np.full((90, 120), 90, np.uint8)
    captures = [
        make_capture(read_ultrasound(ultrasound_file(tmp_path / name, grey, **said)), PANELS, 1, ALGORITHM)
        for name, said in (("a.dcm", lossy), ("b.dcm", {}))
    ]
    assert {name: captures[0].get(name) for name in lossy} == lossy
    assert captures[1].LossyImageCompression == "00"
