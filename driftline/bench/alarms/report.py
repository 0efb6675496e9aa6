"""The report: what the experiments found, as a markdown page with plots."""

import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from detectors.errors import ConfigError
from driftline.bench.alarms.baselines import METHODS
from driftline.bench.alarms.results import Result

__all__ = ["write_report"]

_PACKAGES = ("numpy", "numba", "scipy", "river")
_OURS, _THEIRS = "#c2410c", ("#475569", "#94a3b8", "#0f766e", "#5eead4", "#7c3aed", "#c4b5fd")
_EVENTS = 50


def write_report(path: Path, results: Sequence[Result], command: str) -> None:
    """Write the page, and its plots beside it as SVG.

    Raises
    ------
    ConfigError
        If matplotlib is not installed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    plots = {"nulls": _plot_nulls, "delay": _plot_delay}
    lines = [_head(results, command)]
    for result in results:
        lines.append(f"## {result.experiment}\n\n{result.says}\n")
        if result.skipped:
            lines.append(f"Not run here: {result.skipped}.\n")
        if result.experiment in plots and result.figures:
            image = path.parent / f"{path.stem}-{result.experiment}.svg"
            plots[result.experiment](result.figures, image)
            lines.append(f"![{result.experiment}]({image.name})\n")
        lines += [_markdown(table.title, table.columns, table.rows) for table in result.tables]
        if result.targets:
            rows = [
                (t.name, f"{t.reached:,.4g}", t.wanted, "ok" if t.met else "**missed**")
                for t in result.targets
            ]
            lines.append(_markdown("Targets", ("what", "reached", "wanted", ""), rows))
        lines.append(f"*{result.seconds:,.0f} s*\n")
    path.write_text("\n".join(lines), encoding="utf-8")


def _head(results: Sequence[Result], command: str) -> str:
    """Write what the page is, and how it was made."""
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    missed = sum(result.missed for result in results)
    targets = sum(len(result.targets) for result in results)
    return (
        "# Alarms: how often nothing alarms, and how soon something does\n\n"
        f"Made by `{command}` with driftline {version('driftline')}, Python "
        f"{platform.python_version()}, {packages}. Everything is seeded: the command prints the "
        "same figures again, except for speed. All runs go through the product's own fit, "
        "summaries and judge.\n\n"
        f"**{targets - missed} of {targets} targets are reached.** Intervals are 95 %.\n"
    )


def _markdown(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write one table."""
    head = f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}\n"
    return f"**{title}**\n\n{head}" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    """Start a plot."""
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise ConfigError(
            "Plots need matplotlib: pip install matplotlib, or leave --report away."
        ) from error
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "driftline"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})


def _plot_nulls(figures: dict[str, Any], path: Path) -> None:
    """Draw attained / nominal by family: ours by length of reference, theirs on the same data."""
    cells = [one for one in figures["cells"] if not one["learning"]]
    families = list(dict.fromkeys(one["family"] for one in cells))
    at = {family: i for i, family in enumerate(families)}
    figure, axes = _figure(9, 0.42 * len(families) + 1.6)
    axes.axvspan(0.5, 2, color="#fed7aa", alpha=0.5, label="a factor 2 around the budget")
    axes.axvline(1, color=_OURS, linewidth=0.8)
    least = 0.02
    for method, colour in zip(METHODS, _THEIRS, strict=False):
        seen = [(one["today"][method] / one["today_nominal"], at[one["family"]])
                for one in cells if method in one.get("today", {})]  # fmt: skip
        if seen:
            x, y = np.array(seen, np.float64).T
            axes.scatter(np.maximum(x, least), y, marker="x", s=28, color=colour, label=method)
    for m in sorted({one["m"] for one in cells}):
        own = [one for one in cells if one["m"] == m]
        x = [max(one["alarms"] / one["nominal"], least) for one in own]
        axes.scatter(x, [at[o["family"]] for o in own], s=18 + m / 60, color=_OURS, alpha=0.75,
                     label=f"driftline, {m:,} blocks of reference")  # fmt: skip
    axes.set(xscale="log", yticks=range(len(families)), yticklabels=families,
             xlabel="false alarms, as a multiple of what was granted (0 is drawn at .02)")  # fmt: skip
    axes.invert_yaxis()
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    _save(figure, path)


def _plot_delay(figures: dict[str, Any], path: Path) -> None:
    """Draw the median delay of each change, ours and theirs; what is missed stands at the right."""
    changes = figures["changes"]
    names = [one["change"] for one in changes]
    figure, axes = _figure(9, 0.4 * len(names) + 1.6)
    never = 60_000.0
    methods = list(dict.fromkeys(m for one in changes for m in one["methods"]))
    for method in methods:
        ours = method in {"driftline", "with the default effect"}
        theirs = _THEIRS[methods.index(method) % len(_THEIRS)]
        x = []
        for one in changes:
            delays = one["methods"].get(method, {}).get("delays", [])
            middle = float(np.sort(delays)[len(delays) // 2]) if delays else np.nan
            x.append(min(middle, never))
        axes.scatter(
            x,
            range(len(names)),
            marker="o" if ours else "x",
            color=_OURS if method == "driftline" else "#fb923c" if ours else theirs,
            s=36,
            label=method,
        )
    axes.axvline(never, color="#cbd5e1", linewidth=0.8)
    axes.set(xscale="log", yticks=range(len(names)), yticklabels=names,
             xlabel="median delay in events (at the line: not found)")  # fmt: skip
    axes.invert_yaxis()
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    _save(figure, path)
