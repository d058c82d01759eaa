"""Protocol `external`: a network that was trained on one source, scored on another."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from busi_keras.data.busi import Record, fingerprint, natural_order
from busi_keras.data.patients import patients_among, united
from busi_keras.data.source import find_source
from busi_keras.errors import UsageError
from busi_keras.evaluation.predictions import write_predictions
from busi_keras.evaluation.study import ExternalSource
from busi_keras.evaluation.study_folder import StudyFolder
from busi_keras.files import replacing_folder
from busi_keras.inference.predictor import Predictor
from busi_keras.run_files import RunFiles
from busi_keras.training.run import Run
from busi_keras.workflows.console import progress_bar
from busi_keras.workflows.data_set import records_of, usable
from busi_keras.workflows.evaluate import evaluate_records
from busi_keras.workflows.looks import look_over

TRAINED = "trained on: "
SHOWN = 5

log = logging.getLogger(__name__)


def look_at_external(folder: Path, trained: str, skip_bad: bool) -> tuple[str, str]:
    """Refuses, before anything is trained, a folder that could not be scored afterwards; opens every file.

    Args:
        folder: in BUSI's layout; classes may be missing.
        trained: fingerprint of the images that are trained on.
        skip_bad: leave out images whose files are broken or incomplete.

    Returns:
        Its fingerprint and its name.

    Raises:
        UsageError: it is no such folder, it holds what is trained on, or files are broken and `skip_bad` is not set.
    """
    source = find_source(str(folder))
    records = source.records()
    found = fingerprint(records)
    _require_another(folder, found, trained)
    with progress_bar(f"opening images of {source.name}", len(records)) as advance:
        usable(records, skip_bad, advance)
    return found, source.name


def score_external(study: StudyFolder, folder: Path, data: str = "auto") -> None:
    """Scores the study's network on another folder, once, and keeps what was found of that folder's images.

    Images that show a frame of the training folder are left out, with a warning; so are unusable ones, as in training.

    Args:
        folder: in BUSI's layout; classes may be missing.
        data: where the images are that were trained on; as in `data_set.source_of`.

    Raises:
        UsageError: the folder is the training folder or another than was scored before, cannot be read, or all of its
            images are left out.
    """
    source = find_source(str(folder))
    records = source.records()
    found = fingerprint(records)
    before = study.external_source
    if before is not None:
        if before.fingerprint != found:
            raise UsageError(
                f"{study.external} has scores of {before.name}, but the files in {folder} are different; "
                "name that folder with --external, or a new --output"
            )
        return
    run = Run(study.fold(0).folder)
    _require_another(folder, found, run.experiment.fingerprint)
    good = usable(records, run.experiment.skip_bad)
    shared = _look_over(study, records_of(run, data), good)
    left_out = [record.name for record in good if record.name in shared]
    chosen = [record for record in good if record.name not in shared]
    if left_out:
        log.warning(
            "%d of %d images of %s show frames, or are of patients, that were trained on; they are not scored: %s",
            len(left_out), len(good), folder,
            ", ".join(left_out[:SHOWN]) + (", ..." if len(left_out) > SHOWN else ""),
        )  # fmt: skip
    if not chosen:
        raise UsageError(
            f"every usable image of {folder} shows a frame, or is of a patient, that was trained on; name another "
            "source's folder"
        )
    predictor = Predictor.load(run.folder)
    with progress_bar(f"scoring images of {source.name}", len(chosen)) as advance:
        evaluation = evaluate_records(predictor, run.experiment, "external", chosen, advance)
    with replacing_folder(study.external) as part:
        files = RunFiles(part)
        write_predictions(files.predictions_file, evaluation.scores)
        files.metrics_file.write_text(json.dumps(evaluation.to_json(), indent=2) + "\n")
        unusable = {record.name for record in records} - {record.name for record in good}
        kept = ExternalSource(source.name, found, tuple(left_out), tuple(sorted(unusable, key=natural_order)))
        (part / "source.json").write_text(json.dumps(asdict(kept), indent=1) + "\n")


def _require_another(folder: Path, found: str, trained: str) -> None:
    if found == trained:
        raise UsageError(f"--external {folder} holds the files that are trained on; name another source's folder")


def _look_over(study: StudyFolder, trained: Sequence[Record], external: Sequence[Record]) -> set[str]:
    """Keeps what is to be known of the external images; gives the names of those that show a frame that was trained on,
    and of the other images of their patients."""
    looks = look_over([*(replace(record, name=TRAINED + record.name) for record in trained), *external])
    names = {record.name for record in external}
    groups = [[name for name in group if name in names] for group in looks.groups]
    study.write_looks(
        [group for group in groups if len(group) > 1],
        {name: score for name, score in looks.marks.items() if name in names},
        patients_among(external),
    )
    together = united(looks.groups, looks.patients)
    return {name for group in together if not names.issuperset(group) for name in names.intersection(group)}
