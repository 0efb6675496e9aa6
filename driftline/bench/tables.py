"""Results as tables, for the terminal and for the page."""

from collections.abc import Sequence

from driftline.bench.alarms.results import Table
from driftline.bench.gate import Checked
from driftline.bench.results import Result

__all__ = ["checked_table", "number", "tables_of"]


def number(value: float) -> str:
    """Write a figure with as many digits as it deserves.

    >>> number(446123.4), number(81.23), number(0.957)
    ('446,123', '81.2', '0.957')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def tables_of(result: Result) -> list[Table]:
    """Make the tables of what was found and of what was not run; empty ones are left out."""
    rates = []
    for name in result.contenders:
        each = (number(one[name]) if name in one else "" for one in result.rounds)
        rates.append((name, *map(number, result.rate(name)), *each))
    rounds = (f"round {i}" for i in range(1, len(result.rounds) + 1))
    ratios = [
        (ratio.name, *map(number, spread))
        for ratio in result.ratios
        if (spread := result.ratio(ratio.name)) is not None
    ]
    figures = [(name, number(value)) for name, value in result.figures.items()]
    tables = (
        Table(result.unit, ("", "best", "median", *rounds), tuple(rates)),
        Table("Ratios, within a round", ("", "best", "median"), tuple(ratios)),
        Table("Figures", ("", ""), tuple(figures)),
        Table("Not run", ("", "reason"), tuple(result.not_run.items())),
    )
    return [table for table in tables if table.rows]


def checked_table(found: Sequence[Checked]) -> Table:
    """Make the table of the gate."""
    rows = tuple(
        (
            one.bench,
            one.name,
            number(one.stored),
            "not measured" if one.now is None else number(one.now),
            "holds" if one.holds else "FAILS",
        )
        for one in found
    )
    return Table("Ratios", ("bench", "ratio", "stored median", "best now", ""), rows)
