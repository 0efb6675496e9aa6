"""Fit seasons: what the reference shows of hours, weekdays and hours of the week, and no more.

Three levels of effects, each fitted on what the one before it left.  A level's cell means over
its periods (days or weeks) give the effects; they are shrunk by B = tau^2 / (tau^2 + s^2), where
s^2 is what the means differ by from period to period.  Differences *between* periods, because
blocks of one hour are alike and would vouch for each other.  A level that does not stand out from
s^2 is left away.

A slice begins with the season of all events, as far as its own blocks follow it: rare slices
could never show a season by themselves.

Sources: Efron & Morris 1975 (shrinkage); Laney 2002.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.alert import nine_digits
from detectors.season import (
    HOURS,
    NO_SEASON,
    WEEK,
    Clockwork,
    Season,
    effects_of,
    hour_of_week,
    local_ms,
    season_of_span,
)

__all__ = ["Spans", "fit_season", "season_at", "spans_of"]

_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
_STANDS_OUT = 2.0
_CELLS = (24, 12, 8, 6, 4, 3, 2)


@dataclass(frozen=True)
class Spans:
    """Hold when a stream's m reference blocks were: (start, end) in ms, and local time.

    `hour` is the middle's hour of the week, `day` and `week` count local days and weeks.
    """

    edges_ms: NDArray[np.int64]
    hour: NDArray[np.float64]
    day: NDArray[np.int64]
    week: NDArray[np.int64]
    clock: Clockwork

    @property
    def hours(self) -> float:
        """Give the median length of a block in hours."""
        return float(np.median(self.edges_ms[:, 1] - self.edges_ms[:, 0])) / _HOUR_MS

    @property
    def days(self) -> float:
        """Give the length of the reference in days."""
        return float(self.edges_ms[:, 1].max() - self.edges_ms[:, 0].min()) / _DAY_MS


def spans_of(edges_ms: NDArray[np.int64], clock: Clockwork) -> Spans:
    """Place blocks (m x 2, in ms) in local time."""
    middles = edges_ms.mean(axis=1).astype(np.int64).tolist()
    local = np.array([local_ms(t, clock.starts_ms, clock.offsets_ms) for t in middles], np.int64)
    day = local // _DAY_MS
    hour = np.array([hour_of_week(t, clock) for t in middles])
    return Spans(edges_ms, hour, day, (day + 3) // 7, clock)


def season_at(season: Season, spans: Spans) -> NDArray[np.float64]:
    """Give a season's effect on each block."""
    if season == NO_SEASON:
        return np.zeros(len(spans.hour))
    row = effects_of(season)
    edges: list[tuple[int, int]] = [(a, b) for a, b in spans.edges_ms.tolist()]
    return np.array([season_of_span(row, span, spans.clock) for span in edges])


def fit_season(
    values: NDArray[np.float64], spans: Spans, parent: Season = NO_SEASON
) -> tuple[Season, float]:
    """Fit the season of one statistic; give it and by how much its error widens a residual.

    The widening is a factor of variance: 1 + the sum over levels of B / periods seen.
    """
    residual = values - values.mean()
    season, widening = NO_SEASON, 1.0
    if parent != NO_SEASON:
        season = _followed(residual, season_at(parent, spans), parent)
        residual = residual - season_at(season, spans)
    for level in ("hours", "weekdays", "week"):
        effects, shrinkage, periods = _level(level, residual, spans)
        if shrinkage <= 0:
            continue
        own = Season(**{level: tuple(effects.tolist())})
        residual = residual - season_at(own, spans)
        season = _sum(season, own)
        widening += shrinkage / periods
    return season, widening


def _followed(residual: NDArray[np.float64], effect: NDArray[np.float64], parent: Season) -> Season:
    """Take as much of the parent's season as the stream's own blocks show, 0 to 1."""
    effect = effect - effect.mean()
    variance = float(effect @ effect)
    part = min(max(float(effect @ residual) / variance, 0.0), 1.0) if variance > 0 else 0.0
    if part <= 0:
        return NO_SEASON
    return Season(
        *(tuple(part * e for e in level) for level in (parent.hours, parent.weekdays, parent.week))
    )


def _sum(one: Season, other: Season) -> Season:
    """Add two seasons, rounded as a profile holds them."""
    row = effects_of(one) + effects_of(other)
    rounded = tuple(nine_digits(v) for v in row.tolist())
    levels = (rounded[:HOURS], rounded[HOURS : HOURS + 7], rounded[HOURS + 7 :])
    return Season(*(level if any(level) else () for level in levels))


def _level(
    level: str, residual: NDArray[np.float64], spans: Spans
) -> tuple[NDArray[np.float64], float, float]:
    """Fit one level: shrunk effects, B (0: nothing stands out), and the periods it was seen."""
    period_days = 1 if level == "hours" else 7
    nothing = np.zeros(0), 0.0, 1.0
    if spans.days < 2 * period_days - 0.02:
        return nothing
    if level == "weekdays":
        if spans.hours > HOURS:
            return nothing
        cells, period = (spans.hour // HOURS).astype(np.int64), spans.week
        found = _shrunk(residual, cells, period, 7)
        return (*found, spans.days / 7) if found[1] > 0 else nothing
    for a_day in _CELLS:
        if HOURS / a_day < spans.hours:
            continue
        at = spans.hour % HOURS if level == "hours" else spans.hour
        period = spans.day if level == "hours" else spans.week
        cells = (at * a_day / HOURS).astype(np.int64)
        effects, shrinkage = _shrunk(residual, cells, period, a_day * period_days)
        if shrinkage >= 0:
            hours = HOURS if level == "hours" else WEEK
            return _by_hour(effects, hours), shrinkage, spans.days / period_days
    return nothing


def _by_hour(effects: NDArray[np.float64], hours: int) -> NDArray[np.float64]:
    """Interpolate the effects of wider cells at the middle of every hour."""
    cells = len(effects)
    x = (np.arange(hours) + 0.5) * cells / hours - 0.5
    low = np.floor(x).astype(np.int64)
    part = x - low
    found: NDArray[np.float64] = effects[low % cells] * (1 - part)
    return found + effects[(low + 1) % cells] * part


def _shrunk(
    residual: NDArray[np.float64], cell: NDArray[np.int64], period: NDArray[np.int64], cells: int
) -> tuple[NDArray[np.float64], float]:
    """Give shrunk effects of cells and B; B of -1 says that a cell was seen in one period only."""
    periods = period - period.min()
    shape = (int(periods.max()) + 1, cells)
    sums, n = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, (periods, cell), residual)
    np.add.at(n, (periods, cell), 1)
    seen = (n > 0).sum(axis=0)
    if seen.min() < 2:
        return np.zeros(cells), -1.0
    means = np.where(n > 0, sums / np.maximum(n, 1), 0.0)
    effects = means.sum(axis=0) / seen
    deviations = np.where(n > 0, means - effects, 0.0)
    noise = float(((deviations**2).sum(axis=0) / (seen - 1) / seen).mean())
    tau2 = float(effects.var()) - noise
    if tau2 <= _STANDS_OUT * noise * np.sqrt(2 / (cells - 1)):
        return np.zeros(cells), 0.0
    shrinkage = tau2 / (tau2 + noise)
    return (effects - effects.mean()) * shrinkage, shrinkage
