"""A training that is killed at random moments and resumed ends with the weights of one that never was."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest

import busi_keras.models  # noqa: F401  registers the layers
from busi_keras.models.backbone import REGISTRY
from busi_keras.training.device import gpu_names
from tests.tiny import TINY

ROOT = Path(__file__).parents[2]
FROZEN = 2
EPOCHS = 3


@dataclass(frozen=True)
class Case:
    """A training, and after how many epochs it is killed."""

    backbone: str
    options: list[str]
    stages: tuple[str, ...]
    kills: tuple[int, ...]

    @property
    def last_checkpoints(self) -> list[str]:
        return [f"{stage}-{EPOCHS - 1:04d}.npz" for stage in self.stages]


CASES = {
    "ensemble of multitask-cnn": Case(
        TINY,
        ["--approach", "multitask-cnn", "--members", "2", "--average", "0.9", "--gradual-unfreezing",
         "--heat-map-weight", "0.5"],
        ("multitask-cnn", "multitask-cnn-2"),
        (1, 5),
    ),
    "two-stage": Case("mobilenet-v2", ["--approach", "two-stage", "--width", "2"], ("segmenter", "classifier"), (3, 4)),
}  # fmt: skip
"""Killed in the frozen phase, and in an ensemble's second member after its encoder was freed; between two stages, and
in the second."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights of each backbone, so that training has a frozen phase."""
    if gpu_names():
        pytest.skip("bit for bit on a CPU alone")
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    for name in (TINY, "mobilenet-v2"):
        network = REGISTRY[name].network(keras.Input((32, 32, 3)))
        network.save_weights(folder / f"{name}.weights.h5")
    return folder


def command(name: str, run: Path, data: Path, weights: Path) -> list[str]:
    backbone = CASES[name].backbone
    return [
        sys.executable, "-m", "tests.tiny", "train", "--backbone", backbone,
        "--weights", str(weights / f"{backbone}.weights.h5"), "--data", str(data), "--image-size", "32",
        "--batch-size", "8", "--epochs", str(EPOCHS), "--run-dir", str(run), "--resume", "--no-export",
        *CASES[name].options,
    ]  # fmt: skip


def stored(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files if name != "progress"}


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_keeps_what_was_finished(phantom_folder: Path, weights: Path, tmp_path: Path) -> None:
    asked = command(next(iter(CASES)), tmp_path / "run", phantom_folder, weights)
    heeded = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731  a shell's background job ignores it
    process = subprocess.Popen(asked, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=heeded)
    while epochs_done(tmp_path / "run") < 1 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted; what was finished is kept" in said
    assert "Traceback" not in said
    assert epochs_done(tmp_path / "run") >= 1
    assert not (tmp_path / "run" / "model.keras").exists()


def epochs_done(run: Path) -> int:
    history = run / "history.jsonl"
    return len(history.read_text().splitlines()) if history.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_kills_at_random_moments_do_not_change_the_weights_by_a_bit(
    name: str, phantom_folder: Path, weights: Path, tmp_path: Path
) -> None:
    """Before the last start the newest checkpoint is broken, too: training goes back to the one before it."""
    case, chance = CASES[name], random.Random(20)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for epoch in case.kills:
        process = subprocess.Popen(command(name, killed, phantom_folder, weights), cwd=ROOT, start_new_session=True)
        while epochs_done(killed) < epoch and process.poll() is None:
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 0.8))
        assert process.poll() is None, "it ended before it could be killed"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert epochs_done(killed) >= epoch
    newest = max((killed / "checkpoint").glob(f"{case.stages[-1]}-0*.npz"))
    newest.write_bytes(newest.read_bytes()[:-1000])
    resumed = subprocess.run(
        command(name, killed, phantom_folder, weights), cwd=ROOT, check=True, stderr=subprocess.PIPE, text=True
    )
    assert f"going back to the checkpoint before {newest.name}" in " ".join(resumed.stderr.split())
    subprocess.run(command(name, whole, phantom_folder, weights), cwd=ROOT, check=True)

    for checkpoint in case.last_checkpoints:
        expected = stored(whole / "checkpoint" / checkpoint)
        assert any(np.abs(values).max() > 0 for values in expected.values())
        for key, values in stored(killed / "checkpoint" / checkpoint).items():
            np.testing.assert_array_equal(values, expected[key])
    networks = [keras.models.load_model(run / "model.keras", compile=False) for run in (killed, whole)]
    for values, others in zip(*(network.get_weights() for network in networks), strict=True):
        np.testing.assert_array_equal(values, others)
    rows = [[json.loads(line) for line in (run / "history.jsonl").open()] for run in (killed, whole)]
    for row, other in zip(*rows, strict=True):
        assert {k: v for k, v in row.items() if k != "seconds"} == {k: v for k, v in other.items() if k != "seconds"}
    frozen = [row for row in rows[0] if row["stage"] == case.stages[-1]][FROZEN - 1]
    assert frozen["learning_rate"] == pytest.approx(1e-3)
    assert (killed / "predictions.csv").read_bytes() == (whole / "predictions.csv").read_bytes()
