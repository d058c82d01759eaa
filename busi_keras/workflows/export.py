"""`export`: a run in a format that goes into production."""

from pathlib import Path

from busi_keras.card import read_card
from busi_keras.errors import UsageError
from busi_keras.export.saved_model import export_saved_model

FORMATS = ("saved-model",)
SAVED_MODELS = Path("saved_models")


def export_run(run: Path, export_format: str = "saved-model", output: Path | None = None) -> Path:
    """Exports a run or a `.keras` file.

    Args:
        output: the model's folder; by default `saved_models/APPROACH`.

    Returns:
        What was written: for a SavedModel, the version's folder.

    Raises:
        UsageError: the run is not finished, the format is not known, or TensorFlow is not installed.
    """
    if export_format not in FORMATS:
        raise UsageError(f"--format is {export_format}; it must be one of {', '.join(FORMATS)}")
    model_file = run / "model.keras" if run.is_dir() else run
    card = read_card(model_file)
    return export_saved_model(model_file, output or SAVED_MODELS / card.approach)
