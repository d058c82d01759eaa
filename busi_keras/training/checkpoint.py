"""Checkpoints that survive any kill: whole or not there, checked when read, and the one before is kept."""

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from busi_keras.errors import UsageError
from busi_keras.files import replacing, verify_archive

KEPT = 2

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far a stage has come.

    Attributes:
        epoch: last finished epoch, counted from 0.
        best_epoch: the epoch with the best validation score so far.
        rows: the stage's history, a row for each epoch.
    """

    epoch: int
    best_epoch: int
    rows: tuple[dict[str, Any], ...]


class Checkpoints:
    """A stage's checkpoints in a folder: `STAGE-0007.npz` with the weights, the optimizer and the progress after
    epoch 7, and `STAGE-best-0004.npz` with the weights of the best epoch.

    All other state is a function of the experiment: order, augmentation and learning rate follow from the epoch.

    Args:
        folder: where they lie.
        stage: the stage's name.
    """

    def __init__(self, folder: Path, stage: str) -> None:
        self._folder, self._stage = folder, stage

    def save_best(self, progress: Progress, network: keras.Model) -> None:
        """Writes the weights of the best epoch so far.

        Raises:
            UsageError: the disk is full; the older checkpoints are whole.
        """
        _write(self._best(progress.best_epoch), progress, network.variables)

    def save(self, progress: Progress, network: keras.Model, optimizer: keras.Optimizer) -> None:
        """Writes the epoch's checkpoint, after `save_best` where the epoch is the best; drops those that are no longer
        needed only afterwards.

        Raises:
            UsageError: the disk is full; the older checkpoints are whole.
        """
        _write(self._last(progress.epoch), progress, [*network.variables, *optimizer.variables])
        kept = self._paths()[-KEPT:]
        needed = {self._best(_read_progress(path).best_epoch) for path in kept}
        for path in self._paths():
            if path not in kept:
                path.unlink()
        for path in self._folder.glob(f"{self._stage}-best-*.npz"):
            if path not in needed:
                path.unlink()

    def latest(self) -> Progress | None:
        """The progress in the newest checkpoint that is whole, with its best weights there; None without any.

        A damaged checkpoint is reported, deleted, and the one before it is taken; one whose best weights are damaged is
        kept, for a copy of these may be had.

        Raises:
            UsageError: checkpoints are whole, but the best weights of none of them.
        """
        damaged: list[Exception] = []
        damaged_best: list[Exception] = []
        for path in reversed(self._paths()):
            try:
                verify_archive(path)
                progress = _read_progress(path)
            except (ValueError, KeyError) as error:
                log.warning("%s; going back to the checkpoint before %s", error, path.name)
                path.unlink()
                damaged.append(error)
                continue
            try:
                verify_archive(self._best(progress.best_epoch))
                return progress
            except ValueError as error:
                log.warning("%s; going back to the checkpoint before %s", error, path.name)
                damaged_best.append(error)
        if damaged_best:
            left = ", ".join(map(str, self._paths()))
            raise UsageError(
                f"{damaged_best[0]}; restore an intact copy, or remove {left} to train {self._stage} from the beginning"
            )
        if damaged:
            log.warning("no whole checkpoint of %s is left; it starts from the beginning", self._stage)
        return None

    def restore(self, progress: Progress, network: keras.Model, optimizer: keras.Optimizer | None = None) -> None:
        """Puts back the weights after `progress.epoch`, and the optimizer's state where one is given."""
        variables = [*network.variables, *(optimizer.variables if optimizer else [])]
        _load(self._last(progress.epoch), variables)

    def restore_best(self, progress: Progress, network: keras.Model) -> None:
        """Puts back the weights of the best epoch."""
        _load(self._best(progress.best_epoch), network.variables)

    def _last(self, epoch: int) -> Path:
        return self._folder / f"{self._stage}-{epoch:04d}.npz"

    def _best(self, epoch: int) -> Path:
        return self._folder / f"{self._stage}-best-{epoch:04d}.npz"

    def _paths(self) -> list[Path]:
        name = re.compile(re.escape(self._stage) + r"-\d{4,}\.npz")
        return sorted(path for path in self._folder.glob("*.npz") if name.fullmatch(path.name))


def _write(path: Path, progress: Progress, variables: Sequence[Any]) -> None:
    arrays = {f"{i:04d}": keras.ops.convert_to_numpy(variable) for i, variable in enumerate(variables)}
    with replacing(path) as part, part.open("wb") as stream:
        np.savez(stream, progress=np.array(json.dumps(asdict(progress))), **arrays)


def _read_progress(path: Path) -> Progress:
    with np.load(path) as stored:
        fields = json.loads(str(stored["progress"]))
    return Progress(fields["epoch"], fields["best_epoch"], tuple(fields["rows"]))


def _load(path: Path, variables: Sequence[Any]) -> None:
    with np.load(path) as stored:
        for i, variable in enumerate(variables):
            variable.assign(stored[f"{i:04d}"])
