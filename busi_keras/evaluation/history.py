"""What the history of a training says: the epoch that was chosen, and the last."""

from collections.abc import Sequence
from typing import Any

KEPT = ("epoch", "val_dice", "val_iou", "val_accuracy")


def chosen_and_last(history: Sequence[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """The chosen epoch of each stage of a training and its last one, as validation had them at the network's size.

    Args:
        history: the rows of `history.jsonl`.

    Returns:
        By stage, `{"chosen": row, "last": row}`; epochs are counted from 0.
    """
    found = {}
    for stage in dict.fromkeys(row["stage"] for row in history):
        rows = [row for row in history if row["stage"] == stage]
        best = max(rows, key=lambda row: (row["val_score"], -row["epoch"]))
        found[stage] = {
            kind: {name: row[name] for name in KEPT if name in row}
            for kind, row in (("chosen", best), ("last", rows[-1]))
        }
    return found
