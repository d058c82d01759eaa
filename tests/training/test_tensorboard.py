from pathlib import Path

import pytest

from busi_keras.training.tensorboard import TensorBoardLog


def test_each_stage_becomes_a_run_with_its_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = TensorBoardLog(tmp_path)
    rows = [{"stage": "segmenter", "epoch": epoch, "dice": 0.25 * epoch} for epoch in range(3)]
    log.begin("segmenter", ())
    log.write(rows[0])
    log.write(rows[0])  # as after a kill between an epoch's log and its checkpoint
    log = TensorBoardLog(tmp_path)
    log.begin("segmenter", rows[:2])
    log.write(rows[2])
    log.write({"stage": "classifier", "epoch": 0, "accuracy": 0.5})
    events = EventAccumulator(str(tmp_path / "segmenter"), size_guidance={"tensors": 0})
    events.Reload()
    assert [event.step for event in events.Tensors("dice")] == [0, 1, 2]
    assert {path.name for path in tmp_path.iterdir()} == {"segmenter", "classifier"}
