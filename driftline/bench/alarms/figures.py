"""The two figures of the report: false alarms by family, and delay by the size of a shift."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from driftline.bench.alarms.results import Result

__all__ = ["draw"]

_SIZES = {"mean .1 σ": 0.1, "mean .25 σ": 0.25, "mean .5 σ": 0.5, "mean 1 σ": 1, "mean 2 σ": 2}
_SHOWN = ("raw ADWIN", "raw Page-Hinkley", "KS p < .05 /250", "PSI > .2 /250", "3 sd /250")
# What never happened still has a place on a logarithmic axis.
_NONE = 0.02


def draw(results: Sequence[Result], folder: Path, stem: str) -> list[str]:
    """Write the figures that the results allow as SVG; give their names."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = stem
    names = []
    for result in results:
        if result.experiment == "nulls" and not result.skipped:
            _false_alarms(result.figures["cells"], folder / f"{stem}-false-alarms.svg")
            names.append(f"{stem}-false-alarms.svg")
        if result.experiment == "delay" and not result.skipped:
            _delays(result.figures["changes"], folder / f"{stem}-delay.svg")
            names.append(f"{stem}-delay.svg")
    return names


def _false_alarms(cells: Sequence[dict[str, Any]], path: Path) -> None:
    from matplotlib import pyplot as plt

    judged = [cell for cell in cells if not cell["learning"]]
    families = list(dict.fromkeys(cell["family"] for cell in judged))
    figure, axes = plt.subplots(figsize=(8, 0.35 * len(families) + 1.8))
    axes.axvspan(0.5, 2.0, color="#dfeee0", label=".5 to 2 x what was granted")
    for m, mark in zip(sorted({cell["m"] for cell in judged}), "so^v", strict=False):
        mine = [cell for cell in judged if cell["m"] == m]
        x = [max(cell["alarms"] / cell["nominal"], _NONE) for cell in mine]
        y = [families.index(cell["family"]) for cell in mine]
        axes.plot(x, y, mark, color="#1b6e3c", label=f"driftline, m = {m:,}", alpha=0.8)
    for method, color in zip(_SHOWN, ("C3", "C1", "C4", "C5", "C7"), strict=True):
        known = [cell for cell in judged if method in cell.get("today", {})]
        x = [max(cell["today"][method] / cell["today_nominal"], _NONE) for cell in known]
        axes.plot(x, [families.index(c["family"]) for c in known], "x", color=color, label=method)
    axes.set_xscale("log")
    axes.set_yticks(range(len(families)), families)
    axes.invert_yaxis()
    axes.set_xlabel(f"false alarms / granted ({_NONE:g}: none)")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def _delays(changes: Sequence[dict[str, Any]], path: Path) -> None:
    from matplotlib import pyplot as plt

    known = [one for one in changes if one["change"] in _SIZES]
    figure, axes = plt.subplots(figsize=(7, 4))
    for method in ("driftline", *_SHOWN):
        mine = [one for one in known if method in one["methods"]]
        sizes = [_SIZES[one["change"]] for one in mine]
        # Sorted, since the mean of two infinities is no number; what is missed has no point.
        middle = [float(np.sort(d)[len(d) // 2]) for d in _of(mine, method)]
        bold = 2.5 if method == "driftline" else 1.0
        axes.plot(sizes, middle, "o-", lw=bold, ms=4, label=method)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("shift, sd of an event")
    axes.set_ylabel("events to the first alarm, median")
    axes.legend(fontsize=8)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def _of(changes: Sequence[dict[str, Any]], method: str) -> list[list[float]]:
    return [one["methods"][method]["delays"] for one in changes]
