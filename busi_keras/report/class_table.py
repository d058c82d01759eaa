"""Each class against the rest, in Markdown: the same table in a run's report and in a study's."""

from busi_keras.evaluation.scores import Metrics


def class_table(metrics: Metrics, digits: int = 4) -> str:
    """A row for each class, and for the means over those that have images; scores with so many decimals."""
    total = str(sum(metrics.n.values()))
    rows = [
        *(
            (name, (c.precision, c.recall, c.f1), str(c.support), number(c.auc, digits))
            for name, c in metrics.classes.items()
        ),
        ("macro mean", (metrics.macro_precision, metrics.macro_recall, metrics.macro_f1), total, ""),
        ("weighted mean", (metrics.weighted_precision, metrics.weighted_recall, metrics.weighted_f1), total, ""),
    ]
    header = ["| class | precision | recall | F1 | support | AUC against the rest |", "|---|---|---|---|---|---|"]
    lines = [
        f"| {name} | {' | '.join(number(score, digits) for score in scores)} | {support} | {auc} |"
        for name, scores, support, auc in rows
    ]
    return "\n".join([*header, *lines])


def number(value: float | None, digits: int = 4) -> str:
    """A score with so many decimals."""
    return "not defined" if value is None else f"{value:.{digits}f}"
