"""Invariance: the same stream in other units gives the same alarms.

Values are multiples of 1/1024, so that every unit holds them exactly: what is compared is the
policy, not the rounding of floats.  Half-way through, each run changes, so that there are alarms.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from detectors.policy import Policy
from driftline.bench.alarms.results import Experiment, Result, Size, Table, Target
from driftline.bench.alarms.trial import Plan, Runs

__all__ = ["EXPERIMENT", "measure"]

_BLOCKS, _LIVE, _EVENTS = 1_008, 2_000, 50
_UNITS: dict[str, Callable[[Any], Any]] = {
    "as it is": lambda x: x,
    "x 10⁶": lambda x: x * 1e6,
    "+ 10⁹": lambda x: x + 1e9,
    "Celsius to Fahrenheit": lambda x: x * 1.8 + 32,
    "seconds to milliseconds, from 1970": lambda x: (x + 1_767_571_200) * 1e3,
}


def _parts(size: Size) -> list[int]:
    return [size.of(16, 4)]


def measure(runs: int, seed: int, size: Size) -> dict[str, Any]:
    """Judge the same runs in every unit; give all alarms as (run, block, onset, statistic)."""
    del size
    streams = []
    for r in range(runs):
        draw = np.random.default_rng((seed, r))
        x = draw.normal(size=(_BLOCKS + _LIVE, _EVENTS))
        x[_BLOCKS + _LIVE // 2 :] += draw.choice((-0.5, 0.25, 0.5, 1.0))
        streams.append(np.rint(x * 1024) / 1024)
    found = {}
    for unit, convert in _UNITS.items():
        judged = Runs([convert(x) for x in streams], _BLOCKS, Plan(policy=Policy()))
        heard = judged.verdict().heard
        found[unit] = [(one.stream, one.block, one.onset, one.statistic) for one in heard]
    return found


def _conclude(found: Sequence[dict[str, Any]], size: Size) -> Result:
    del size
    base = set(map(tuple, found[0]["as it is"]))
    rows, targets = [], []
    for unit, alarms in found[0].items():
        other = len(base ^ set(map(tuple, alarms)))
        rows.append((unit, f"{len(alarms):,}", f"{other:,}"))
        if unit != "as it is":
            targets.append(Target(name=f"alarms that differ, {unit}", reached=other, most=0))
    targets.append(Target(name="alarms compared", reached=len(base), least=10))
    return Result(
        experiment="invariance",
        says=__doc__.partition("\n\n")[2].strip().replace("\n", " "),
        tables=(Table("The same alarms?", ("unit", "alarms", "that differ"), tuple(rows)),),
        targets=tuple(targets),
    )


EXPERIMENT = Experiment("invariance", "Do units matter?", _parts, measure, _conclude)
