"""Nulls: how often streams in which nothing changes alarm, as a multiple of what was granted.

Thirteen families, four lengths of reference; 16 runs of 20,000 blocks a cell, so 32 alarms are
nominal.  Every time a threshold is reached counts, an open alert or not (an alert is latched, so
people see fewer); the same data go through what people run today.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from detectors.season import Calendar
from driftline.bench.alarms.baselines import METHODS, alarms_of
from driftline.bench.alarms.intervals import times
from driftline.bench.alarms.results import Experiment, Result, Size, Table, Target
from driftline.bench.alarms.streams import FAMILIES, Clock
from driftline.bench.alarms.trial import GRANTED, MONDAY_MS, Plan, Runs

__all__ = ["EXPERIMENT", "REFERENCES", "measure"]

REFERENCES = {168: 3_600, 672: 3_600, 1_008: 600, 4_032: 600}
_SHORT = ("iid normal", "daily", "block AR(.5) 10 %")
_COMPARED_RUNS = 4
_EVENTS = 50
Part = tuple[str, int]


def _parts(size: Size) -> list[Part]:
    if size.short:
        return [(family, 1_008) for family in _SHORT]
    return [(family, m) for family in FAMILIES for m in sorted(REFERENCES, reverse=True)]


def measure(part: Part, seed: int, size: Size) -> dict[str, Any]:
    """Count the alarms of one family and length of reference."""
    family, m = part
    blocks, runs = size.of(20_000, 8_000), 16
    plan = Plan(bucket_seconds=REFERENCES[m], events=_EVENTS)
    clock = Clock(MONDAY_MS, 1000 * plan.bucket_seconds, Calendar())
    streams = []
    for r in range(runs):
        draw = np.random.default_rng((seed, m, r))
        streams.append(FAMILIES[family](draw, m + blocks, _EVENTS, clock))
    judged = Runs(streams, m, plan)
    heard = judged.verdict().heard
    by_run = np.bincount([judged.run_of(one) for one in heard], minlength=runs)
    found = {
        "family": family,
        "m": m,
        "nominal": runs * blocks / GRANTED,
        "alarms": len(heard),
        "alerts": sum(one.fires for one in heard),
        "most": int(by_run.max()),
        "learning": judged.trial.learning,
    }
    if m == max(REFERENCES):
        found["today"] = _today(family, streams, m)
        found["today_nominal"] = _COMPARED_RUNS * blocks / GRANTED
    return found


def _today(family: str, streams: Sequence[Any], m: int) -> dict[str, int]:
    """Count the alarms of what people run today, on the first runs."""
    by_event = ("raw ADWIN", "raw Page-Hinkley")
    methods = [x for x in METHODS if "categories" not in family or x not in by_event]
    pairs = [(s[:m].ravel(), s[m:].ravel()) for s in streams[:_COMPARED_RUNS]]
    return {x: sum(len(alarms_of(x, *pair)) for pair in pairs) for x in methods}


def _cell(found: dict[str, Any]) -> str:
    if found["learning"]:
        return "learning"
    return f"{times(found['alarms'], found['nominal'])}, alerts {found['alerts']}"


def _conclude(found: Sequence[dict[str, Any]], size: Size) -> Result:
    cells = {(one["family"], one["m"]): one for one in found}
    families = list(dict.fromkeys(one["family"] for one in found))
    lengths = sorted({one["m"] for one in found})
    rows = [(family, *(_cell(cells[family, m]) for m in lengths)) for family in families]
    tables = [
        Table(
            "Attained / nominal by blocks of reference (95 % interval), and alerts in all",
            ("null stream", *(f"m = {m:,}" for m in lengths)),
            tuple(rows),
        )
    ]
    compared = [one for one in found if "today" in one]
    if compared:
        tables.append(_compared(compared))
    return Result(
        experiment="nulls",
        says=__doc__.partition("\n\n")[2].strip().replace("\n", " "),
        tables=tuple(tables),
        targets=tuple(_targets(found, size)),
        figures={"cells": list(found)},
    )


def _compared(found: Sequence[dict[str, Any]]) -> Table:
    rows = []
    for one in found:
        nominal = one["today_nominal"]
        ours = f"{one['alarms'] / one['nominal']:,.2f}"
        others = [one["today"].get(x) for x in METHODS]
        said = ["" if n is None else f"{n / nominal:,.3g}" for n in others]
        rows.append((one["family"], ours, *said))
    columns = ("null stream", "driftline", *METHODS)
    return Table("False alarms in 10,000 blocks (500,000 events), m = 4,032", columns, tuple(rows))


def _targets(found: Sequence[dict[str, Any]], size: Size) -> list[Target]:
    if size.short:
        return [
            Target(name=f"{one['family']}, attained", reached=_attained(one), most=3.0)
            for one in found
        ]
    targets = []
    for m in REFERENCES:
        judged = [one for one in found if one["m"] == m and not one["learning"]]
        worst = max((_attained(one) for one in judged), default=0.0)
        name = f"largest of the families, m = {m:,}"
        targets.append(Target(name=name if judged else f"{name} (learning)", reached=worst, most=2))
    known = [_attained(one) for one in found if one["m"] >= 1_008]
    mean = float(np.mean(known)) if known else 0.0
    targets.append(Target(name="mean over m ≥ 1,008", reached=mean, least=0.4, most=1.3))
    return targets


def _attained(one: dict[str, Any]) -> float:
    return float(one["alarms"] / one["nominal"])


EXPERIMENT = Experiment("nulls", "How often does nothing alarm?", _parts, measure, _conclude)
