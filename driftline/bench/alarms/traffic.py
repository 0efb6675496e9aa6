"""Traffic: blocks of 1,000, 10,000 and 100,000 events, under the default minimum effect.

A shift of .01 sd is significant there and harmless: it must stay silent, for 100 blocks.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from detectors.channels import numeric_channel
from detectors.policy import Policy
from detectors.summary.cells import Cell
from driftline.bench.alarms.intervals import median_interval
from driftline.bench.alarms.results import Experiment, Result, Size, Table, Target
from driftline.bench.alarms.trial import Piece, Plan, Trial

__all__ = ["EXPERIMENT", "measure"]

_BLOCKS, _BEFORE = 600, 20
_SHIFTS = {0.01: (100, None), 0.1: (60, 10), 0.2: (60, 5), 1.0: (30, 3)}
_PIECE_EVENTS = 500_000
_EDGE_EVENTS = 200_000


def _parts(size: Size) -> list[int]:
    return [10_000] if size.short else [1_000, 10_000, 100_000]


def _pieces(
    trial: Trial, draw: np.random.Generator, span: tuple[int, int], shift: float
) -> Iterator[list[Cell]]:
    """Draw blocks, and count them as they come: they would not all fit into memory."""
    step = max(1, _PIECE_EVENTS // trial.plan.events)
    runs = len(trial.profile.channels)
    for low in range(span[0], span[1], step):
        n = (min(low + step, span[1]) - low) * trial.plan.events
        yield trial.cells(low, Piece.of(draw.standard_normal((n, runs)) + shift))


def measure(n: int, seed: int, size: Size) -> dict[str, Any]:
    """Measure the four shifts at n events a block."""
    runs = 4 if size.short or n == 100_000 else 16
    draw = np.random.default_rng((seed, n))
    names = [f"metric:r{r:03d}" for r in range(runs)]
    channels = [numeric_channel(name, draw.standard_normal(_EDGE_EVENTS)) for name in names]
    trial = Trial(Plan(events=n, policy=Policy()), channels, _BLOCKS)
    trial.fit([c for cells in _pieces(trial, draw, (0, _BLOCKS), 0.0) for c in cells])
    found: dict[str, Any] = {"n": n, "runs": runs, "delays": {}, "early": 0}
    for shift, (watch, _) in _SHIFTS.items():
        at = _BLOCKS + _BEFORE
        before = _pieces(trial, draw, (_BLOCKS, at), 0.0)
        after = _pieces(trial, draw, (at, at + watch), shift)
        heard = trial.judge(cells for part in (before, after) for cells in part).heard
        found["early"] += sum(one.block <= at for one in heard)
        first = {}
        for one in heard:
            if one.block > at:
                first.setdefault(one.stream, float(one.block - at))
        found["delays"][str(shift)] = [first.get(j, float("inf")) for j in range(runs)]
    return found


def _conclude(found: Sequence[dict[str, Any]], size: Size) -> Result:
    del size
    rows, targets = [], []
    for one in found:
        row = [f"{one['n']:,}", f"{one['runs']}"]
        for shift, (_, most) in _SHIFTS.items():
            delays = one["delays"][str(shift)]
            alarmed = sum(np.isfinite(delays))
            low, high = median_interval(delays)
            middle = float(np.median(delays))
            name = f"n = {one['n']:,}, {shift:g} sd"
            if most is None:
                row.append(f"{alarmed} of {len(delays)} alarmed")
                targets.append(Target(name=f"{name}: alarms", reached=alarmed, most=0))
            else:
                row.append(f"{middle:,.0f} [{low:,.0f}-{high:,.0f}]")
                targets.append(Target(name=f"{name}: median blocks", reached=middle, most=most))
        rows.append((*row, f"{one['early']}"))
    columns = ("events a block", "runs", *(f"{shift:g} sd" for shift in _SHIFTS), "false, before")
    return Result(
        experiment="traffic",
        says=__doc__.partition("\n\n")[2].strip(),
        tables=(Table("Blocks to the first alarm, median [95 %]", columns, tuple(rows)),),
        targets=tuple(targets),
    )


EXPERIMENT = Experiment(
    "traffic", "Do many events make harmless shifts alarm?", _parts, measure, _conclude
)
