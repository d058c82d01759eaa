"""The model behind the page, while it loads, and whatever becomes of its file."""

import threading
from pathlib import Path

import pytest

from busi_keras.card import Card
from busi_keras.errors import UsageError
from busi_keras.inference.predictor import Predictor
from busi_keras.web.served_model import FAILED, READY, ServedModel, model_files


def load(model: ServedModel) -> None:
    finished = threading.Event()
    model.start(finished.set)
    assert finished.wait(20)


def test_a_file_that_engines_map_into_memory_is_loaded_from_a_copy_of_its_own(
    tmp_path: Path, engine: object, card: Card
) -> None:
    (tmp_path / "model.xml").write_text("network")
    (tmp_path / "model.bin").write_text("weights")
    seen: list[Path] = []

    def from_copy(path: Path) -> Predictor:
        assert path.read_text() == "network"
        assert path.with_suffix(".bin").read_text() == "weights"
        seen.append(path)
        return Predictor(engine, card)  # type: ignore[arg-type]

    model = ServedModel(tmp_path / "model.xml", from_copy)
    load(model)
    assert model.state == READY
    assert seen[0].parent != tmp_path
    assert not seen[0].parent.exists()
    (tmp_path / "model.bin").write_text("others")  # in place: the file's number stays
    assert "has been replaced" in str(model.file_change())


def test_a_model_that_cannot_be_loaded_is_named_by_its_own_path(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_text("no network")
    model = ServedModel(file)
    load(model)
    assert model.state == FAILED
    assert isinstance(model.error, UsageError)
    assert str(model.error).startswith(f"{file} is damaged, or not in onnx format")


def test_the_version_changes_with_the_files(tmp_path: Path, engine: object, card: Card) -> None:
    versions = set()
    for content in ("a", "b", "a"):
        (tmp_path / "model.onnx").write_text(content)
        model = ServedModel(tmp_path / "model.onnx", lambda path: Predictor(engine, card))  # type: ignore[arg-type]
        load(model)
        versions.add(model.version)
    assert len(versions) == 2
    assert all(version.startswith("multitask resnet50 2026-11-23 ") for version in versions)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["run/model.keras", "run/report.md"], ["model.keras"]),
        (["run/1/saved_model.pb", "run/1/variables/v"], ["saved_model.pb", "v"]),
    ],
)
def test_a_folder_means_the_files_that_are_loaded(files: list[str], expected: list[str], tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [file.name for file in model_files(tmp_path / "run")] == expected
