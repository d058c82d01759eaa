"""`train`: from images to a run: trained, measured, reported, exported."""

import datetime
import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console

from busi_keras.card import RESEARCH_USE, Card, attach_card, read_card
from busi_keras.config import MALIGNANT, PHANTOM, Experiment
from busi_keras.data.busi import Record, fingerprint
from busi_keras.data.patients import patients_among, united
from busi_keras.data.source import PHANTOM_NOTICE, Source, find_source
from busi_keras.data.split import PARTS, Split
from busi_keras.errors import UsageError
from busi_keras.evaluation.calibration import operating_point
from busi_keras.evaluation.evaluation import Evaluation, metrics_summary
from busi_keras.evaluation.failures import worst
from busi_keras.evaluation.intervals import group_numbers, metric_intervals
from busi_keras.files import UTF8, held, replacing, write_text
from busi_keras.inference.engines.keras import KerasEngine
from busi_keras.inference.predictor import Predictor
from busi_keras.models import build
from busi_keras.models.backbone import weights_exchanged
from busi_keras.models.precision import in_float32
from busi_keras.report.model_card import model_card
from busi_keras.training.batches import load_arrays
from busi_keras.training.calibrate import Calibration, calibrate
from busi_keras.training.checkpoint import Progress
from busi_keras.training.device import describe, prepare
from busi_keras.training.display import ConsoleDisplay
from busi_keras.training.plan import train
from busi_keras.training.run import Run
from busi_keras.training.tensorboard import TensorBoardLog
from busi_keras.workflows.console import progress_bar, stderr_console
from busi_keras.workflows.data_set import (
    class_counts,
    groups_among,
    new_split,
    part_records,
    source_of,
    stored_split,
)
from busi_keras.workflows.evaluate import evaluate_records, record_evaluation
from busi_keras.workflows.experiment import (
    asked_experiment,
    completed_experiment,
    require_of_use,
    resumed_experiment,
)
from busi_keras.workflows.export import export_run
from busi_keras.workflows.lineage import seen_before, start_of, trained_on
from busi_keras.workflows.models import RUNS

LIBRARIES = ("keras", "tensorflow", "jax", "torch", "numpy", "pillow", "scikit-learn", "scipy")


@dataclass(frozen=True)
class Trained:
    """What `train` leaves: the run, its scores as `metrics.json` has them, and where the model was exported to, or why
    it could not be."""

    run: Run
    metrics: dict[str, Any]
    exported: Path | None
    export_error: str = ""

    def to_json(self) -> dict[str, Any]:
        """What `train --json` prints."""
        return {
            "run": str(self.run.folder),
            "exported": str(self.exported) if self.exported else None,
            "metrics": self.metrics,
            **({"export_error": self.export_error} if self.export_error else {}),
        }

    def summary(self) -> str:
        """The scores, and where to look next."""
        lines = [metrics_summary(self.metrics), f"report: {self.run.report_file}"]
        if self.exported:
            lines.append(f"SavedModel: {self.exported}")
        if self.export_error:
            lines.append(f"No SavedModel: {self.export_error}")
        return "\n".join([*lines, RESEARCH_USE])


def run_training(
    given: Mapping[str, Any],
    data: str = "auto",
    run_dir: Path | None = None,
    resume: bool = False,
    export: bool = True,
    tensorboard: bool = False,
    near_duplicates: Sequence[Sequence[str]] | None = None,
) -> Trained:
    """Trains an experiment, measures it, writes its run folder and exports it.

    Args:
        given: the fields of `Experiment` that were asked for; None, or not there, for those that follow from preset,
            data and device.
        data: `auto`, `phantom` or a folder; for a run that goes on, `auto` is the folder that it began with.
        run_dir: where to; by default `runs/APPROACH-TIME/`.
        resume: go on with what `run_dir` holds; starts where there is nothing yet, ends at once where it is finished.
        export: whether to write a SavedModel.
        tensorboard: whether to write TensorBoard logs.
        near_duplicates: their groups among the images, where they are known; None to look for them.

    Raises:
        UsageError: options, data, weights or folder are not as they must be, or another process trains in the folder.
    """
    if resume and run_dir is None:
        raise UsageError("--resume needs the run to go on with: --run-dir FOLDER")
    console = stderr_console()
    given = {name: value for name, value in given.items() if value is not None}
    begun = Run(run_dir) if resume and run_dir and Run(run_dir).experiment_file.exists() else None
    if begun is None:
        require_of_use(asked_experiment(given), given)
    if begun and begun.model_file.exists():
        _require_same(begun, given, data)
        if begun.experiment.data == PHANTOM:
            console.print(PHANTOM_NOTICE, style="bold yellow")
        console.print(f"{begun.folder} is finished already")
        with held(begun.folder):
            if tensorboard:
                _log_again(begun)
            return _finished(begun, export)
    source = find_source(data) if begun is None else source_of(begun, data)
    if source.phantom:
        console.print(PHANTOM_NOTICE, style="bold yellow")
    records = source.records()
    found = {"data": source.name, "fingerprint": fingerprint(records), "backend": keras.backend.backend()}
    experiment = (
        resumed_experiment(given, begun, found) if begun else completed_experiment(given, found, source.phantom)
    )
    folder = run_dir or RUNS / f"{experiment.approach}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    with held(folder):
        run = Run.open(folder, experiment, resume)
        if not run.model_file.exists():
            _train(run, experiment, source, records, console, tensorboard, near_duplicates)
        return _finished(run, export)


def _require_same(run: Run, given: Mapping[str, Any], data: str) -> None:
    """Refuses a finished run that is not what is asked for; its images are needed only where they are named."""
    stored = run.experiment
    files = stored.fingerprint if data == "auto" else fingerprint(find_source(data).records())
    found = {"data": stored.data, "fingerprint": files, "backend": keras.backend.backend()}
    resumed_experiment(given, run, found)


def _finished(run: Run, export: bool) -> Trained:
    """What a finished run gives; its SavedModel is written where it is wanted and not there."""
    export_error = _export(run) if export else ""
    exported = _exported(run) if export and not export_error else None
    return Trained(run, read_card(run.model_file).scores, exported, export_error)


def _log_again(run: Run) -> None:
    """A finished run's curves for TensorBoard."""
    log, history = TensorBoardLog(run.tensorboard), run.history()
    for stage in dict.fromkeys(row["stage"] for row in history):
        log.begin(stage, [row for row in history if row["stage"] == stage])


def _exported(run: Run) -> Path | None:
    """Where a run's SavedModel is; None where there is none, or none any more."""
    if not run.export_file.exists():
        return None
    path, here = Path(run.export_file.read_text(**UTF8).strip()), Path.cwd()
    if not path.exists():
        return None
    return path.relative_to(here) if path.is_relative_to(here) else path


def _export(run: Run) -> str:
    """Writes a run's SavedModel where it is not there; gives what went wrong: the run is whole all the same."""
    if _exported(run):
        return ""
    try:
        write_text(run.export_file, f"{export_run(run.folder).resolve()}\n")
    except UsageError as error:
        return f"{error}; the run itself is complete; try again: python cli.py export {run.folder}"
    return ""


def _train(
    run: Run,
    experiment: Experiment,
    source: Source,
    records: Sequence[Record],
    console: Console,
    tensorboard: bool,
    near_duplicates: Sequence[Sequence[str]] | None,
) -> None:
    """Trains and scores; `model.keras` is written last and marks the run as finished."""
    prepare(experiment)
    log = TensorBoardLog(run.tensorboard) if tensorboard else None
    _announce(console, experiment, source, run)
    if run.experiment_file.exists():
        split = stored_split(run, records)
    else:
        doing = "opening images" if near_duplicates is not None else "opening images, looking for near-duplicates"
        with progress_bar(doing, len(records), console) as advance:
            split = new_split(experiment, records, advance, near_duplicates)
    parts = {part: part_records(experiment, split, part, records) for part in PARTS}
    with progress_bar("loading images", len(split.train) + len(split.validation), console) as advance:
        training, validation = (
            load_arrays(parts[part], experiment.image_size, advance) for part in ("train", "validation")
        )
    model = _build(run, experiment)
    if not run.experiment_file.exists():
        run.begin(experiment, split, source.folder)
    console.print(
        f"{len(training)} images for training, {len(validation)} for validation, {len(split.test)} held out for testing"
    )

    display = ConsoleDisplay(console, log)
    start, lineage = start_of(experiment), trained_on(experiment)  # now: hours later the file may be another
    try:
        model, progress = train(model, experiment, run, training, validation, display)
    finally:
        display.stop()
    model = in_float32(model)  # what is fitted and scored is what every stored format computes
    calibration = calibrate(model, training, validation, experiment.batch_size)
    card = _card(experiment, parts, progress, split, calibration, start, lineage)
    predictor = Predictor(KerasEngine(model), card, experiment.batch_size)
    with progress_bar(f"scoring {split.scored} images", len(parts[split.scored]), console) as advance:
        evaluation = evaluate_records(predictor, experiment, split.scored, parts[split.scored], advance)
    record_evaluation(run, evaluation, predictor, parts[evaluation.split])
    card = replace(
        card,
        scores=evaluation.to_json(),
        failures=tuple(worst(evaluation.scores)),
        operating=_operating(evaluation, card.thresholds),
        intervals=_intervals(evaluation, parts[split.scored], near_duplicates, console),
    )
    write_text(run.model_card_file, model_card(card))
    save_model(model, card, run.model_file)


def _build(run: Run, experiment: Experiment) -> keras.Model:
    """The network with its starting weights, which a run that goes on needs for the stages that have not begun.

    Raises:
        UsageError: as `build`; the weights of a run that goes on are others than it was begun with.
    """
    if run.experiment_file.exists() and weights_exchanged(experiment.weights, experiment.weights_fingerprint):
        raise UsageError(
            f"{experiment.weights} is not the file that {run.folder} was begun with; put that back, or start a new run"
        )
    try:
        return build(experiment)
    except UsageError as error:
        if not run.experiment_file.exists():
            raise
        raise UsageError(
            f"{error}. {run.folder} was begun with these weights: put them back, and run it again"
        ) from None


def _intervals(
    evaluation: Evaluation,
    records: Sequence[Record],
    near_duplicates: Sequence[Sequence[str]] | None,
    console: Console,
) -> dict[str, tuple[float, float]]:
    """How sure the headline scores are; of those that have an interval."""
    if near_duplicates is None:
        with progress_bar("looking for near-duplicates among them", len(records), console) as advance:
            near_duplicates = groups_among(records, progress=advance)
    names = [score.name for score in evaluation.scores]
    together = united(near_duplicates, patients_among(records))
    found = metric_intervals(evaluation.scores, group_numbers(names, together))
    return {name: (one.low, one.high) for name, one in found.items() if one.low is not None and one.high is not None}


def _operating(evaluation: Evaluation, thresholds: Mapping[str, float]) -> dict[str, dict[str, float | None]]:
    """What each threshold does on images that did not choose it; empty where there are only those that did."""
    if evaluation.split == "validation":
        return {}
    probability = np.array([score.probabilities[MALIGNANT] for score in evaluation.scores])
    malignant = np.array([score.label == MALIGNANT for score in evaluation.scores])
    return {name: asdict(operating_point(probability, malignant, value)) for name, value in thresholds.items()}


def save_model(model: keras.Model, card: Card, path: Path) -> None:
    """Writes a `.keras` file with its card, whole or not at all."""
    with replacing(path) as part:
        model.save(part)
        attach_card(part, card)


def _announce(console: Console, experiment: Experiment, source: Source, run: Run) -> None:
    console.print(f"{experiment.approach} on {source.folder}, protocol {experiment.protocol}; run folder {run.folder}")
    console.print(f"running on {describe(experiment)}")
    start = {"none": "from scratch", "imagenet": "from ImageNet weights"}.get(
        experiment.weights, f"from {Path(experiment.weights).name}"
    )
    networks = "" if experiment.members == 1 else f"{experiment.members} networks, one after the other; "
    console.print(f"{networks}{experiment.backbone} starts {start}; {experiment.epochs} epochs at most")
    if seen := seen_before(experiment.weights, experiment.fingerprint, experiment.data):
        console.print(f"{Path(experiment.weights).name} {seen}: scores may be too optimistic", style="bold yellow")


def _card(
    experiment: Experiment,
    parts: Mapping[str, list[Record]],
    progress: Mapping[str, Progress],
    split: Split,
    calibration: Calibration,
    start: str,
    lineage: dict[str, str] | None,
) -> Card:
    return Card(
        approach=experiment.approach,
        image_size=experiment.image_size,
        data=experiment.data,
        counts={part: class_counts(records) for part, records in parts.items()},
        protocol=experiment.protocol,
        weights=start,
        backbone=experiment.backbone,
        epochs={stage: {"trained": done.epoch + 1, "chosen": done.best_epoch + 1} for stage, done in progress.items()},
        scored=split.scored,
        scores={},
        versions=versions(),
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        temperature=calibration.temperature,
        thresholds=calibration.thresholds,
        novelty_threshold=calibration.novelty_threshold,
        trained_on=lineage,
    )


def versions() -> dict[str, str]:
    """Of Python and of those libraries that are installed."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
