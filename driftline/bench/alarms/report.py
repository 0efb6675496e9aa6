"""The report: results as a page with tables and figures."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from driftline.bench.alarms.figures import draw
from driftline.bench.alarms.results import Result, Table

__all__ = ["markdown", "targets_of", "write_report"]

_LIBRARIES = ("numpy", "scipy", "numba", "msgspec")


def targets_of(results: Sequence[Result]) -> Table:
    """Collect every target, the missed ones marked."""
    rows = [
        (
            result.experiment,
            target.name,
            f"{target.reached:,.4g}" if target.reached < 1_000 else f"{target.reached:,.0f}",
            target.wanted,
            "met" if target.met else "MISSED",
        )
        for result in results
        for target in result.targets
    ]
    return Table("Targets", ("experiment", "what", "reached", "wanted", ""), tuple(rows))


def write_report(path: Path, results: Sequence[Result], command: str) -> None:
    """Write the page, and its figures beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    parts = [
        "# What the alarms do: measured\n",
        (
            f"Made by `{command}`, driftline {version('driftline')}, Python "
            f"{platform.python_version()}, {libraries}, {os.cpu_count()} cores.\n"
        ),
        markdown(targets_of(results)),
    ]
    parts += [f"![{name}]({name})\n" for name in draw(results, path.parent, path.stem)]
    for result in results:
        parts.append(f"## {result.experiment}\n\n{result.skipped or result.says}\n")
        parts += [markdown(table) for table in result.tables]
        if not result.skipped:
            parts.append(f"Took {result.seconds:,.0f} s of processor time.\n")
    path.write_text("\n".join(parts), encoding="utf-8")


def markdown(table: Table) -> str:
    """Write a table as Markdown."""
    rows = [table.columns, ("---",) * len(table.columns), *table.rows]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return f"### {table.title}\n\n" + "\n".join(lines) + "\n"
