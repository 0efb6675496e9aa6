"""Ablations: what each part of the policy is worth, by taking it away.

The same streams, fit and judge, but for one part that is replaced by nothing or by what one
would try first.  16 runs of 20,000 blocks a cell, so 32 alarms are nominal.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from detectors import calibrate, panel
from detectors.calibrate import Family
from detectors.policy import Policy, Tuning, tuning
from detectors.profile import Statistic, Stream
from driftline.bench.alarms.intervals import times
from driftline.bench.alarms.nulls import REFERENCES
from driftline.bench.alarms.results import Experiment, Result, Size, Table
from driftline.bench.alarms.streams import FAMILIES, Clock
from driftline.bench.alarms.trial import GRANTED, MONDAY_MS, Plan, Runs

__all__ = ["EXPERIMENT", "measure"]

_FAMILIES = ("iid normal", "block AR(.9) 10 %", "block AR(.9) 1 %", "8 categories")
_LENGTHS = (1_008, 4_032)
_RUNS = 16
_EVENTS = 50
_BLOCKS = 20_000
Part = tuple[str, str, int]


def _no_memory(_: NDArray[np.float64]) -> tuple[float, float]:
    return 0.0, 0.0


def _ar1(z: NDArray[np.float64]) -> tuple[float, float]:
    return max(float(np.corrcoef(z[1:], z[:-1])[0, 1]), 0.0), 0.0


def _no_long_run(_: NDArray[np.float64]) -> float:
    return 1.0


def _own_memory(z: NDArray[np.float64], share: float, family: Family) -> tuple[float, float]:
    return _MEMORY(z, share, family._replace(level=None))


def _certain(stream: Stream, statistic: Statistic, policy: Policy) -> Tuning:
    return tuning(stream, statistic, policy)._replace(delta=0.0, variance=1.0)


_MEMORY = calibrate._memory  # noqa: SLF001  the part that is taken away is private by right
_CASES: dict[str, dict[str, Callable[..., Any]]] = {
    "as it is": {},
    "a shape without its level's memory": {"_memory": _own_memory},
    "no whitening, no long-run variance": {"fit_arma": _no_memory, "long_run": _no_long_run},
    "AR(1) for ARMA(1,1), no long-run variance": {"fit_arma": _ar1, "long_run": _no_long_run},
    "AR(1) with long-run variance": {"fit_arma": _ar1},
    "the reference taken for the truth": {"tuning": _certain},
}


def _parts(size: Size) -> list[Part]:
    if size.short:
        return []
    return [(case, family, m) for case in _CASES for family in _FAMILIES for m in _LENGTHS]


def measure(part: Part, seed: int, size: Size) -> dict[str, Any]:
    """Count the alarms of one family and length of reference without one part of the policy."""
    del size
    case, family, m = part
    plan = Plan(bucket_seconds=REFERENCES[m], events=_EVENTS)
    clock = Clock(MONDAY_MS, 1000 * plan.bucket_seconds, plan.calendar)
    draws = [np.random.default_rng((seed, m, r)) for r in range(_RUNS)]
    streams = [FAMILIES[family](draw, m + _BLOCKS, _EVENTS, clock) for draw in draws]
    with ExitStack() as stack:
        for name, replacement in _CASES[case].items():
            stack.enter_context(patch.object(calibrate, name, replacement))
            if name == "tuning":
                stack.enter_context(patch.object(panel, name, replacement))
        heard = Runs(streams, m, plan).verdict().heard
    return {"case": case, "family": family, "m": m, "alarms": len(heard)}


def _conclude(found: Sequence[dict[str, Any]], size: Size) -> Result:
    del size
    nominal = _RUNS * _BLOCKS / GRANTED
    cells = {(one["case"], one["family"], one["m"]): one["alarms"] for one in found}
    rows = [
        (case, *(times(cells[case, f, m], nominal) for f in _FAMILIES for m in _LENGTHS))
        for case in dict.fromkeys(one["case"] for one in found)
    ]
    names = [f"{family}, m = {m:,}" for family in _FAMILIES for m in _LENGTHS]
    title = "Attained / nominal false alarms (95 % interval)"
    return Result(
        experiment="ablations",
        says=__doc__.partition("\n\n")[2].strip().replace("\n", " "),
        tables=(Table(title, ("policy", *names), tuple(rows)),) if rows else (),
        skipped="" if rows else "the long form only",
    )


EXPERIMENT = Experiment("ablations", "What is each part worth?", _parts, measure, _conclude)
