"""Run lengths: the detectors on iid N(0, 1) whose mean and variance are known.

The Shiryaev-Roberts mixture with the threshold that a budget of one false alarm in 10,000 steps
gives it; CUSUM and EWMA against the published tables (zero state, both sides).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from detectors.drift.cusum import CusumBank
from detectors.drift.ewma import EwmaBank
from detectors.drift.mixture import MixtureBank
from detectors.drift.run_lengths import average_run_length, delays, run_lengths
from driftline.bench.alarms.results import Experiment, Result, Size, Table, Target
from driftline.bench.alarms.trial import GRANTED

__all__ = ["EXPERIMENT", "measure"]

_CHANGE_AT = 200
# Shift in sd, and the largest mean delay.
_DELAYS = {0.1: 1_000, 0.25: 200, 0.5: 62, 1.0: 21, 2.0: 7, 4.0: 3}
# Lucas & Crosier 1982 (k = .5, h = 4); Lucas & Saccucci 1990, tables of run lengths by shift.
_PUBLISHED = {
    "CUSUM k = .5, h = 4": {0: 168, 0.25: 74.2, 0.5: 26.6, 1: 8.38, 2: 3.34, 4: 1.71},
    "EWMA .5, 3.071": {0: 500, 0.25: 255, 0.5: 88.8, 1: 17.5, 2: 3.63, 4: 1.34},
    "EWMA .03, 2.437": {0: 500, 0.25: 76.7, 0.5: 29.3, 1: 12.6, 2: 5.99, 4: 3.11},
}


def _parts(size: Size) -> list[str]:
    if size.short:
        return ["mixture delays"]
    return ["mixture", "mixture delays", *_PUBLISHED]


def measure(part: str, seed: int, size: Size) -> dict[str, Any]:
    """Measure the mixture's run length, its delays, or one published table."""
    draw = np.random.default_rng((seed, len(part)))
    if part == "mixture":
        found = average_run_length(MixtureBank(4_000, steps=GRANTED), draw.standard_normal)
        return {"part": part, "length": found.mean, "low": found.low, "high": found.high}
    if part == "mixture delays":
        runs = size.of(1_000, 100)
        shifts = [shift for shift in _DELAYS if shift >= size.of(0, 25) / 100]
        return {"part": part, "delays": {f"{s:g}": _delay(draw, s, runs) for s in shifts}}
    table = {f"{s:g}": _run_length(part, draw, float(s)) for s in _PUBLISHED[part]}
    return {"part": part, "table": table}


def _delay(draw: np.random.Generator, shift: float, runs: int) -> float:
    """Give the mean delay of a shift at step 200, of runs without an alarm before it."""
    moved = lambda n: draw.normal(shift, 1.0, n)  # noqa: E731
    bank = MixtureBank(runs, steps=GRANTED)
    return delays(bank, draw.standard_normal, moved, change=_CHANGE_AT).mean


def _run_length(detector: str, draw: np.random.Generator, shift: float) -> float:
    """Give the mean run length from a fresh start, over 100,000 runs."""
    runs = 100_000
    if detector.startswith("CUSUM"):
        bank: CusumBank | EwmaBank = CusumBank(runs, k=0.5, h=4.0)
    else:
        weight, limit = detector.removeprefix("EWMA ").split(", ")
        bank = EwmaBank(runs, weight=float(weight), limit=float(limit))
    lengths, _ = run_lengths(bank, lambda n: draw.normal(shift, 1.0, n))
    return float(lengths.mean())


def _conclude(found: Sequence[dict[str, Any]], size: Size) -> Result:
    del size
    tables, targets = [], []
    for one in found:
        if "length" in one:
            length = one["length"]
            text = f"{length:,.0f} [{one['low']:,.0f} to {one['high']:,.0f}]"
            tables.append(Table("SR mixture, budget 10,000", ("run length [95 %]",), ((text,),)))
            name = "run length of the mixture"
            targets.append(Target(name=name, reached=length, least=7_500, most=15_000))
        elif "delays" in one:
            rows = []
            for shift, delay in one["delays"].items():
                most = _DELAYS[float(shift)]
                rows.append((shift, f"{delay:,.1f}", f"≤ {most:,}"))
                name = f"mean delay of the mixture at {shift} sd"
                targets.append(Target(name=name, reached=delay, most=most))
            columns = ("shift, sd", "mean delay", "target")
            tables.append(Table("SR mixture, change after 200 steps", columns, tuple(rows)))
        else:
            tables.append(_published(one, targets))
    return Result(
        experiment="arl",
        says=__doc__.partition("\n\n")[2].strip().replace("\n", " "),
        tables=tuple(tables),
        targets=tuple(targets),
    )


def _published(one: dict[str, Any], targets: list[Target]) -> Table:
    rows, worst = [], 0.0
    for shift, known in _PUBLISHED[one["part"]].items():
        length = one["table"][f"{shift:g}"]
        off = abs(length / known - 1)
        worst = max(worst, off)
        rows.append((f"{shift:g}", f"{length:,.2f}", f"{known:g}", f"{100 * off:.1f} %"))
    name = f"{one['part']}: % off the table"
    targets.append(Target(name=name, reached=100 * worst, most=2.0))
    columns = ("shift, sd", "run length", "published", "off by")
    return Table(one["part"], columns, tuple(rows))


EXPERIMENT = Experiment("arl", "Are run lengths the published ones?", _parts, measure, _conclude)
