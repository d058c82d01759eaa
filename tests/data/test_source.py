import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from busi_keras.config import CLASSES
from busi_keras.data import source as source_module
from busi_keras.data.busi import BUSI_COUNTS, BUSI_MASKS
from busi_keras.data.source import KAGGLE_HANDLE, PHANTOM_NOTICE, download, find_source
from busi_keras.errors import UsageError

BUSI_FOLDER = "Dataset_BUSI_with_GT"


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory, no BUSI, no Kaggle, and few and small phantoms."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BUSI_DATA_DIR", raising=False)
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(source_module, "reachable", lambda url, **_: False)
    monkeypatch.setattr(
        source_module,
        "write_phantoms",
        lambda folder, count, seed, write=source_module.write_phantoms: write(folder, 6, seed, size=32),
    )


def make_busi(folder: Path, counts: dict[str, int]) -> Path:
    """Names in BUSI's layout; the files are empty."""
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(1, count + 1):
            (folder / name / f"{name} ({number}).png").touch()
            (folder / name / f"{name} ({number})_mask.png").touch()
            if name == "benign" and number <= BUSI_MASKS - sum(BUSI_COUNTS.values()):
                (folder / name / f"{name} ({number})_mask_1.png").touch()
    return folder


def small_busi(folder: Path) -> Path:
    return make_busi(folder, dict.fromkeys(CLASSES, 2))


def cached(version: int, counts: dict[str, int] = BUSI_COUNTS) -> Path:
    return make_busi(Path("cache", "datasets", KAGGLE_HANDLE, "versions", str(version), BUSI_FOLDER), counts)


@pytest.fixture
def kaggle(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Makes Kaggle answer: with a folder, or with an exception; gives the list of what is asked of it."""

    def answer(with_: Path | Exception) -> list[str]:
        asked: list[str] = []

        def dataset_download(handle: str) -> str:
            asked.append(handle)
            if isinstance(with_, Exception):
                raise with_
            return str(with_)

        monkeypatch.setattr(source_module, "reachable", lambda url, **_: True)
        monkeypatch.setitem(sys.modules, "kagglehub", SimpleNamespace(dataset_download=dataset_download))
        return asked

    return answer


def test_auto_takes_the_first_place_that_has_busi(
    monkeypatch: pytest.MonkeyPatch, kaggle: Callable[..., list[str]]
) -> None:
    phantoms = find_source("auto")
    assert (phantoms.phantom, phantoms.name) == (True, "phantom")

    asked = kaggle(make_busi(Path("downloaded", BUSI_FOLDER), BUSI_COUNTS).parent)
    assert find_source("auto").folder == Path("downloaded", BUSI_FOLDER)
    assert asked == ["aryashah2k/breast-ultrasound-images-dataset"]

    in_cache = cached(1)
    assert find_source("auto").folder.resolve() == in_cache.resolve()
    in_data = small_busi(Path("data", BUSI_FOLDER))
    assert find_source("auto").folder == in_data
    monkeypatch.setenv("BUSI_DATA_DIR", str(small_busi(Path("elsewhere"))))
    assert find_source("auto").folder == Path("elsewhere")
    assert len(asked) == 1


def test_without_data_or_network_there_are_phantoms_made_once() -> None:
    first = find_source("auto", seed=3)
    files = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*.png")}
    assert first.phantom
    assert first.folder == Path("data", "phantoms-160-seed-3")
    assert len(first.records()) == 6
    assert find_source("auto", seed=3) == find_source("phantom", seed=3) == first
    assert {path: path.stat().st_mtime_ns for path in first.folder.rglob("*.png")} == files
    assert find_source("phantom", seed=4).folder != first.folder
    assert "synthetic" in PHANTOM_NOTICE


def test_phantoms_that_another_process_makes_at_the_same_time_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    write_phantoms = source_module.write_phantoms

    def another_is_faster(folder: Path, count: int, seed: int) -> None:
        write_phantoms(folder, count, seed)
        write_phantoms(folder, count, seed)

    monkeypatch.setattr(source_module, "write_phantoms", another_is_faster)
    assert len(find_source("phantom", seed=5).records()) == 6


def test_phantoms_are_asked_for_by_name_even_where_busi_is() -> None:
    small_busi(Path("data", BUSI_FOLDER))
    assert find_source("phantom").phantom


def test_a_folder_of_phantoms_is_known_as_such(phantom_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = find_source(str(phantom_folder))
    assert (named.folder, named.phantom, named.name) == (phantom_folder, True, "phantom")
    assert len(named.records()) == 48
    monkeypatch.setenv("BUSI_DATA_DIR", str(phantom_folder))
    assert find_source("auto").phantom


def test_the_folder_around_busi_may_be_named() -> None:
    nested = small_busi(Path("archive", BUSI_FOLDER))
    source = find_source("archive")
    assert (source.folder, source.phantom, source.name) == (nested, False, BUSI_FOLDER)
    assert len(source.records()) == 6


def test_a_source_has_a_name_wherever_one_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small_busi(Path("my_scans")))
    assert find_source(".").name == "my_scans"


@pytest.mark.parametrize("data", ["nowhere", "auto"])
def test_a_wrong_folder_is_an_error_and_no_reason_for_phantoms(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUSI_DATA_DIR", "nowhere")
    with pytest.raises(UsageError, match="nowhere is not a folder; name one that holds benign, malignant, normal"):
        find_source(data)
    assert not Path("data").exists()


def test_a_version_half_downloaded_is_not_used() -> None:
    cached(3, {"benign": 100})
    (Path("cache", "datasets", KAGGLE_HANDLE, "versions", "4", BUSI_FOLDER)).mkdir(parents=True)
    assert find_source("auto").phantom
    cached(2)
    newest = cached(10)
    assert find_source("auto").folder.resolve() == newest.resolve()


def test_a_download_gives_the_780_images(kaggle: Callable[..., list[str]]) -> None:
    asked = kaggle(make_busi(Path("version", BUSI_FOLDER), BUSI_COUNTS).parent)
    source = download()
    assert (source.name, source.phantom, len(source.records())) == (BUSI_FOLDER, False, 780)
    assert asked == [KAGGLE_HANDLE]


def test_a_download_with_files_missing_is_refused(kaggle: Callable[..., list[str]]) -> None:
    folder = make_busi(Path("version", BUSI_FOLDER), BUSI_COUNTS)
    (folder / "normal" / "normal (7).png").unlink()
    kaggle(folder.parent)
    with pytest.raises(UsageError, match=r"'normal': 132.* not BUSI's .*'normal': 133.*; delete it and download again"):
        download()
    shutil.rmtree(folder)
    with pytest.raises(UsageError, match="version has none of the folders"):
        download()


def test_a_download_that_fails_says_why_and_auto_goes_on_with_phantoms(kaggle: Callable[..., list[str]]) -> None:
    kaggle(RuntimeError("connection reset"))
    with pytest.raises(UsageError, match=r"failed \(connection reset\); try again"):
        download()
    assert find_source("auto").phantom


def test_a_download_without_network_names_the_way_out() -> None:
    with pytest.raises(UsageError, match=r"www\.kaggle\.com does not answer; download .* --data .*BUSI_with_GT"):
        download()


def test_images_in_a_folder_called_phantom_are_not_called_synthetic() -> None:
    source = find_source(str(small_busi(Path("phantom").resolve())))
    assert not source.phantom
    assert source.name == "folder phantom"
