"""What a training is asked for: options, presets, data, device and the weights that can be had, as an `Experiment`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from busi_keras.card import read_card
from busi_keras.config import FOLDED_PROTOCOLS, PRETRAINED_ENCODER_RATE, PROTOCOL_PRESETS, Experiment
from busi_keras.errors import UsageError
from busi_keras.models.backbone import resolve_weights, weights_fingerprint
from busi_keras.training.device import fastest_precision, gpu_names
from busi_keras.training.run import Run

SCHEDULES: dict[tuple[str, str], dict[str, Any]] = {
    ("phantom", "CPU"): {"epochs": 8, "batch_size": 8},
    ("phantom", "GPU"): {"epochs": 20},
    ("real", "CPU"): {"epochs": 20},
    ("real", "GPU"): {"epochs": 60},
}
"""How to train by default. Phantoms are a demonstration of minutes: their few images make more steps in small batches;
BUSI is hours on a CPU."""
FROZEN_EPOCHS = 2
"""How long a pretrained backbone waits for the heads; it learns in the last epoch at any rate."""


def asked_experiment(given: Mapping[str, Any]) -> Experiment:
    """The options alone, on the presets; refuses wrong values before anything is looked for or downloaded.

    Args:
        given: the fields of `Experiment` that were asked for.

    Raises:
        UsageError: a value is not one that the field can have.
    """
    presets = PROTOCOL_PRESETS.get(given.get("protocol", ""), {})
    options = {name: value for name, value in without_auto(given).items() if name != "weights"}
    return Experiment(**{"approach": "multitask", "data": "", **presets, **options})


def require_of_use(asked: Experiment, given: Mapping[str, Any]) -> None:
    """Refuses options that the protocol or the approach does not have, which would be passed over in silence, and those
    that undo what others are for."""
    has_folds, two_stages = asked.protocol in FOLDED_PROTOCOLS, asked.approach == "two-stage"
    require_folds(asked.protocol, given.get("folds"))
    folded = f"protocol {asked.protocol} has no folds; add --protocol {FOLDED_PROTOCOLS[0]}"
    staged = f"approach {asked.approach} has no U-Net of its own; add --approach two-stage"
    for name, of_use, reason in (
        *((name, has_folds, folded) for name in ("fold", "folds")),
        *((name, two_stages, staged) for name in ("segmenter", "width")),
    ):
        default = Experiment.__dataclass_fields__[name].default
        if not of_use and given.get(name, default) != default:
            raise UsageError(f"--{name} is {given[name]}, but {reason}, or leave --{name} out")
    for name, weight in (("mask", asked.mask_weight), ("label", asked.label_weight)):
        if two_stages and weight != 1:
            raise UsageError(
                f"--{name}-weight is {weight}, but in two-stage each network has but one loss; leave it out"
            )
        if weight == 0:
            raise UsageError(f"--{name}-weight is 0, and the {name} head would learn nothing; give more than 0")
    if asked.class_balance and asked.class_weighting:
        raise UsageError("--class-balance and --class-weighting both favour rare classes; leave one out")


def require_folds(protocol: str, asked: int | None) -> None:
    """Refuses another number of folds where the protocol fixes it."""
    fixed = PROTOCOL_PRESETS.get(protocol, {}).get("folds")
    if fixed and asked not in (None, fixed):
        raise UsageError(f"--folds is {asked}; protocol {protocol} has {fixed} splits: leave --folds out")


def without_auto(given: Mapping[str, Any]) -> dict[str, Any]:
    """Without `--weights auto` and `--precision auto`, which choose nothing."""
    return {name: v for name, v in given.items() if not (name in ("weights", "precision") and v == "auto")}


def resumed_experiment(given: Mapping[str, Any], run: Run, found: Mapping[str, Any]) -> Experiment:
    """A stored experiment, its weights where they lie now; what is asked for must be what it is.

    Args:
        given, found: as in `completed_experiment`.

    Raises:
        UsageError: the run was begun on other files or is another experiment's, or there are no such weights.
    """
    stored = run.experiment
    if stored.fingerprint != found["fingerprint"]:
        raise UsageError(f"{run.folder} was begun with different files; name its own folder with --data")
    options = without_auto(given)
    needless = run.model_file.exists() and not Path(options.get("weights", "")).exists()  # only their name is compared
    if options.get("weights") not in (None, "none", "imagenet") and not needless:
        options["weights"] = resolve_weights(options["weights"], stored.backbone)
        options["weights_fingerprint"] = weights_fingerprint(options["weights"])
    run.require({**found, **options})
    return replace(stored, **found, **options)


def completed_experiment(given: Mapping[str, Any], found: Mapping[str, Any], phantom: bool) -> Experiment:
    """What was asked for, with what follows from data, device and the weights that can be had.

    Args:
        given: the fields of `Experiment` that were asked for; `asked_experiment` has accepted them.
        found: those that data and process determine: `data`, `fingerprint`, `backend`.
        phantom: whether the data are phantoms.

    Raises:
        UsageError: there are no such weights, or they cannot be had; an option is for pretrained ones alone.
    """
    asked = asked_experiment(given)
    schedule = SCHEDULES["phantom" if phantom else "real", "GPU" if gpu_names() else "CPU"]
    fields = {name: value for name, value in schedule.items() if name not in given}
    fields |= {**found, "weights": resolve_weights(given.get("weights", "auto"), asked.backbone)}
    _require_single(fields["weights"])
    fields["weights_fingerprint"] = weights_fingerprint(fields["weights"])
    if given.get("precision", "auto") == "auto":
        fields["precision"] = fastest_precision()
    if fields["weights"] != "none":
        few = min(FROZEN_EPOCHS, fields.get("epochs", asked.epochs) - 1)
        fields["frozen_epochs"] = given.get("frozen_epochs", few)
        fields["encoder_rate"] = given.get("encoder_rate", PRETRAINED_ENCODER_RATE)
    else:
        _require_no_pretrained_encoder(given)
    return replace(asked, **fields)


def _require_single(weights: str) -> None:
    """Refuses an ensemble as starting weights, before any image is opened."""
    if Path(weights).suffix != ".keras":
        return
    try:
        members = read_card(Path(weights)).members
    except UsageError:
        return  # whoever loads the network says what is wrong with it
    if members > 1:
        raise UsageError(
            f"--weights {weights} is an ensemble of {members} networks, which cannot be trained further; give one that "
            "was trained with --members 1"
        )


def _require_no_pretrained_encoder(given: Mapping[str, Any]) -> None:
    for name in ("gradual_unfreezing", "encoder_rate"):
        if given.get(name, default := Experiment.__dataclass_fields__[name].default) != default:
            raise UsageError(
                f"--{name.replace('_', '-')} is for a pretrained backbone, and this one starts from scratch; give "
                "--weights imagenet or FILE, or leave it out"
            )
