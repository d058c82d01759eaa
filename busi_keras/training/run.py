"""A run folder: everything that one training leaves behind, each file whole or not there."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from busi_keras.config import Experiment
from busi_keras.data.split import Split
from busi_keras.errors import UsageError
from busi_keras.evaluation.predictions import write_predictions
from busi_keras.evaluation.scores import ImageScore
from busi_keras.files import UTF8, replacing, unfinished, write_text
from busi_keras.run_files import RunFiles


class Run(RunFiles):
    """The files of a run, to be written and read."""

    @classmethod
    def open(cls, folder: Path, experiment: Experiment, resume: bool) -> "Run":
        """A run folder for training: a new or empty one, or with `resume` one of the same experiment; writes nothing.

        Raises:
            UsageError: the folder holds something else, or another experiment's run.
        """
        run = cls(folder)
        if run.experiment_file.exists():
            if not resume:
                raise UsageError(
                    f"{folder} holds a run already; add --resume to go on with it, or name a new --run-dir"
                )
            run.require(asdict(experiment))
            return run
        if folder.exists() and not (folder.is_dir() and all(map(run._may_be_written_over, folder.iterdir()))):
            raise UsageError(f"{folder} is not empty and holds no run; name a new --run-dir")
        return run

    def require(self, asked: Mapping[str, Any]) -> None:
        """The run must be what is asked for.

        Args:
            asked: fields of `Experiment`; the others are not asked for.

        Raises:
            UsageError: it is another experiment's.
        """
        if differences := self.experiment.differences_from(asked):
            raise UsageError(
                f"{self.folder} belongs to another experiment ({'; '.join(differences)} as asked for); "
                "repeat its options, or name a new --run-dir"
            )

    def begin(self, experiment: Experiment, split: Split, data: Path) -> None:
        """Writes what determines the run, once everything that could be refused has been accepted.

        Args:
            data: the folder of the images; where `evaluate` looks for them.
        """
        split.write(self.split_file)
        write_text(self.data_file, str(data.resolve()) + "\n")
        write_text(self.experiment_file, experiment.to_json())

    @property
    def data_folder(self) -> Path | None:
        """Where the run's images were; None where it is not known."""
        return Path(self.data_file.read_text(**UTF8).strip()) if self.data_file.exists() else None

    def _may_be_written_over(self, path: Path) -> bool:
        return unfinished(path) or path in (self.split_file, self.data_file)

    @property
    def experiment(self) -> Experiment:
        """What the run was asked to do."""
        return Experiment.read(self.experiment_file)

    @property
    def split(self) -> Split:
        """Who trained, validated and was tested."""
        return Split.read(self.split_file)

    def write_history(self, rows: Sequence[dict[str, Any]]) -> None:
        """Replaces the history by these rows, a line of JSON each."""
        write_text(self.history_file, "".join(json.dumps(row) + "\n" for row in rows))

    def history(self) -> list[dict[str, Any]]:
        """The history's rows, in the order of training."""
        return [json.loads(line) for line in self.history_file.read_text().splitlines()]

    def write_scores(self, metrics: dict[str, Any], scores: Sequence[ImageScore]) -> None:
        """Writes `metrics.json` and `predictions.csv` for one part of the split."""
        with replacing(self.predictions_file) as part:
            write_predictions(part, scores)
        write_text(self.metrics_file, json.dumps(metrics, indent=2) + "\n")
