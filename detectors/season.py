"""Seasons: what hour of the day, weekday and hour of the week do to a statistic.

An effect belongs to a *local* time, since people live by it: the calendar of a profile knows the
offsets of its time zone and the days that count as Sundays.  It is part of the profile, because
a newer table of time zones would give another answer from the same log.

A block's season is the mean of the effects over its span.  Hourly effects belong to the middle of
their hour and are interpolated linearly; those of a weekday hold from midnight to midnight.
"""

from typing import Any, NamedTuple

import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = [
    "NO_SEASON",
    "Calendar",
    "Clockwork",
    "Season",
    "Seasons",
    "clockwork",
    "effects_of",
    "hour_of_week",
    "local_ms",
    "season_of_span",
    "seasons_of",
]

HOURS = 24
WEEK = 168
_POINTS_MAX = 168
_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
_MONDAY = 3
_SUNDAY = 6


class Calendar(msgspec.Struct, frozen=True, omit_defaults=True):
    """Fix how a profile reads local time.

    `offsets` are (from, seconds east of UTC) with `from` in ms since the epoch, ascending;
    `holidays` are local days since 1970-01-01 that count as Sundays, ascending.
    """

    zone: str = "UTC"
    offsets: tuple[tuple[int, int], ...] = ()
    holidays: tuple[int, ...] = ()


class Season(msgspec.Struct, frozen=True, omit_defaults=True):
    """Hold the effects on one statistic; () where the reference shows none.

    By hour of the day (24), by weekday (7, Monday first), and by hour of the week (168).
    """

    hours: tuple[float, ...] = ()
    weekdays: tuple[float, ...] = ()
    week: tuple[float, ...] = ()


NO_SEASON = Season()


class Clockwork(NamedTuple):
    """Hold a calendar as arrays, for kernels."""

    starts_ms: NDArray[np.int64]
    offsets_ms: NDArray[np.int64]
    holidays: NDArray[np.int64]


def clockwork(calendar: Calendar) -> Clockwork:
    """Lay a calendar out as arrays."""
    return Clockwork(
        np.array([start for start, _ in calendar.offsets], np.int64),
        np.array([1000 * seconds for _, seconds in calendar.offsets], np.int64),
        np.array(calendar.holidays, np.int64),
    )


@njit(cache=True)
def local_ms(time_ms: int, starts_ms: Any, offsets_ms: Any) -> int:
    """Give the local time (ms) of a time in UTC."""
    at = np.searchsorted(starts_ms, time_ms, side="right") - 1
    return time_ms + (offsets_ms[max(at, 0)] if offsets_ms.shape[0] else 0)


@njit(cache=True)
def hour_of_week(time_ms: int, clock: Any) -> float:
    """Give the local time as hours since Monday 00:00, in [0, 168); a holiday is a Sunday."""
    starts_ms, offsets_ms, holidays = clock
    local = local_ms(time_ms, starts_ms, offsets_ms)
    day = local // _DAY_MS
    weekday = (day + _MONDAY) % 7
    at = np.searchsorted(holidays, day)
    if at < holidays.shape[0] and holidays[at] == day:
        weekday = _SUNDAY
    return weekday * HOURS + (local - day * _DAY_MS) / _HOUR_MS


@njit(cache=True)
def _between(effects: Any, at: float) -> float:
    """Interpolate hourly effects, the last of which is followed by the first."""
    cells = effects.shape[0]
    x = at - 0.5
    low = int(np.floor(x))
    part = x - low
    return float(effects[low % cells] * (1.0 - part) + effects[(low + 1) % cells] * part)


@njit(cache=True)
def _effect(row: Any, at: float) -> float:
    """Add up the three effects of one statistic at an hour of the week."""
    daily = _between(row[:HOURS], at % HOURS)
    weekly = _between(row[HOURS + 7 :], at)
    return float(daily + row[HOURS + int(at // HOURS)] + weekly)


@njit(cache=True)
def season_of_span(row: Any, span: Any, clock: Any) -> float:
    """Give the mean effect over a span (start, end) in ms: at points at most an hour apart."""
    start, end = span
    points = min(max(-(-(end - start) // _HOUR_MS), 1), _POINTS_MAX)
    total = 0.0
    for i in range(points):
        time_ms = start + (end - start) * (2 * i + 1) // (2 * points)
        total += _effect(row, hour_of_week(time_ms, clock))
    return float(total / points)


class Seasons(NamedTuple):
    """Hold the seasons of many statistics: statistic d has row `row[d]`, or -1 for none."""

    row: NDArray[np.int64]
    effects: NDArray[np.float64]


def effects_of(season: Season) -> NDArray[np.float64]:
    """Lay one season out as a row of 24 + 7 + 168 effects."""
    row = np.zeros(HOURS + 7 + WEEK)
    if season.hours:
        row[:HOURS] = season.hours
    if season.weekdays:
        row[HOURS : HOURS + 7] = season.weekdays
    if season.week:
        row[HOURS + 7 :] = season.week
    return row


def seasons_of(seasons: list[Season]) -> Seasons:
    """Lay out the seasons of all statistics; those without one take no room."""
    has = np.array([season != NO_SEASON for season in seasons], np.bool_)
    rows = [effects_of(season) for season, keep in zip(seasons, has.tolist(), strict=True) if keep]
    return Seasons(
        row=np.where(has, np.cumsum(has) - 1, -1).astype(np.int64),
        effects=np.array(rows).reshape(-1, HOURS + 7 + WEEK),
    )
