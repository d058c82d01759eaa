import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import Dataset

from busi_keras.card import Card
from busi_keras.dicom.ultrasound import BURNT_IN, read_ultrasound
from busi_keras.errors import UnreachableError
from busi_keras.imaging import encode_png, read_image, read_mask
from busi_keras.inference.engine import Outputs
from busi_keras.inference.paths import image_files
from busi_keras.inference.predictor import Predictor
from busi_keras.workflows.predict import WITHHELD, predict_files
from busi_keras.workflows.predict_dicom import in_area, predict_ultrasound

ROOT = Path(__file__).parents[2]
AREA = (30, 10, 110, 90)
Write = Callable[..., Path]


def frame(box: tuple[int, int, int, int] | None, text: bool = True) -> np.ndarray:
    """A frame of 120 x 100 with a bright box, and bright text around the scan area."""
    pixels = np.full((100, 120), 20, np.uint8)
    if text:
        pixels[:8] = 255
    if box:
        x0, y0, x1, y1 = box
        pixels[y0:y1, x0:x1] = 250
    return pixels


@pytest.fixture
def scan(tmp_path: Path, ultrasound_file: Write, region: Callable[..., Dataset]) -> Write:
    def write(name: str, pixels: np.ndarray, **more: object) -> Path:
        items = [region(AREA, delta_cm=(0.02, 0.03))]
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        return ultrasound_file(tmp_path / name, pixels, SequenceOfUltrasoundRegions=items, **more)

    return write


def test_only_the_scan_area_is_looked_at_and_everything_is_in_pixels_of_the_frame(
    scan: Write, predictor: Predictor
) -> None:
    found = predict_ultrasound(predictor, read_ultrasound(scan("a.dcm", frame((50, 30, 90, 50)))))
    prediction = found.prediction
    assert prediction.mask.shape == prediction.mask_probability.shape == (100, 120)
    assert prediction.heat_map is not None
    assert prediction.heat_map.shape == (100, 120)
    assert len(prediction.lesions) == 1
    np.testing.assert_allclose(prediction.lesions[0].box, (50, 30, 90, 50), atol=2)
    assert not prediction.mask[:10].any()
    assert found.scanned[:10].max() == 0
    np.testing.assert_array_equal(found.scanned[10:90, 30:110], found.key_frame.pixels[10:90, 30:110])
    np.testing.assert_array_equal(in_area(prediction, found.ultrasound.scan_area).mask, prediction.mask[10:90, 30:110])


def test_of_a_cine_the_frame_with_the_largest_lesion_is_the_first(scan: Write, predictor: Predictor) -> None:
    boxes = [None, (50, 30, 60, 40), (50, 30, 90, 70), (50, 30, 80, 60), None]
    steps: list[int] = []
    ultrasound = read_ultrasound(scan("a.dcm", np.stack([frame(box) for box in boxes])))
    found = predict_ultrasound(predictor, ultrasound, progress=lambda: steps.append(1))
    assert [one.number for one in found.frames] == [3, 4, 2, 1, 5]
    assert found.key_frame.number == 3
    assert len(steps) == 5
    masks = dict(found.masks())
    assert list(masks) == [2, 3, 4]
    np.testing.assert_array_equal(masks[3], found.prediction.mask)
    assert masks[2].sum() < masks[4].sum() < masks[3].sum()
    every_second = predict_ultrasound(predictor, ultrasound, every=2)
    assert sorted(one.number for one in every_second.frames) == [1, 3, 5]


def test_a_cine_without_a_lesion_still_has_a_mask(scan: Write, predictor: Predictor) -> None:
    found = predict_ultrasound(predictor, read_ultrasound(scan("a.dcm", np.stack([frame(None)] * 3))))
    [(number, mask)] = found.masks()
    assert number == found.key_frame.number == 1
    assert mask.shape == (100, 120)
    assert not mask.any()
    assert found.dicom_results(predictor.card).segmentation[128:132] == b"DICM"


def test_memory_does_not_grow_with_the_number_of_frames(
    tmp_path: Path, ultrasound_file: Write, predictor: Predictor
) -> None:
    import tracemalloc

    def peak(frames: int) -> int:
        pixels = np.broadcast_to(np.pad(np.full((60, 60), 250, np.uint8), 98), (frames, 256, 256))
        ultrasound = read_ultrasound(ultrasound_file(tmp_path / "a.dcm", pixels))
        del pixels
        tracemalloc.start()
        predict_ultrasound(predictor, ultrasound)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(60) - peak(12) < 48 * (256 * 256 // 8 + 4096)


def test_dicom_files_in_a_folder_are_predicted_with_the_images_and_bad_ones_listed(
    tmp_path: Path, scan: Write, predictor: Predictor, patient: tuple[str, ...]
) -> None:
    scan("b.dcm", frame((50, 30, 90, 50)), BurnedInAnnotation="YES")
    scan("IM0007", np.stack([frame((50, 30, 60, 40)), frame((40, 30, 90, 70))]))
    (tmp_path / "c.png").write_bytes(encode_png(frame((50, 30, 90, 50), text=False)))
    (tmp_path / "bad.dcm").write_bytes((tmp_path / "b.dcm").read_bytes()[:3000])
    (tmp_path / "notes.txt").write_text("no image")
    files = image_files([tmp_path], dicom=True)
    out, dicom_out = tmp_path / "out", tmp_path / "dicom"
    extra: list[int] = []
    result = predict_files(predictor, files, out, dicom_output=dicom_out, more=extra.append)
    assert [one.path.name for one in result.done] == ["IM0007", "b.dcm", "c.png"]
    assert [one.path.name for one in result.failed] == ["bad.dcm"]
    assert sum(extra) == 1
    assert result.done[1].novelty == result.done[1].frames[0].novelty > 20

    cine, still, image = (one.to_json() for one in result.done)
    assert (cine["frame"], [one["frame"] for one in cine["frames"]]) == (2, [2, 1])
    assert still["spacing_mm"] == pytest.approx([0.2, 0.3])
    assert still["lesions"][0]["size"]["unit"] == "mm"
    x0, y0, x1, y1 = still["lesions"][0]["box"]
    assert still["lesions"][0]["size"]["width"] == pytest.approx(0.2 * (x1 - x0))
    assert still["lesions"][0]["size"]["height"] == pytest.approx(0.3 * (y1 - y0))
    assert BURNT_IN in still["warnings"]
    assert (image["frame"], image["frames"], image["dicom"], image["spacing_mm"]) == (None, [], None, None)
    assert image["lesions"][0]["size"]["unit"] == "px"

    assert read_mask(Path(still["mask"])).shape == (100, 120)
    overlay = Path(still["mask"].replace("_mask.png", "_overlay.png"))
    assert read_image(overlay)[:8].max() == 0
    assert {path.name for path in out.iterdir() if re.search("IM0007|^b_|^c_", path.name)} == {
        "c_mask.png",
        "c_overlay.png",
    }
    assert Path(still["mask"]).name.split("_")[0] == Path(still["dicom"]["seg"]).name.split("_")[0]
    segmentation = pydicom.dcmread(still["dicom"]["seg"])
    np.testing.assert_array_equal(segmentation.pixel_array, read_mask(Path(still["mask"])))
    assert pydicom.dcmread(still["dicom"]["sr"]).Modality == "SR"
    assert pydicom.dcmread(still["dicom"]["sc"]).pixel_array.shape[2] == 3
    assert len(list(dicom_out.iterdir())) == 6
    table = (out / "predictions.csv").read_text()
    assert table.splitlines()[0].endswith("warnings,frame,largest_width,largest_height,largest_area,size_unit")
    assert "mm, area" in result.summary(out)
    assert "in frame 2, the largest of 2 frames" in result.summary(out)
    for text in (table, result.summary(out), json.dumps(result.to_json()), str(sorted(dicom_out.iterdir()))):
        assert not [word for word in patient if word in text]


def test_where_a_name_may_be_written_the_overlay_shows_the_outline_alone(
    tmp_path: Path, scan: Write, ultrasound_file: Write, predictor: Predictor
) -> None:
    ultrasound_file(tmp_path / "silent.dcm", frame((50, 30, 90, 50)))
    scan("flagged.dcm", frame((50, 30, 90, 50)), BurnedInAnnotation="YES")
    scan("named.dcm", frame((50, 30, 90, 50)))
    files = [tmp_path / f"{name}.dcm" for name in ("silent", "flagged", "named")]
    for allowed in (False, True):
        out = tmp_path / f"out-{allowed}"
        for one in predict_files(predictor, files, out, allow_burnt_in=allowed).done:
            withheld = one.path != files[2] and not allowed
            assert (WITHHELD in one.warnings) == withheld
            overlay = read_image(Path(str(one.mask).replace("_mask", "_overlay")))
            grey = (overlay == overlay[..., :1]).all(axis=-1)
            assert (overlay[grey].max() == 0) == withheld
            assert not grey.all()  # the outline
    assert not [one.warnings for one in predict_files(predictor, files).done if WITHHELD in one.warnings]


def test_results_in_a_folder_are_no_input(tmp_path: Path, scan: Write, predictor: Predictor) -> None:
    scan("study/a.dcm", frame((50, 30, 90, 50)))
    for _ in range(2):
        files = image_files([tmp_path / "study"], dicom=True)
        result = predict_files(predictor, files, dicom_output=tmp_path / "study" / "results")
        assert ([one.path.name for one in result.done], result.failed) == (["a.dcm"], ())
    assert len(list((tmp_path / "study" / "results").iterdir())) == 3


def test_a_server_that_is_gone_is_asked_once_and_every_file_left_is_listed(tmp_path: Path, scan: Write) -> None:
    class Gone:
        asked = 0

        def run(self, images: np.ndarray) -> Outputs:
            Gone.asked += 1
            raise UnreachableError("no server answers")

    files = [scan(f"{index}.dcm", frame(None)) for index in range(4)]
    card = Card("multitask", 64, "BUSI", {}, "grouped", "none", "resnet50", {}, "test", {}, {}, "2026-11-23")
    result = predict_files(Predictor(Gone(), card), files)
    assert [one.error for one in result.failed] == ["no server answers"] * 4
    assert Gone.asked == 1


def test_a_cine_without_a_lesion_says_so_of_all_its_frames(tmp_path: Path, scan: Write, predictor: Predictor) -> None:
    cine = scan("cine.dcm", np.stack([frame(None, text=False)] * 3))
    said = predict_files(predictor, [cine]).summary(tmp_path)
    assert re.search(r"no lesion outlined in any of 3 frames; frame \d has the highest probability of malignant", said)
    assert "the largest of" not in said


def test_two_files_of_one_instance_have_results_of_their_own(tmp_path: Path, scan: Write, predictor: Predictor) -> None:
    files = [scan(name, frame((50, 30, 90, 50)), SOPInstanceUID="1.2.3") for name in ("a.dcm", "b.dcm")]
    result = predict_files(predictor, files, dicom_output=tmp_path / "dicom")
    assert len({one.dicom.segmentation for one in result.done if one.dicom}) == 2


def test_a_file_that_no_result_can_refer_to_is_listed(tmp_path: Path, scan: Write, predictor: Predictor) -> None:
    files = [scan("a.dcm", frame(None), SeriesInstanceUID=None), scan("b.dcm", frame(None))]
    result = predict_files(predictor, files, dicom_output=tmp_path / "dicom")
    assert [one.path.name for one in result.done] == ["b.dcm"]
    assert "has no SeriesInstanceUID" in result.failed[0].error


def test_images_and_help_do_not_load_pydicom(tmp_path: Path) -> None:
    Image.fromarray(frame(None)).save(tmp_path / "a.png")
    program = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import numpy as np
from pathlib import Path
from typer.testing import CliRunner
import cli
assert CliRunner().invoke(cli.app, ["predict", "--help"]).exit_code == 0
from busi_keras.card import Card
from busi_keras.inference.engine import Outputs
from busi_keras.inference.predictor import Predictor
from busi_keras.workflows.predict import predict_files
class Engine:
    def run(self, images):
        grey = images[..., 0] / 255
        return Outputs(grey, np.tile(np.float32([0.2, 0.3, 0.5]), (len(images), 1)), grey, grey.mean(axis=(1, 2)))
card = Card("multitask", 64, "BUSI", {{}}, "grouped", "none", "resnet50", {{}}, "test", {{}}, {{}}, "2026-11-23")
assert predict_files(Predictor(Engine(), card), [Path({str(tmp_path / "a.png")!r})]).done
print([name for name in sys.modules if name in ("pydicom", "highdicom", "matplotlib", "keras")])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr
