"""`study`: one protocol from its first fold to its table; stop it when you like, repeat the command, and it goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras

from busi_keras.config import FOLDED_PROTOCOLS, PROTOCOL_PRESETS, PROTOCOLS, Experiment
from busi_keras.data.busi import Record, fingerprint
from busi_keras.data.patients import PATIENTS_FILE, patients_among
from busi_keras.data.source import find_source
from busi_keras.errors import UsageError
from busi_keras.evaluation.study import Study
from busi_keras.evaluation.study_folder import Fold, StudyFolder
from busi_keras.models.backbone import weights_fingerprint
from busi_keras.report.plots import plot_reliability
from busi_keras.report.study_table import study_table
from busi_keras.training.run import Run
from busi_keras.workflows.data_set import records_of, source_of
from busi_keras.workflows.experiment import require_folds, without_auto
from busi_keras.workflows.external import look_at_external, score_external
from busi_keras.workflows.lineage import seen_before
from busi_keras.workflows.looks import look_over_study
from busi_keras.workflows.train import run_training

STUDIES = Path("studies")


@dataclass(frozen=True)
class Studied:
    """What `study` leaves: a study and its folder."""

    folder: Path
    study: Study

    def summary(self) -> str:
        """The table, and where all numbers are."""
        return f"{study_table(self.study)}\n\nAll numbers: {StudyFolder(self.folder).study_file}"


def run_study(
    given: Mapping[str, Any],
    data: str = "auto",
    folder: Path | None = None,
    external: Path | None = None,
    resamples: int = 1000,
) -> Studied:
    """Trains and scores every fold of a protocol, and sums up.

    Folds that are there are gone on with; a finished one needs its numbers alone (`RunFiles.numbers`), not its
    network. New folds are trained as the first was, whatever the defaults are on this machine.

    Args:
        given: as in `run_training`; with `protocol`, any but `grouped`.
        data: as in `run_training`.
        folder: where to; by default `studies/PROTOCOL-APPROACH/`.
        external: the folder that protocol `external` scores, in BUSI's layout.
        resamples: of the bootstrap.

    Raises:
        UsageError: options, data or folder are not as they must be.
    """
    options = without_auto({name: value for name, value in given.items() if value is not None})
    options["protocol"] = protocol = _protocol(options.get("protocol", "kfold"), external)
    folds = _folds(protocol, options.pop("folds", None))
    if protocol in FOLDED_PROTOCOLS:
        options["folds"] = folds
    if fingerprint := weights_fingerprint(options.get("weights", "")):
        options["weights_fingerprint"] = fingerprint
    study = StudyFolder(folder or STUDIES / f"{protocol}-{options.get('approach', 'multitask')}")
    unfinished = [fold for fold in map(study.fold, range(folds)) if not fold.finished]
    study.require_own_files()
    study.require(options | ({"backend": keras.backend.backend()} if unfinished else {}))
    if study.folds_begun() and (unfinished or data != "auto"):
        records = records_of(Run(study.folds_begun()[0].folder), data)  # refuses other images than those it began with
        _require_same_patients(study, records)
    if unfinished:
        _require_honest(study, options, data, external)
    for fold in unfinished:
        if study.folds_finished():
            look_over_study(study, data)  # for `compare`, and for the next fold's split
        _train(study, fold, options, data)
    _require_complete(study, folds)
    look_over_study(study, data)
    if external:
        score_external(study, external, data)
    study.require_one_experiment()
    found = study.sum_up(resamples)
    if found.reliability is not None:
        plot_reliability(found.scores, study.reliability_file)
    study.write(found, study_table(found))
    return Studied(study.folder, found)


def _protocol(protocol: str, external: Path | None) -> str:
    allowed = [name for name in PROTOCOLS if name != "grouped"]
    if protocol not in allowed:
        raise UsageError(f"--protocol is {protocol!r}; a study has one of {', '.join(allowed)}")
    if (protocol == "external") != (external is not None):
        raise UsageError(f"--protocol is {protocol}; --external FOLDER goes with --protocol external, and only with it")
    return protocol


def _folds(protocol: str, asked: int | None) -> int:
    if protocol not in FOLDED_PROTOCOLS:
        if asked is not None:
            raise UsageError(f"--folds is {asked}, but protocol {protocol} has no folds; leave --folds out")
        return 1
    require_folds(protocol, asked)
    folds: int = PROTOCOL_PRESETS.get(protocol, {}).get("folds") or (Experiment.folds if asked is None else asked)
    if folds < 2:
        raise UsageError(f"--folds is {folds}; it must be at least 2")
    return folds


def _require_honest(study: StudyFolder, options: Mapping[str, Any], data: str, external: Path | None) -> None:
    """Before anything is trained: a network that has seen images that it is scored on gives no honest number."""
    begun = study.folds_begun()
    weights = options.get("weights") or (begun[0].experiment.weights if begun else "none")
    if not external and Path(weights).suffix != ".keras":
        return
    source = source_of(Run(begun[0].folder), data) if begun else find_source(data)
    scored, name = fingerprint(source.records()), source.name
    if external:
        skip_bad = begun[0].experiment.skip_bad if begun else bool(options.get("skip_bad"))
        scored, name = look_at_external(external, scored, skip_bad)
    if Path(weights).exists() and (seen := seen_before(weights, scored, name)):
        raise UsageError(
            f"--weights {weights} {seen}; a study needs weights that have seen none of the images that it scores"
        )


def _require_same_patients(study: StudyFolder, records: Sequence[Record]) -> None:
    """Folds that were split with other patients would be folds of another partition."""
    if not study.looked_over or study.experiment.protocol == "external":
        return
    then, now = ({frozenset(patient) for patient in found} for found in (study.patients(), patients_among(records)))
    if then != now:
        raise UsageError(
            f"{PATIENTS_FILE} beside the images has changed since {study.folder} began; put it back as it was, or name "
            "a new --output"
        )


def _train(study: StudyFolder, fold: Fold, options: Mapping[str, Any], data: str) -> None:
    number = {"fold": fold.number} if "folds" in options else {}
    if study.folds_begun():
        if not fold.begun:
            options = {**_as_begun(study.experiment), **options}
        data = str(source_of(Run(study.folds_begun()[0].folder), data).folder.resolve())
    whole = options.get("limit") is None and options["protocol"] != "external"
    known = study.groups() if whole and study.looked_over else None  # of all images that it trains and scores
    run_training({**options, **number}, data, fold.folder, resume=True, export=False, near_duplicates=known)


def _require_complete(study: StudyFolder, folds: int) -> None:
    """A fold whose network is there without its numbers is trained no more, and must not be left out unsaid."""
    for fold in map(study.fold, range(folds)):
        if not fold.finished:
            lacking = ", ".join(file.name for file in fold.numbers if not file.exists())
            raise UsageError(
                f"{fold.folder} is trained, but lacks {lacking}; put back what is missing (python cli.py evaluate "
                f"{fold.folder} makes metrics.json and predictions.csv anew), or move the folder away"
            )


def _as_begun(experiment: Experiment) -> dict[str, Any]:
    """The options that repeat an experiment; what follows from the data and the machine is found out anew."""
    follows = ("data", "fingerprint", "weights_fingerprint", "backend")
    return {name: value for name, value in asdict(experiment).items() if name not in follows}
