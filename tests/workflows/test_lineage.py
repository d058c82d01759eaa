"""What a network may have seen through all networks that it started from."""

import shutil
from pathlib import Path

import pytest

from busi_keras.card import Card, attach_card, read_card
from busi_keras.data.busi import fingerprint, read_busi
from busi_keras.data.phantom_set import INFO_FILE, write_phantoms
from busi_keras.errors import UsageError
from busi_keras.workflows.lineage import seen_before
from busi_keras.workflows.study import run_study
from busi_keras.workflows.train import run_training
from tests.tiny import TINY

ASKED = {"approach": "multitask-cnn", "backbone": TINY, "image_size": 32, "epochs": 1}
NEEDS_OTHERS = "a study needs weights that have seen none of the images that it scores"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder of a user's own images, not known as phantoms."""
    folder = tmp_path / "mine"
    write_phantoms(folder, 24, seed=3, size=64)
    (folder / INFO_FILE).unlink()
    return folder


def start(path: Path, data: str, trained_on: dict[str, str] | None) -> str:
    """A file with the card of a network and nothing else."""
    card = Card("multitask-cnn", 32, data, {}, "grouped", "none", TINY, {}, "test", {}, {}, "2026-11-27")
    attach_card(path, Card(**{**card.__dict__, "trained_on": trained_on}))
    return str(path)


def test_a_network_remembers_what_those_that_it_started_from_have_seen(
    phantom_folder: Path, mine: Path, tmp_path: Path
) -> None:
    first = run_training(ASKED | {"weights": "none"}, str(phantom_folder), tmp_path / "first", export=False).run
    asked = {**ASKED, "weights": str(first.model_file)}
    second = run_training(asked, str(mine), tmp_path / "second", export=False).run
    of_phantoms, of_mine = (fingerprint(read_busi(folder)) for folder in (phantom_folder, mine))
    assert read_card(second.model_file).trained_on == {of_phantoms: "phantom", of_mine: "mine"}

    asked["weights"] = str(second.model_file)
    renamed = tmp_path / "renamed"
    shutil.copytree(phantom_folder, renamed)
    (renamed / INFO_FILE).unlink()
    for data in (phantom_folder, renamed, mine):
        with pytest.raises(UsageError, match=rf"was trained on (phantom|mine), .*; {NEEDS_OTHERS}"):
            run_study({**asked, "protocol": "kfold"}, str(data), tmp_path / "study")
    with pytest.raises(UsageError, match=rf"was trained on phantom, .*; {NEEDS_OTHERS}"):
        run_study({**asked, "protocol": "external"}, str(mine), tmp_path / "study", external=renamed)
    assert not (tmp_path / "study").exists()


def test_a_network_that_does_not_say_what_it_has_seen_is_no_start_for_a_study(
    phantom_folder: Path, mine: Path, tmp_path: Path
) -> None:
    silent = start(tmp_path / "silent.keras", "elsewhere", None)
    with pytest.raises(UsageError, match=rf"does not say what it was trained on, .*; {NEEDS_OTHERS}"):
        run_study({**ASKED, "protocol": "kfold", "weights": silent}, str(phantom_folder), tmp_path / "study")
    with pytest.raises(UsageError, match="no such file; give auto, imagenet, none"):
        run_study({**ASKED, "protocol": "kfold", "weights": "gone.keras"}, str(phantom_folder), tmp_path / "study")


def test_a_data_set_is_known_by_its_files_and_by_its_name(tmp_path: Path) -> None:
    weights = start(tmp_path / "start.keras", "BUSI", {"0123": "BUSI"})
    assert seen_before(weights, "0123", "renamed").startswith("was trained on BUSI, possibly")
    assert seen_before(weights, "4567", "BUSI").startswith("was trained on BUSI, possibly")  # it has gained an image
    assert seen_before(weights, "4567", "mine") == ""
    assert seen_before("mobilenet.weights.h5", "0123", "BUSI") == ""
