"""The figures of the page: who is how fast, and where an event's time goes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from driftline.bench.results import Result

__all__ = ["draw"]

_OURS, _OTHERS = "#1b6e3c", "#8a8f98"
_COMPARED = {"throughput", "peers", "libraries", "decode", "detectors"}
_PHASES = "phase: "


def draw(results: Sequence[Result], folder: Path, stem: str) -> dict[str, list[str]]:
    """Write the figures that the results allow as SVG; give their names by bench."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = stem
    names: dict[str, list[str]] = {}
    for result in results:
        name = f"{stem}-{result.bench}.svg"
        if result.bench in _COMPARED and result.rounds:
            _rates(result, folder / name)
        elif any(key.startswith(_PHASES) for key in result.figures):
            _phases(result, folder / name)
        else:
            continue
        names[result.bench] = [name]
    return names


def _rates(result: Result, path: Path) -> None:
    """Draw the best rate of each contender as a bar, and each round as a point."""
    contenders = sorted(result.contenders, key=lambda name: result.rate(name).best)
    ours = {ratio.over for ratio in result.ratios}
    figure, axes = _axes(len(contenders))
    best = [result.rate(name).best for name in contenders]
    axes.barh(contenders, best, color=[_OURS if n in ours else _OTHERS for n in contenders])
    for y, name in enumerate(contenders):
        rounds = [one[name] for one in result.rounds if name in one]
        axes.plot(rounds, [y] * len(rounds), "|", color="black", ms=9)
    if max(best) > 30 * min(best):
        axes.set_xscale("log")
    axes.set_xlabel(f"{result.unit}: best of {len(result.rounds)} rounds, each a line")
    _save(figure, path)


def _phases(result: Result, path: Path) -> None:
    """Draw where the time of an event goes."""
    phases = {k.removeprefix(_PHASES): v for k, v in result.figures.items() if _PHASES in k}
    figure, axes = _axes(len(phases))
    axes.barh(list(phases), list(phases.values()), color=_OURS)
    axes.invert_yaxis()
    axes.set_xlabel("µs of one core for an event")
    _save(figure, path)


def _axes(bars: int) -> tuple[Any, Any]:
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=(8, 0.4 * bars + 1.2))


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot as plt

    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
