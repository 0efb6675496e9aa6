"""Incidents: one cause is told as one incident that names it, two as two.

A model of six features, a prediction that depends on them, and segments, under its default
budget and minimum effect.  Two at once: one feature breaks by 1 sd in one country, another on
one device, in the same block.  One of fifty: a feature breaks by 1 sd in one of fifty shops.
Everywhere: five features shift by .5 sd for everybody, which is one incident.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from detectors.channels import numeric_channel
from detectors.policy import Policy
from driftline.bench.alarms.intervals import share_interval
from driftline.bench.alarms.results import Experiment, Result, Size, Table, Target
from driftline.bench.alarms.trial import Piece, Plan, Trial, Verdict

__all__ = ["EXPERIMENT", "measure"]

_FEATURES, _EVENTS = 6, 100
_BLOCKS, _BEFORE = 2_016, 60
_RUNS_A_PART = 5


class _Case(NamedTuple):
    """Hold segments with their shares, and what breaks: (feature, key, value, sd)."""

    segments: dict[str, tuple[float, ...]]
    breaks: tuple[tuple[int, str, int, float], ...]
    watch: int


_TWO = {"country": (0.5, 0.3, 0.2), "device": (0.45, 0.35, 0.2)}
_CASES = {
    "two at once": _Case(_TWO, ((0, "country", 0, 1.0), (3, "device", 2, 1.0)), 300),
    "one of fifty": _Case({"shop": (0.02,) * 50}, ((2, "shop", 7, 1.0),), 500),
    "everywhere": _Case(_TWO, tuple((f, "", 0, 0.5) for f in range(5)), 300),
}


def _parts(size: Size) -> list[tuple[str, int]]:
    return [(case, k) for case in _CASES for k in range(size.of(4, 0))]


def measure(part: tuple[str, int], seed: int, size: Size) -> dict[str, Any]:
    """Judge some runs of one case; say of each whether it is told right."""
    del size
    name, k = part
    right, early, wrong = 0, 0, []
    for r in range(_RUNS_A_PART):
        verdict, at = _run(_CASES[name], np.random.default_rng((seed, k, r)))
        early += sum(one.block <= at for one in verdict.heard)
        told = _is_told(verdict, _CASES[name])
        right += told
        if not told:
            last = {one.id: one.summary for one in verdict.incidents}
            wrong.append(" | ".join(last.values()))
    return {"case": name, "runs": _RUNS_A_PART, "right": right, "early": early, "wrong": wrong}


def _run(case: _Case, draw: np.random.Generator) -> tuple[Verdict, int]:
    """Draw, fit and judge one model; give the block after which it breaks too."""
    n = (_BLOCKS + _BEFORE + case.watch) * _EVENTS
    start = (_BLOCKS + _BEFORE) * _EVENTS
    values = draw.normal(size=(n, _FEATURES))
    codes, slices = [], [{}]
    for key, shares in case.segments.items():
        one = draw.choice(len(shares), n, p=np.array(shares) / sum(shares))
        codes.append(len(slices) + one)
        slices += [{key: f"{key} {i:02d}"} for i in range(len(shares))]
        for feature, _, value, sd in (b for b in case.breaks if b[1] == key):
            values[start:, feature] += sd * (one[start:] == value)
    for feature, _, _, sd in (b for b in case.breaks if not b[1]):
        values[start:, feature] += sd
    score = 0.7 * values.sum(1) / np.sqrt(_FEATURES) + 0.7 * draw.normal(size=n)
    values = np.column_stack([score, values])
    names = ["prediction", *(f"feature:f{f}" for f in range(_FEATURES))]
    channels = [numeric_channel(m, values[:start, c]) for c, m in enumerate(names)]
    plan = Plan(events=_EVENTS, slices=tuple(slices), policy=Policy(), granted=None)
    trial = Trial(plan, channels, _BLOCKS)
    known = np.stack(codes, axis=1).astype(np.int32)
    piece = Piece(values, np.zeros((n, 0), np.int32), known)
    first, rest = (Piece(*(a[s] for a in piece)) for s in _halves(_BLOCKS * _EVENTS))
    trial.fit(trial.cells(0, first))
    return trial.judge([trial.cells(_BLOCKS, rest)]), _BLOCKS + _BEFORE


def _halves(at: int) -> tuple[slice, slice]:
    return slice(None, at), slice(at, None)


def _is_told(verdict: Verdict, case: _Case) -> bool:
    """Say whether there are as many incidents as causes, each led by its feature and slice."""
    last = {one.id: one for one in verdict.incidents}
    if not case.breaks[0][1]:
        return len(last) == 1
    wanted = {(f"feature:f{f}", f"{key} {value:02d}") for f, key, value, _ in case.breaks}
    led = [(one.causes[0].channel, *one.causes[0].slice.values()) for one in last.values()]
    texts = all(
        any(channel.removeprefix("feature:") in one.summary for channel, _ in wanted)
        for one in last.values()
    )
    return len(led) == len(wanted) and set(led) == wanted and texts


def _conclude(found: Sequence[dict[str, Any]], size: Size) -> Result:
    del size
    rows, targets = [], []
    for name in _CASES:
        mine = [one for one in found if one["case"] == name]
        runs, right = sum(one["runs"] for one in mine), sum(one["right"] for one in mine)
        early = sum(one["early"] for one in mine)
        low, high = share_interval(right, max(runs, 1))
        first = next((text for one in mine for text in one["wrong"]), "")
        rows.append((name, f"{right} of {runs} [{low:.0%}-{high:.0%}]", f"{early}", first))
        reached = right / max(runs, 1)
        targets.append(Target(name=f"told right, {name}", reached=reached, least=0.9))
    columns = ("case", "told right [95 %]", "false, before", "the first that was not")
    return Result(
        experiment="incidents",
        says=__doc__.partition("\n\n")[2].strip().replace("\n", " "),
        tables=(Table("One cause, one incident", columns, tuple(rows)),),
        targets=tuple(targets),
    )


EXPERIMENT = Experiment("incidents", "Is one cause one incident?", _parts, measure, _conclude)
