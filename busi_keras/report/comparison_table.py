"""Two studies side by side, in Markdown."""

from busi_keras.evaluation.comparison import Comparison
from busi_keras.evaluation.intervals import Interval
from busi_keras.report.markdown import number, table

BOTH = "HD95, surface distance and pixel precision: on the images where both outlined something."


def comparison_table(comparison: Comparison) -> str:
    """A row for each score, and in what the experiments differ."""
    first, second = comparison.first, comparison.second
    which = "" if comparison.images == "all" else f" {comparison.images}"
    names = {"first": first, "second": second}
    rows = [
        [
            score.replace("_", " "),
            number(one.first, 3),
            number(one.second, 3),
            signed(one.interval),
            names.get(one.better, one.better),
        ]
        for score, one in comparison.differences.items()
    ]
    titles = [f"score, n = {comparison.n}{which}", first, second, "difference (95 % interval)", "better"]
    settings = comparison.settings
    how = f"{first} has {'; '.join(settings)}." if settings else "Trained with the same settings."
    return "\n\n".join([table(titles, rows), BOTH, how])


def signed(one: Interval) -> str:
    """A difference and its interval, as `+0.012 (-0.003 to +0.020)`."""
    if one.estimate is None:
        return "not defined"
    return f"{one.estimate:+.3f}" + ("" if one.low is None else f" ({one.low:+.3f} to {one.high:+.3f})")
