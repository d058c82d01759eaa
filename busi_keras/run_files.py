"""Where a run's files lie in its folder."""

from pathlib import Path

from busi_keras.card import MODEL_CARD_FILE


class RunFiles:
    """The files of a run, whether they are there or not.

    Args:
        folder: `experiment.json`, `split.json`, `data.txt`, `history.jsonl`, `checkpoint/`, `tensorboard/`,
            `model.keras`, `metrics.json`, `predictions.csv`, `figures/`, `report.md`, `model_card.md` and
            `exported.txt` lie here.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.experiment_file = folder / "experiment.json"
        self.split_file = folder / "split.json"
        self.data_file = folder / "data.txt"
        self.history_file = folder / "history.jsonl"
        self.checkpoint_folder = folder / "checkpoint"
        self.tensorboard = folder / "tensorboard"
        self.model_file = folder / "model.keras"
        self.metrics_file = folder / "metrics.json"
        self.predictions_file = folder / "predictions.csv"
        self.figures = folder / "figures"
        self.report_file = folder / "report.md"
        self.model_card_file = folder / MODEL_CARD_FILE
        self.export_file = folder / "exported.txt"

    @property
    def numbers(self) -> tuple[Path, ...]:
        """What a study needs of a fold, and all that is kept of a run once its network is gone."""
        return (self.metrics_file, self.predictions_file, self.history_file, self.experiment_file, self.split_file)


def network_file(path: Path) -> Path:
    """The network in a run's folder; a file is one itself."""
    return RunFiles(path).model_file if path.is_dir() else path
