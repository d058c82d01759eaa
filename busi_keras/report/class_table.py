"""Each class against the rest, in Markdown: the same table in a run's report and in a study's."""

from busi_keras.evaluation.scores import Metrics

HEADER = (
    "| class | precision | recall (sensitivity) | specificity | F1 | support | AUC against the rest |",
    "|---|---|---|---|---|---|---|",
)


def class_table(metrics: Metrics, digits: int = 4) -> str:
    """A row for each class, and for the means over those that have images; scores with so many decimals."""
    total = str(sum(metrics.n.values()))

    def shown(value: float | None) -> str:
        return number(value, digits)

    rows = [
        *(
            (name, shown(c.precision), shown(c.recall), shown(c.specificity), shown(c.f1), str(c.support), shown(c.auc))
            for name, c in metrics.classes.items()
        ),
        *(
            (f"{kind} mean", shown(precision), shown(recall), "", shown(f1), total, "")
            for kind, precision, recall, f1 in (
                ("macro", metrics.macro_precision, metrics.macro_recall, metrics.macro_f1),
                ("weighted", metrics.weighted_precision, metrics.weighted_recall, metrics.weighted_f1),
            )
        ),
    ]
    return "\n".join([*HEADER, *(f"| {' | '.join(row)} |" for row in rows)])


def number(value: float | None, digits: int = 4) -> str:
    """A score with so many decimals."""
    return "not defined" if value is None else f"{value:.{digits}f}"
