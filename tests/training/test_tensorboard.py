from pathlib import Path

import pytest

from busi_keras.training.tensorboard import TensorBoardLog


def test_each_stage_becomes_a_run_with_its_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = TensorBoardLog(tmp_path)
    for epoch in range(3):
        log.write({"stage": "segmenter", "epoch": epoch, "dice": 0.25 * epoch})
    log.write({"stage": "classifier", "epoch": 0, "accuracy": 0.5})
    events = EventAccumulator(str(tmp_path / "segmenter"), size_guidance={"tensors": 0})
    events.Reload()
    assert len(events.Tensors("dice")) == 3
    assert {path.name for path in tmp_path.iterdir()} == {"segmenter", "classifier"}
