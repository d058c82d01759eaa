"""Each class against the rest, in Markdown: the same table for a run, its model card and a study."""

from collections.abc import Mapping
from typing import Any

from busi_keras.report.markdown import number, table

CLASS_SCORES = {
    "precision": "precision",
    "recall": "recall (sensitivity)",
    "specificity": "specificity",
    "f1": "F1",
    "support": "support",
    "auc": "AUC against the rest",
}
MEANS = ("macro", "weighted")


def class_table(metrics: Mapping[str, Any], digits: int = 4) -> str:
    """A row for each class, and for the means over those that have images; scores with so many decimals.

    Args:
        metrics: `Metrics` as JSON; one that was stored before a score was known lacks it.
    """
    rows = [[name, *_cells(found, digits)] for name, found in metrics["classes"].items()]
    for kind in MEANS:
        mean = {score: metrics.get(f"{kind}_{score}") for score in ("precision", "recall", "f1")}
        of_all = {"support": sum(metrics["n"].values()), "specificity": "", "auc": ""}
        rows.append([f"{kind} mean", *_cells(mean | of_all, digits)])
    return table(["class", *CLASS_SCORES.values()], rows)


def _cells(found: Mapping[str, Any], digits: int) -> list[str]:
    values = (found.get(score) for score in CLASS_SCORES)
    return [str(value) if isinstance(value, int | str) else number(value, digits) for value in values]
