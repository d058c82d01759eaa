"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A line of titles, and a line for each row; a bar inside a cell does not end it."""
    lines = [_line(titles), f"|{'---|' * len(titles)}", *map(_line, rows)]
    return "\n".join(lines)


def number(value: float | None, digits: int = 4) -> str:
    """A score with so many decimals."""
    return "not defined" if value is None else f"{value:.{digits}f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
