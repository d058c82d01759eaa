"""What one part of a split gave: scores, heat maps, and how to read them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from busi_keras.evaluation.faithfulness import Faithfulness, Perturbation, mean_curves, summarize_faithfulness
from busi_keras.evaluation.scores import ImageScore, Metrics


@dataclass(frozen=True)
class Evaluation:
    """Scores of one part of a split.

    Attributes:
        split: `train`, `validation`, `test` or `external`.
        metrics: over all images.
        scores: of each image.
        faithfulness: of each image's heat map, Grad-CAM of the predicted class.
        note: how the numbers must be read; empty where there is nothing to say.
    """

    split: str
    metrics: Metrics
    scores: tuple[ImageScore, ...]
    faithfulness: tuple[Faithfulness, ...]
    note: str

    def to_json(self) -> dict[str, Any]:
        """What `evaluate --json` prints and `metrics.json` holds."""
        return {"split": self.split, **asdict(self.metrics), "heat_maps": self.heat_maps, "note": self.note}

    @property
    def heat_maps(self) -> dict[str, dict[str, float | None]]:
        """Means a class of what was measured of the heat maps."""
        return summarize_faithfulness([score.label for score in self.scores], self.faithfulness)

    @property
    def curves(self) -> dict[str, Perturbation]:
        """Means a class of how the probability falls and rises, as `mean_curves`."""
        return mean_curves([score.label for score in self.scores], self.faithfulness)

    def summary(self) -> str:
        """The headline numbers, a line each, with how to read them."""
        return metrics_summary(self.to_json())


def metrics_summary(metrics: Mapping[str, Any]) -> str:
    """The headline numbers of `Evaluation.to_json`, a line each, with how to read them."""
    rows = {
        "Dice, mean over images": metrics["dice"],
        "IoU, mean over images": metrics["iou"],
        "Dice, lesion images": metrics["lesion_dice"],
        "normal images left clean": metrics["normal_clean"],
        "accuracy": metrics["accuracy"],
        "macro F1": metrics["macro_f1"],
        "AUC malignant against the rest": metrics["auc"]["malignant"],
        "calibration error": metrics["calibration_error"],
        "flagged as unlike the training": metrics.get("novel"),
    }
    lines = [f"scores on {sum(metrics['n'].values())} {metrics['split']} images"]
    lines += [f"  {name:<32}{'not defined' if v is None else f'{v:.4f}'}" for name, v in rows.items()]
    return "\n".join([*lines, *([metrics["note"]] if metrics["note"] else [])])
