"""Surroundings: a clock change, public holidays, a slow trend, a reference that is not clean.

The clock and the holidays: daily and weekend seasons in local time, four weeks of reference, and
139 days that hold a change to summer time or seven holidays, with the zone and the list and
without.  The trend: .1 sd in 30 days, in the reference and the four weeks behind it.  The
reference: 1 % of its events are 10 sd off, or 1 % of its blocks 2 sd, and what follows is clean.
The last two are judged under the default minimum effect, as they are no nulls without one.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from detectors.policy import Policy
from detectors.season import Calendar
from driftline.bench.alarms.intervals import times
from driftline.bench.alarms.results import Experiment, Result, Size, Table, Target
from driftline.bench.alarms.streams import Clock, seasonal
from driftline.bench.alarms.trial import ANY_EFFECT, GRANTED, Plan, Runs

__all__ = ["EXPERIMENT", "measure"]

_M, _EVENTS, _RUNS = 4_032, 50, 16
_DAY_MS = 86_400_000
# Monday, 16 February 2026, 00:00 in Berlin; summer time begins on 29 March at 01:00 UTC.
_START_MS = 1_771_196_400_000
_SUMMER_MS = 1_774_746_000_000
_BERLIN = ((_START_MS, 3_600), (_SUMMER_MS, 7_200))
# Good Friday, Easter Monday, 1 May, Ascension, Whit Monday and two of a region, in days from
# the start of the reference: 3 and 6 April, 1, 14 and 25 May, 4 and 29 June 2026.
_HOLIDAYS = (46, 49, 74, 87, 98, 108, 133)
_CASES = {
    "clock change, zone known": 2.0,
    "clock change, zone not known": None,
    "holidays, in the list": 2.0,
    "holidays, not in the list": None,
    "trend of .1 sd a month": 2.0,
    "1 % of the reference's events 10 sd off": 2.0,
    "1 % of the reference's blocks 2 sd off": 2.0,
}


def _parts(size: Size) -> list[str]:
    return list(_CASES)[:1] if size.short else list(_CASES)


def _calendar(days: Sequence[int], *, zone: bool) -> Calendar:
    """Make a calendar of holidays (days from the start), in Berlin or an hour ahead for good."""
    first = (_START_MS + 3_600_000) // _DAY_MS
    offsets = _BERLIN if zone else _BERLIN[:1]
    return Calendar("Europe/Berlin", offsets, tuple(first + day for day in days))


def _seasons(case: str) -> tuple[Calendar, Calendar]:
    """Give the calendar that people live by, and the one that the profile knows."""
    if case.startswith("clock"):
        known = _calendar((), zone="not" not in case)
        return _calendar((), zone=True), known
    known = _calendar(() if "not" in case else _HOLIDAYS, zone=True)
    return _calendar(_HOLIDAYS, zone=True), known


def _streams(case: str, seed: int, blocks: int) -> list[np.ndarray]:
    levels = np.zeros(_M + blocks)
    if case.startswith(("clock", "holidays")):
        clock = Clock(_START_MS, 600_000, _seasons(case)[0])
        levels = seasonal(clock.hours(_M + blocks), week=True)
    if case.startswith("trend"):
        levels = 0.1 * np.arange(_M + blocks) / (30 * 144)
    streams = []
    for r in range(_RUNS):
        draw = np.random.default_rng((seed, r))
        x = levels[:, None] + draw.normal(size=(_M + blocks, _EVENTS))
        if "events" in case:
            x[:_M] += 10 * (draw.random((_M, _EVENTS)) < 0.01)
        if "reference's blocks" in case:
            x[:_M] += 2 * (draw.random(_M) < 0.01)[:, None]
        streams.append(x)
    return streams


def measure(case: str, seed: int, size: Size) -> dict[str, Any]:
    """Count the alarms of one case."""
    in_season = case.startswith(("clock", "holidays"))
    blocks = _M if case.startswith("trend") else size.of(20_000, 8_000)
    plan = Plan(
        start_ms=_START_MS,
        calendar=_seasons(case)[1] if in_season else Calendar(),
        policy=ANY_EFFECT if in_season else Policy(),
    )
    rounds = 4 if case.startswith("trend") else 1
    alarms = alerts = 0
    for k in range(rounds):
        judged = Runs(_streams(case, seed + 1_000 * k, blocks), _M, plan)
        heard = judged.verdict().heard
        alarms += len(heard)
        alerts += sum(one.fires for one in heard)
    nominal = rounds * _RUNS * blocks / GRANTED
    return {"case": case, "alarms": alarms, "alerts": alerts, "nominal": nominal}


def _conclude(found: Sequence[dict[str, Any]], size: Size) -> Result:
    del size
    rows, targets = [], []
    for one in found:
        most = _CASES[one["case"]]
        ratio = times(one["alarms"], one["nominal"])
        rows.append((one["case"], f"{one['nominal']:,.1f}", ratio, f"{one['alerts']}"))
        if most is not None:
            reached = one["alarms"] / one["nominal"]
            targets.append(Target(name=f"{one['case']}, attained", reached=reached, most=most))
    columns = ("case", "nominal alarms", "attained / nominal [95 %]", "alerts")
    return Result(
        experiment="surroundings",
        says=__doc__.partition("\n\n")[2].strip().replace("\n", " "),
        tables=(Table("False alarms where the world is not a textbook", columns, tuple(rows)),),
        targets=tuple(targets),
    )


EXPERIMENT = Experiment(
    "surroundings", "Clocks, holidays, trends, dirty references?", _parts, measure, _conclude
)
