"""Onset: how far the time that an alert gives for a change is from when it was.

Shifts of .5 and 1 sd of an event, which are found in a few blocks; and of .5 and 1 sd of a
block's mean (.07 and .14 sd of an event), which take so long that dating them is hard.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from driftline.bench.alarms.intervals import median_interval
from driftline.bench.alarms.results import Experiment, Result, Size, Table, Target
from driftline.bench.alarms.trial import Plan, Runs

__all__ = ["EXPERIMENT", "measure"]

_M, _EVENTS, _RUNS = 4_032, 50, 24
_BLOCK_SD = float(np.sqrt(1 / _EVENTS))
# Shift in sd of an event, blocks watched, largest median error.
_SHIFTS = {
    "1 sd of an event": (1.0, 100, 3.0),
    ".5 sd of an event": (0.5, 100, 10.0),
    "1 sd of a block's mean": (_BLOCK_SD, 600, 3.0),
    ".5 sd of a block's mean": (0.5 * _BLOCK_SD, 2_000, 10.0),
}


def _parts(size: Size) -> list[str]:
    return list(_SHIFTS)[:2] if size.short else list(_SHIFTS)


def measure(name: str, seed: int, size: Size) -> dict[str, Any]:
    """Measure the errors (blocks; later is positive) and delays of each run's first alarm."""
    shift, watch, _ = _SHIFTS[name]
    streams = []
    for r in range(size.of(_RUNS, 8)):
        draw = np.random.default_rng((seed, r))
        # The change comes at another place in every run, so that no grid helps.
        before = 60 + int(draw.integers(0, 80))
        x = draw.normal(size=(_M + 140 + watch, _EVENTS))
        x[_M + before :] += shift
        streams.append((before, x))
    judged = Runs([x for _, x in streams], _M, Plan())
    first: dict[int, tuple[int, int]] = {}
    for one in judged.verdict().heard:
        at = _M + streams[judged.run_of(one)][0]
        if one.block > at:
            first.setdefault(judged.run_of(one), (one.onset - at, one.block - at))
    return {
        "name": name,
        "errors": [error for error, _ in first.values()],
        "delays": [delay for _, delay in first.values()],
        "runs": len(streams),
    }


def _conclude(found: Sequence[dict[str, Any]], size: Size) -> Result:
    del size
    rows, targets = [], []
    for one in found:
        off = np.abs(one["errors"]) if one["errors"] else np.array([np.inf])
        low, high = median_interval(off)
        middle, bias = float(np.median(off)), float(np.median(one["errors"] or [np.inf]))
        told = f"{middle:,.1f} [{low:,.0f}-{high:,.0f}]"
        delay = f"{np.median(one['delays'] or [np.inf]):,.0f}"
        rows.append((one["name"], told, f"{bias:+,.1f}", delay, f"{one['runs']}"))
        name = f"median error, {one['name']}"
        targets.append(Target(name=name, reached=middle, most=_SHIFTS[one["name"]][2]))
    columns = ("shift", "median error, blocks [95 %]", "median, signed", "delay, blocks", "runs")
    return Result(
        experiment="onset",
        says=__doc__.partition("\n\n")[2].strip().replace("\n", " "),
        tables=(Table("How well the onset is dated", columns, tuple(rows)),),
        targets=tuple(targets),
    )


EXPERIMENT = Experiment("onset", "Is a change dated right?", _parts, measure, _conclude)
