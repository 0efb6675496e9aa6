"""Delay: how many events a change takes to be found.

A channel that is granted one false alarm in 10,000 blocks of 50 events, after a reference of
4,032 blocks, without a minimum effect and with the default one; the same changes through what
people run today.  Each run has 100 blocks before its change: alarms in them are false.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from detectors.policy import Policy
from driftline.bench.alarms.baselines import CHUNKS, METHODS, alarms_of, every
from driftline.bench.alarms.intervals import median_interval
from driftline.bench.alarms.results import Experiment, Result, Size, Table, Target
from driftline.bench.alarms.streams import CHANGES
from driftline.bench.alarms.trial import ANY_EFFECT, Plan, Runs

__all__ = ["EXPERIMENT", "measure"]

_REFERENCE, _BEFORE, _EVENTS = 4_032, 100, 50
_COMPARED_RUNS = 12
_WARM_EVENTS = 2_000
_SHORT = ("mean .5 σ", "variance x 2", "swap .18 and .06")
# As often as the budget grants a false alarm, and once a day.
_EVERY = (500_000, CHUNKS[-1])


def _parts(size: Size) -> list[str]:
    return list(_SHORT) if size.short else list(CHANGES)


def measure(name: str, seed: int, size: Size) -> dict[str, Any]:
    """Measure one change: the delays of every run, of every method."""
    change = CHANGES[name]
    runs = size.of(24, 12)
    watch = change.watch // _EVENTS
    streams = []
    for r in range(runs):
        draw = np.random.default_rng((seed, r))
        before = change.before(draw, (_REFERENCE + _BEFORE, _EVENTS))
        streams.append(np.concatenate([before, change.after(draw, (watch, _EVENTS))]))
    found: dict[str, Any] = {"change": name, "methods": {}}
    kind = "feature" if "missing" in name else "metric"
    for label, policy in (("driftline", ANY_EFFECT), ("with the default effect", Policy())):
        judged = Runs(streams, _REFERENCE, Plan(policy=policy), kind)
        heard = judged.verdict().heard
        at = _REFERENCE + _BEFORE
        delays = [delay * _EVENTS for delay in judged.delays(heard, at)]
        early = sum(one.block <= at for one in heard)
        found["methods"][label] = {"delays": delays, "early": early}
        if size.short:
            return found
    for method in METHODS:
        pairs = [_first(method, stream) for stream in streams[:_COMPARED_RUNS]]
        delays, early = [p[0] for p in pairs], sum(p[1] for p in pairs)
        found["methods"][method] = {"delays": delays, "early": early}
    return found


def _first(method: str, stream: Any) -> tuple[float, int]:
    """Give a method's delay in events, and its alarms before the change."""
    reference = stream[:_REFERENCE].ravel()
    live = stream[_REFERENCE + _BEFORE :].ravel()
    by_event = method in ("raw ADWIN", "raw Page-Hinkley")
    warm = stream[: _REFERENCE + _BEFORE].ravel()[-_WARM_EVENTS:] if by_event else live[:0]
    values = np.concatenate([warm, live])
    known = reference
    if np.issubdtype(stream.dtype, np.floating):
        known = reference[~np.isnan(reference)]
    # Missing values are left out: what compares values cannot see them; their events still pass.
    whole = ~np.isnan(values) if np.issubdtype(values.dtype, np.floating) else values >= 0
    at = np.flatnonzero(whole)[alarms_of(method, known, values[whole]) - 1] + 1 - len(warm)
    later = at[at > 0]
    return (float(later[0]) if len(later) else float("inf")), int((at <= 0).sum())


def _told(delays: Sequence[float]) -> str:
    """Write a median with its interval, and how many runs were missed."""
    missed = sum(np.isinf(delays))
    middle = float(np.sort(delays)[len(delays) // 2]) if missed else float(np.median(delays))
    if np.isinf(middle):
        return "never" if missed == len(delays) else f"{missed} of {len(delays)} missed"
    text = f"{middle:,.0f}"
    return f"{text} ({missed} missed)" if missed else text


def _conclude(found: Sequence[dict[str, Any]], size: Size) -> Result:
    methods = [name for name in found[0]["methods"] if name != "driftline"]
    rows, targets, early = [], [], 0
    for one in found:
        ours = one["methods"]["driftline"]
        low, high = median_interval(ours["delays"])
        early += ours["early"]
        change = CHANGES[one["change"]]
        mark = f"{_told(ours['delays'])} [{low:,.0f}-{high:,.0f}]"
        wanted = f"≤ {change.most:,.0f}" if change.most else ""
        others = [_told(one["methods"][name]["delays"]) for name in methods]
        rows.append((one["change"], mark, wanted, *others))
        if change.most:
            median = float(np.median(ours["delays"]))
            slack = change.most * size.of(100, 150) / 100
            targets.append(
                Target(name=f"median delay, {one['change']}", reached=median, most=slack)
            )
    missed = sum(int(np.isinf(one["methods"]["driftline"]["delays"]).sum()) for one in found)
    targets.append(Target(name="changes missed", reached=missed, most=0))
    columns = ("change", "driftline [95 %]", "target", *methods)
    table = Table(
        "Events from the change to the first alarm, median of the runs", columns, tuple(rows)
    )
    return Result(
        experiment="delay",
        says=(
            f"{__doc__.partition(chr(10) * 2)[2].strip()} False alarms of driftline before the "
            f"changes, in all runs: {early}. An alarm every k events, whatever they say, has a "
            f"median delay of {every(_EVERY[0], _EVERY[0]):,.0f} events at the same rate of false "
            f"alarms (k = {_EVERY[0]:,}), of {every(_EVERY[1], _EVERY[1]):,.0f} once a day "
            f"(k = {_EVERY[1]:,}); and one that never alarms is never wrong."
        ).replace("\n", " "),
        tables=(table,),
        targets=tuple(targets),
        figures={"changes": list(found)},
    )


EXPERIMENT = Experiment("delay", "How soon is a change found?", _parts, measure, _conclude)
