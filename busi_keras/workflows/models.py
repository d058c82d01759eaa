"""Which stored model a command means."""

from pathlib import Path

from busi_keras.errors import UsageError
from busi_keras.inference.predictor import Predictor
from busi_keras.workflows.console import stderr_console

RUNS = Path("runs")


def load_predictor(model: Path | None, server: str | None = None) -> Predictor:
    """The predictor of a run or file, or of a served model; of the newest finished run where none is named.

    Raises:
        UsageError: there is no such model or server, or none at all, or both are named.
    """
    if server is not None:
        if model is not None:
            raise UsageError(f"--server {server} and --model {model} name two models; leave one out")
        return Predictor.connect(server)
    if model is None:
        model = newest_run(RUNS)
        stderr_console().print(f"model: {model}, the newest run")
    return Predictor.load(model)


def newest_run(runs: Path) -> Path:
    """The run that was finished last in a folder of runs.

    Raises:
        UsageError: there is none.
    """
    models = sorted(runs.glob("*/model.keras"), key=lambda path: path.stat().st_mtime)
    if not models:
        raise UsageError(
            f"there is no trained model in {runs}/; train one first: python cli.py train --approach multitask"
        )
    return models[-1].parent
