"""The history for TensorBoard, on request."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras

from busi_keras.errors import UsageError


class TensorBoardLog:
    """Writes each epoch's numbers as scalars, a run for each stage.

    Args:
        folder: `tensorboard --logdir` of it shows the curves.

    Raises:
        UsageError: TensorBoard or TensorFlow is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import tensorboard  # noqa: F401  tf.summary imports it at the first number
            import tensorflow as tf
        except ImportError as error:
            raise UsageError(
                f"--tensorboard needs {error.name or error}, which is not installed; pip install tensorboard "
                "'tensorflow==2.21.*', or leave it out"
            ) from None
        if keras.backend.backend() != "tensorflow":  # it would take the memory of a GPU that another backend trains on
            with suppress(RuntimeError):  # TensorFlow has begun: it has its memory already
                tf.config.set_visible_devices([], "GPU")
        self._folder, self._summary = folder, tf.summary
        self._writers: dict[str, Any] = {}

    def begin(self, stage: str, rows: Sequence[dict[str, Any]]) -> None:
        """Draws a stage's curves anew: of what is there a kill may have kept an epoch back, or left one twice."""
        self._writers.pop(stage, None)
        shutil.rmtree(self._folder / stage, ignore_errors=True)
        for row in rows:
            self.write(row)

    def write(self, row: dict[str, Any]) -> None:
        stage = row["stage"]
        if stage not in self._writers:
            self._writers[stage] = self._summary.create_file_writer(str(self._folder / stage))
        with self._writers[stage].as_default():
            for name, value in row.items():
                if isinstance(value, float):
                    self._summary.scalar(name, value, step=row["epoch"])
        self._writers[stage].flush()
