"""How a run or a study was made: `made.json`."""

import json
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from busi_keras.card import read_card
from busi_keras.config import PRETRAINED_ENCODER_RATE, PROTOCOL_PRESETS, Experiment
from busi_keras.evaluation.history import chosen_and_last
from busi_keras.evaluation.study_folder import StudyFolder
from busi_keras.training.run import Run

MADE_FILE = "made.json"


def shared_experiment(run: Run) -> Experiment:
    """A run's experiment, its weights file without the folder it lies in on this machine."""
    experiment = run.experiment
    return replace(experiment, weights=Path(experiment.weights).name)


def made(run: Run) -> dict[str, Any]:
    """Command, date, machine, versions, epochs and minutes of a run that was trained here.

    Of one whose network is not here, what it brought along from where it was trained, else what is still known: no
    date, machine and versions.
    """
    from busi_keras.inference.processor import processor_name

    brought = run.folder / MADE_FILE
    if not run.model_file.exists() and brought.exists():
        found: dict[str, Any] = json.loads(brought.read_text())
        return found
    card = read_card(run.model_file) if run.model_file.exists() else None
    return {
        "command": command("train", shared_experiment(run)),
        "date": card and card.date,
        "processor": card and processor_name(),
        "cores": card and os.cpu_count(),
        "versions": card and card.versions,
        "epochs": _epochs(run),
        "training_minutes": round(sum(row["seconds"] for row in run.history()) / 60, 1),
    }


def study_command(study: StudyFolder) -> str:
    """The command that repeats all folds of a study."""
    experiment = replace(study.experiment, fold=0, weights=Path(study.experiment.weights).name)
    external = f" --external {study.external_source.name}" if study.external_source else ""
    return f"{command('study', experiment)}{external} --output studies/{study.folder.resolve().name}"


def command(verb: str, experiment: Experiment) -> str:
    """The command that repeats an experiment; data and weights file stand there without their folders.

    Args:
        verb: `train` or `study`.
    """
    defaults = Experiment(experiment.approach, experiment.data)
    defaults = replace(defaults, **PROTOCOL_PRESETS.get(experiment.protocol, {}))
    if experiment.pretrained:
        defaults = replace(defaults, encoder_rate=PRETRAINED_ENCODER_RATE)
    follows = {"approach", "data", "fingerprint", "weights_fingerprint", "frozen_epochs"}
    always = {"backbone", "weights", "epochs", *(("protocol",) if verb == "study" else ())}
    given = [
        _option(field.name, getattr(experiment, field.name))
        for field in fields(experiment)
        if field.name in always
        or (field.name not in follows and getattr(experiment, field.name) != getattr(defaults, field.name))
    ]
    return " ".join([f"python cli.py {verb} --approach", experiment.approach, "--data", experiment.data, *given])


def _option(name: str, value: Any) -> str:
    option = f"--{name.replace('_', '-')}"
    return option if value is True else f"{option} {value}"


def _epochs(run: Run) -> dict[str, dict[str, int]]:
    """Of each stage, epochs trained and the one chosen, counted from 1."""
    return {
        stage: {"trained": rows["last"]["epoch"] + 1, "chosen": rows["chosen"]["epoch"] + 1}
        for stage, rows in chosen_and_last(run.history()).items()
    }
