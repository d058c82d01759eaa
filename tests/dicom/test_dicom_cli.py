"""The commands as a user types them, with a stub in place of a trained model."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import cli
from busi_keras.imaging import read_image
from busi_keras.inference.predictor import Predictor
from busi_keras.workflows import predict

Write = Callable[..., Path]
FRAME = np.pad(np.full((40, 40), 250, np.uint8), 30, constant_values=20)


@pytest.fixture
def run(predictor: Predictor, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable:
    """Runs the command line; gives exit code, stdout and stderr."""
    monkeypatch.setattr(cli, "set_backend", lambda backend: None)
    monkeypatch.setattr(predict, "load_predictor", lambda model, server: predictor)

    def run(*arguments: object) -> tuple[int, str, str]:
        result: Result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return result.exit_code, out + result.stdout, err + result.stderr

    return run


def test_predict_writes_dicom_and_says_what_failed(
    tmp_path: Path, ultrasound_file: Write, run: Callable, patient: tuple[str, ...]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    ultrasound_file(folder / "a.dcm", np.stack([FRAME, FRAME]))
    ultrasound_file(folder / "ct.dcm", FRAME, SOPClassUID="1.2.840.10008.5.1.4.1.1.2", Modality="CT")
    arguments = (folder, "--output", tmp_path / "out", "--dicom-out", tmp_path / "dicom", "--every", 2)
    code, out, err = run("predict", *arguments, "--json")
    assert code == 1
    document = json.loads(out)
    [one] = document["predictions"]
    assert [frame["frame"] for frame in one["frames"]] == [1]
    assert sorted(one["dicom"]) == ["sc", "seg", "sr"]
    assert all(Path(path).exists() for path in one["dicom"].values())
    assert "is not an ultrasound image (CT Image Storage)" in document["failed"][0]["error"]
    assert not [word for word in patient if word in out + err]


@pytest.mark.parametrize(
    ("options", "shown", "looks"), [((), False, 1), (("--flips",), False, 2), (("--allow-burnt-in",), True, 1)]
)
def test_an_image_that_may_name_a_patient_is_shown_only_where_that_is_asked_for(
    options: tuple[str, ...],
    shown: bool,
    looks: int,
    tmp_path: Path,
    ultrasound_file: Write,
    run: Callable,
    predictor: Predictor,
) -> None:
    path = ultrasound_file(tmp_path / "a.dcm", FRAME, BurnedInAnnotation="YES")
    before = len(predictor.engine.batches)
    code, _, _ = run("predict", path, "--output", tmp_path / "out", *options)
    assert code == 0
    assert len(predictor.engine.batches) == before + looks
    overlay = read_image(next((tmp_path / "out").glob("*_overlay.png")))
    grey = (overlay == overlay[..., :1]).all(axis=-1)
    assert (overlay[grey].max() > 0) == shown


def test_predict_refuses_no_frames(tmp_path: Path, ultrasound_file: Write, run: Callable) -> None:
    path = ultrasound_file(tmp_path / "a.dcm", FRAME)
    code, out, err = run("predict", path, "--every", 0)
    assert (code, out) == (2, "")
    assert "--every is 0; give 1 for each frame, or more" in err


def test_from_dicom_prints_what_it_made(tmp_path: Path, ultrasound_file: Write, run: Callable) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    ultrasound_file(folder / "a.dcm", FRAME, BurnedInAnnotation="NO")
    ultrasound_file(folder / "b.dcm", FRAME + 1, BurnedInAnnotation="YES")
    (tmp_path / "labels.csv").write_text("file,label\na.dcm,benign\nb.dcm,normal\n")
    command = ("data", "from-dicom", folder, "--labels", tmp_path / "labels.csv", "--output", tmp_path / "busi")
    code, out, _ = run(*command, "--json")
    assert code == 1
    assert [one["label"] for one in json.loads(out)["converted"]] == ["benign"]
    code, out, _ = run(*command, "--allow-burnt-in")
    assert code == 0
    assert "2 images of 2 files" in out
