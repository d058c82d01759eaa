import logging
from pathlib import Path

import keras
import numpy as np
import pytest

from busi_keras.errors import UsageError
from busi_keras.training.checkpoint import Checkpoints, Progress

pytestmark = pytest.mark.backends


def network(units: int = 3) -> keras.Model:
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.layers.Dense(units)(inputs))


def save(checkpoints: Checkpoints, model: keras.Model, epochs: range, best: int) -> keras.Optimizer:
    """Each epoch's weights are all equal to the epoch's number."""
    optimizer = keras.optimizers.AdamW(0.1)
    optimizer.build(model.trainable_variables)
    for epoch in epochs:
        model.set_weights([np.full_like(w, epoch) for w in model.get_weights()])
        optimizer.iterations.assign(epoch)
        rows = tuple({"epoch": e, "val_score": 0.5} for e in range(epoch + 1))
        progress = Progress(epoch, min(best, epoch), rows)
        if epoch <= best:
            checkpoints.save_best(progress, model)
        checkpoints.save(progress, model, optimizer)
    return optimizer


def values(model: keras.Model) -> set[float]:
    return {float(value) for weights in model.get_weights() for value in np.unique(weights)}


def test_weights_optimizer_and_progress_come_back(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "multitask")
    save(checkpoints, network(), range(4), best=1)
    progress = checkpoints.latest()
    assert progress is not None
    assert (progress.epoch, progress.best_epoch, len(progress.rows)) == (3, 1, 4)
    model = network()
    optimizer = keras.optimizers.AdamW(0.1)
    optimizer.build(model.trainable_variables)
    checkpoints.restore(progress, model, optimizer)
    assert values(model) == {3.0}
    assert int(keras.ops.convert_to_numpy(optimizer.iterations)) == 3
    checkpoints.restore_best(progress, model)
    assert values(model) == {1.0}


def test_two_checkpoints_and_their_best_weights_are_kept(tmp_path: Path) -> None:
    save(Checkpoints(tmp_path, "segmenter"), network(), range(5), best=2)
    save(Checkpoints(tmp_path, "classifier"), network(), range(1), best=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "classifier-0000.npz",
        "classifier-best-0000.npz",
        "segmenter-0003.npz",
        "segmenter-0004.npz",
        "segmenter-best-0002.npz",
    ]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
@pytest.mark.parametrize("victim", ["stage-0004.npz", "stage-best-0004.npz"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before_and_says_so(
    tmp_path: Path, damage: str, victim: str, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = Checkpoints(tmp_path, "stage")
    save(checkpoints, network(), range(5), best=9)
    content = bytearray((tmp_path / victim).read_bytes())
    if damage == "flipped":
        at = content.find(np.float32(4).tobytes() * 3)
        content[at] ^= 0xFF
    (tmp_path / victim).write_bytes({"cut": content[:-300], "flipped": content, "empty": b""}[damage])
    with caplog.at_level(logging.WARNING):
        progress = checkpoints.latest()
    assert progress is not None
    assert progress.epoch == 3
    assert f"{victim} is damaged" in caplog.text
    assert "going back to the checkpoint before stage-0004.npz" in caplog.text
    model = network()
    checkpoints.restore(progress, model)
    assert values(model) == {3.0}


def test_without_a_checkpoint_there_is_no_progress(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "nowhere", "stage").latest() is None


def test_a_full_disk_is_named_and_the_older_checkpoint_survives(small_disk: Path) -> None:
    checkpoints = Checkpoints(small_disk, "stage")
    save(checkpoints, network(2000), range(2), best=0)  # 40 kB of weights, twice that of optimizer state
    (small_disk / "filler").write_bytes(bytes(720_000))
    with pytest.raises(UsageError, match=r"the disk is full, so .*stage-0002\.npz was not written; free some space"):
        save(checkpoints, network(2000), range(2, 6), best=0)
    progress = checkpoints.latest()
    assert progress is not None
    assert progress.epoch == 1
    assert [path.name for path in small_disk.iterdir() if path.name.startswith(".")] == []


def test_whole_checkpoints_are_kept_where_only_their_best_weights_are_damaged(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "stage")
    save(checkpoints, network(), range(5), best=2)
    best = tmp_path / "stage-best-0002.npz"
    whole = best.read_bytes()
    best.write_bytes(whole[:-300])
    with pytest.raises(UsageError, match=r"stage-best-0002\.npz is damaged: .*; restore an intact copy, or"):
        checkpoints.latest()
    best.write_bytes(whole)
    progress = checkpoints.latest()
    assert progress is not None
    assert progress.epoch == 4


def test_where_every_checkpoint_is_damaged_training_starts_from_the_beginning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = Checkpoints(tmp_path, "stage")
    save(checkpoints, network(), range(3), best=9)
    for path in tmp_path.glob("stage-0*.npz"):
        path.write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert checkpoints.latest() is None
    assert "no whole checkpoint of stage is left; it starts from the beginning" in caplog.text
