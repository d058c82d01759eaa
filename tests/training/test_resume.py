"""A training that is killed at random moments and resumed ends with the weights of one that never was."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
EPOCHS, FROZEN = 5, 2
KILLS_BEFORE_EPOCH = (1, 2, 4)
"""One in the frozen phase, one about where the encoder is freed, one after it."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a backbone, so that training has a frozen phase."""
    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("weights") / "mobilenet.weights.h5"
    keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(32, 32, 3)).save_weights(path)
    return path


def command(run: Path, data: Path, weights: Path) -> list[str]:
    return [
        sys.executable, str(ROOT / "cli.py"), "train", "--approach", "multitask-cnn", "--backbone", "mobilenet-v2",
        "--weights", str(weights), "--data", str(data), "--image-size", "32", "--batch-size", "8",
        "--epochs", str(EPOCHS), "--run-dir", str(run), "--resume", "--no-export", "--average", "0.9",
    ]  # fmt: skip


def final_weights(run: Path) -> dict[str, np.ndarray]:
    with np.load(run / "checkpoint" / f"multitask-cnn-{EPOCHS - 1:04d}.npz") as stored:
        return {name: stored[name] for name in stored.files if name != "progress"}


def epochs_done(run: Path) -> int:
    history = run / "history.jsonl"
    return len(history.read_text().splitlines()) if history.exists() else 0


@pytest.mark.slow
def test_kills_at_random_moments_do_not_change_the_weights_by_a_bit(
    phantom_folder: Path, weights: Path, tmp_path: Path
) -> None:
    chance = random.Random(20)
    killed = tmp_path / "killed"
    for epoch in KILLS_BEFORE_EPOCH:
        process = subprocess.Popen(command(killed, phantom_folder, weights), start_new_session=True)
        while epochs_done(killed) < epoch and process.poll() is None:
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 0.8))
        assert process.poll() is None, "it ended before it could be killed"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert epochs_done(killed) >= epoch
    subprocess.run(command(killed, phantom_folder, weights), check=True)

    whole = tmp_path / "whole"
    subprocess.run(command(whole, phantom_folder, weights), check=True)

    expected = final_weights(whole)
    assert any(np.abs(values).max() > 0 for values in expected.values())
    for name, values in final_weights(killed).items():
        np.testing.assert_array_equal(values, expected[name])
    rows = [[json.loads(line) for line in (run / "history.jsonl").open()] for run in (killed, whole)]
    for row, other in zip(*rows, strict=True):
        assert {k: v for k, v in row.items() if k != "seconds"} == {k: v for k, v in other.items() if k != "seconds"}
    assert rows[0][FROZEN - 1]["learning_rate"] == pytest.approx(1e-3)
    assert (killed / "predictions.csv").read_bytes() == (whole / "predictions.csv").read_bytes()
