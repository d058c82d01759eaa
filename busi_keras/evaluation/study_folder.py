"""A study's folder: which folds are finished, whether they belong together, and what they gave.

No network is needed: a fold that was trained elsewhere is finished where its numbers are.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from busi_keras.config import Experiment
from busi_keras.data.patients import PATIENTS_FILE, read_patients
from busi_keras.data.split import Split
from busi_keras.errors import UsageError
from busi_keras.evaluation.history import chosen_and_last
from busi_keras.evaluation.intervals import RESAMPLES
from busi_keras.evaluation.predictions import read_predictions, write_predictions
from busi_keras.evaluation.scores import ImageScore
from busi_keras.evaluation.study import ExternalSource, Study, sum_up
from busi_keras.files import replacing, write_text
from busi_keras.run_files import RunFiles

PARTITIONS = ("kfold", "leaky")
"""Protocols whose folds hold out each image once."""


class Fold(RunFiles):
    """One fold: a run's folder, or what is left of one.

    Args:
        folder: `fold-0`, `fold-1`, ...
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.number = int(folder.name.removeprefix("fold-"))

    @property
    def begun(self) -> bool:
        """Whether there is something in it that belongs to an experiment."""
        return self.experiment_file.exists()

    @property
    def finished(self) -> bool:
        """Whether it has all that a study needs of it; where it was trained also its network, which is written last."""
        trained_here = self.checkpoint_folder.exists()
        needed = (*self.numbers, self.model_file) if trained_here else self.numbers
        return all(file.exists() for file in needed)

    @cached_property
    def experiment(self) -> Experiment:
        """What it was asked to do."""
        return Experiment.read(self.experiment_file)

    def scores(self) -> list[ImageScore]:
        """Of the images that it holds out, in the split's order.

        Raises:
            UsageError: it was scored last on other images than those.
        """
        split = Split.read(self.split_file)
        scored = self._scored_part()
        scores = read_predictions(self.predictions_file)
        if scored != split.scored or tuple(score.name for score in scores) != split.part(split.scored):
            raise UsageError(
                f"{self.folder} was scored last on {scored} images that are not its {split.scored} part; "
                f"python cli.py evaluate {self.folder} fixes that"
            )
        return scores

    def epochs(self) -> dict[str, Any]:
        """Of each network that was trained, by its stage, what `chosen_and_last` gives."""
        file = self.history_file
        try:
            return chosen_and_last([json.loads(line) for line in file.read_text().splitlines()])
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{file} is damaged ({error}); restore an intact copy, or train this fold again") from None

    def _scored_part(self) -> str:
        file = self.metrics_file
        try:
            return str(json.loads(file.read_text())["split"])
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{file} is damaged ({error}); python cli.py evaluate {self.folder} rewrites it") from None


class StudyFolder:
    """The files of a study.

    Args:
        folder: `fold-N/`, `groups.json`, `marks.json`, `study.json`, `predictions.csv`, `table.md` and
            `reliability.png` lie here; where the images say who is one patient also `patients.json`; of protocol
            `external` also `external/`, what was scored on the other folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.groups_file = folder / "groups.json"
        self.marks_file = folder / "marks.json"
        self.patients_file = folder / PATIENTS_FILE
        self.study_file = folder / "study.json"
        self.table_file = folder / "table.md"
        self.predictions_file = folder / "predictions.csv"
        self.reliability_file = folder / "reliability.png"
        self.external = folder / "external"

    @classmethod
    def open(cls, folder: Path) -> "StudyFolder":
        """A study of which at least one fold is finished, all of one experiment.

        Raises:
            UsageError: there is no such fold, or folds do not belong together.
        """
        study = cls(folder)
        if not study.folds_finished():
            raise UsageError(f"{folder} has no finished fold; name a folder made by `study`")
        study.require_one_experiment()
        return study

    def fold(self, number: int) -> Fold:
        """A fold, whether it is there or not."""
        return Fold(self.folder / f"fold-{number}")

    def folds_begun(self) -> list[Fold]:
        """The folds that are there, in order."""
        folds = (Fold(path) for path in self.folder.glob("fold-*") if path.name.removeprefix("fold-").isdecimal())
        return sorted((fold for fold in folds if fold.begun), key=lambda fold: fold.number)

    def folds_finished(self) -> list[Fold]:
        """Those of them that are finished."""
        return [fold for fold in self.folds_begun() if fold.finished]

    @property
    def experiment(self) -> Experiment:
        """Of the first fold that is there."""
        return self.folds_begun()[0].experiment

    def require_one_experiment(self) -> None:
        """Folds must differ in nothing but which fold they are.

        Raises:
            UsageError: they do differ.
        """
        begun = self.folds_begun()
        for fold in begun[1:]:
            if differences := fold.experiment.differences(begun[0].experiment, across_folds=True):
                raise UsageError(
                    f"{fold.folder} belongs to another experiment than {begun[0].folder.name} beside it "
                    f"({'; '.join(differences)}); a study has one: move one of them away"
                )

    def require(self, options: Mapping[str, Any]) -> None:
        """Folds that are there must be what is asked for.

        Args:
            options: fields of `Experiment`, without `fold`.

        Raises:
            UsageError: a fold is another experiment's, or is not the one its folder is named after.
        """
        self.require_one_experiment()
        for fold in self.folds_begun():
            asked = {**options, **({"fold": fold.number} if "folds" in options else {})}
            if differences := fold.experiment.differences_from(asked):
                raise UsageError(
                    f"{fold.folder} belongs to another experiment ({'; '.join(differences)} as asked for); "
                    "repeat its options, or name a new --output"
                )

    def require_own_files(self) -> None:
        """What stands for all folds must not be of other ones.

        Raises:
            UsageError: there is no fold, but something of folds that are gone.
        """
        of_all = (self.groups_file, self.marks_file, self.patients_file, self.study_file, self.external)
        if not self.folds_begun() and (left := [path.name for path in of_all if path.exists()]):
            raise UsageError(
                f"{self.folder} has {', '.join(left)} of a study whose folds are gone; remove them, or name a new "
                "--output"
            )

    @property
    def looked_over(self) -> bool:
        """Whether near-duplicates and marks of its images are known."""
        return self.groups_file.exists() and self.marks_file.exists()

    def write_looks(
        self, groups: Sequence[Sequence[str]], marks: Mapping[str, float], patients: Sequence[Sequence[str]]
    ) -> None:
        """Keeps what `groups`, `marks` and `patients` give."""
        if patients:
            write_text(self.patients_file, json.dumps([list(group) for group in patients], indent=1) + "\n")
        write_text(self.groups_file, json.dumps([list(group) for group in groups], indent=1) + "\n")
        rounded = {name: round(score, 2) for name, score in marks.items()}
        write_text(self.marks_file, json.dumps(rounded, indent=0) + "\n")

    def groups(self) -> list[list[str]]:
        """Near-duplicates among the images, names of two and more each."""
        found: list[list[str]] = _read_json(self.groups_file)
        return found

    def marks(self) -> dict[str, float]:
        """How much is drawn on each image, by name, as `data.marks.mark_score`."""
        found: dict[str, float] = _read_json(self.marks_file)
        return found

    def patients(self) -> list[list[str]]:
        """Images of one patient, names of two and more each; none where the data do not say."""
        return read_patients(self.folder)

    @property
    def external_source(self) -> ExternalSource | None:
        """The other folder that was scored; None where none was."""
        file = self.external / "source.json"
        if not file.exists():
            return None
        found = _read_json(file)
        left_out, unusable = (tuple(found.get(name, ())) for name in ("left_out", "unusable"))
        return ExternalSource(found["name"], found["fingerprint"], left_out, unusable)

    def splits(self) -> list[list[ImageScore]]:
        """As `by_fold`, without their numbers."""
        return list(self.by_fold().values())

    def by_fold(self) -> dict[int, list[ImageScore]]:
        """The scores that count, by each finished fold's number; of protocol `external`, those on the other folder.

        Raises:
            UsageError: a fold was scored last on another part, or folds of one partition hold out the same image; the
                other folder is not scored yet.
        """
        if self.experiment.protocol == "external":
            if self.external_source is None:
                raise UsageError(
                    f"{self.folder} has not scored the external folder yet; repeat its "
                    "study --protocol external --external FOLDER"
                )
            return {0: read_predictions(RunFiles(self.external).predictions_file)}
        scores = {fold: fold.scores() for fold in self.folds_finished()}
        if self.experiment.protocol in PARTITIONS:
            _require_disjoint(scores)
        return {fold.number: found for fold, found in scores.items()}

    def sum_up(self, resamples: int = RESAMPLES) -> Study:
        """The finished folds, pooled.

        Args:
            resamples: of the bootstrap.
        """
        epochs = [fold.epochs() for fold in self.folds_finished()]
        source = self.external_source
        return sum_up(
            self.experiment, self.splits(), epochs, self.groups(), self.marks(), source, resamples, self.patients()
        )

    def write(self, study: Study, table: str) -> None:
        """Writes `study.json`, `predictions.csv` and `table.md`."""
        with replacing(self.predictions_file) as part:
            write_predictions(part, study.scores)
        write_text(self.table_file, table + "\n")
        write_text(self.study_file, json.dumps(study.to_json(), indent=2) + "\n")


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise UsageError(
            f"{file} is damaged ({error}); restore an intact copy, or remove it and repeat the study with its --data"
        ) from None


def _require_disjoint(scores: Mapping[Fold, Sequence[ImageScore]]) -> None:
    """Each image is held out once."""
    held_out_by: dict[str, Fold] = {}
    for fold, of_fold in scores.items():
        for score in of_fold:
            other = held_out_by.setdefault(score.name, fold)
            if other is not fold:
                raise UsageError(
                    f"{other.folder} and {fold.folder.name} beside it both hold out {score.name}: they are folds of "
                    "two partitions; move one of them away and repeat its training"
                )
