"""What a network has been trained on, it and those that it started from: it must not be held out from it later."""

from pathlib import Path

from busi_keras.card import read_card
from busi_keras.config import Experiment
from busi_keras.errors import UsageError

_WHICH = ", which "
UNKNOWN = "does not say what it was trained on, possibly images that are held out here"


def trained_on(experiment: Experiment) -> dict[str, str] | None:
    """What an experiment's network has seen when it ends, as `Card` has it."""
    own = {experiment.fingerprint: experiment.data}
    if not _is_network(experiment.weights):
        return own
    before = _of_network(experiment.weights)
    return None if before is None else {**before, **own}


def seen_before(weights: str, fingerprint: str, data: str) -> str:
    """What a stored network that training starts from may have seen of a data set, as the end of a sentence; empty
    where it has seen nothing of it.

    A data set is known by its files and, since one may have gained or lost some, by its name.

    Args:
        weights, fingerprint, data: as in `Experiment`.
    """
    if not _is_network(weights):
        return ""
    seen = _of_network(weights)
    if seen is None:
        return UNKNOWN
    if fingerprint in seen or data in seen.values():
        return f"was trained on {seen.get(fingerprint, data)}, possibly on images that are held out here"
    return ""


def start_of(experiment: Experiment) -> str:
    """What an experiment's network starts from, as `Card.weights` has it."""
    seen = seen_before(experiment.weights, experiment.fingerprint, experiment.data)
    return f"{_named(experiment)}{_WHICH}{seen}" if seen else _named(experiment)


def says_seen(start: str, experiment: Experiment) -> bool:
    """Whether what `start_of` gave when the experiment began says that its start may have seen the images."""
    return start.startswith(f"{_named(experiment)}{_WHICH}")


def _named(experiment: Experiment) -> str:
    return Path(experiment.weights).name  # also of `imagenet` and `none`


def _is_network(weights: str) -> bool:
    return Path(weights).suffix == ".keras"


def _of_network(weights: str) -> dict[str, str] | None:
    try:
        return read_card(Path(weights)).trained_on
    except UsageError:
        return None
