"""Seasons: local time, what is found of a season and what is left alone."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.season import (
    NO_SEASON,
    Calendar,
    Season,
    clockwork,
    effects_of,
    hour_of_week,
    season_of_span,
    seasons_of,
)
from detectors.season_fit import Spans, fit_season, season_at, spans_of
from stream.zones import calendar_of

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MONDAY_MS = 1_767_571_200_000
BERLIN = calendar_of("Europe/Berlin", [date(2026, 12, 25)], MONDAY_MS)
HOURS = tuple(float(h) for h in range(24))


@given(st.integers(MONDAY_MS, MONDAY_MS + 5 * 365 * DAY_MS))
def test_local_time_is_that_of_the_zone(time_ms: int) -> None:
    time = datetime.fromtimestamp(time_ms // 1000, UTC).astimezone(ZoneInfo("Europe/Berlin"))
    weekday = 6 if time.date() == date(2026, 12, 25) else time.weekday()
    expected = weekday * 24 + time.hour + time.minute / 60 + time.second / 3600
    found = hour_of_week(time_ms // 1000 * 1000, clockwork(BERLIN))
    assert expected == pytest.approx(found, abs=1e-9)


def test_an_hourly_effect_holds_in_the_middle_of_its_hour_and_is_interpolated_between() -> None:
    row, clock = effects_of(Season(hours=HOURS)), clockwork(Calendar())
    half = HOUR_MS // 2
    assert season_of_span(row, (MONDAY_MS + 3 * HOUR_MS, MONDAY_MS + 4 * HOUR_MS), clock) == 3.0
    assert season_of_span(row, (MONDAY_MS + 3 * HOUR_MS + half, MONDAY_MS + 4 * HOUR_MS + half),
                          clock) == pytest.approx(3.5)  # fmt: skip
    assert season_of_span(row, (MONDAY_MS, MONDAY_MS + DAY_MS), clock) == pytest.approx(11.5)


def test_a_long_block_has_the_mean_of_its_span() -> None:
    row, clock = effects_of(Season(weekdays=(1.0, 2, 3, 4, 5, 6, 7))), clockwork(Calendar())
    assert season_of_span(row, (MONDAY_MS, MONDAY_MS + 7 * DAY_MS), clock) == pytest.approx(4.0)
    assert season_of_span(row, (MONDAY_MS, MONDAY_MS + 2 * DAY_MS), clock) == pytest.approx(1.5)


def test_statistics_without_a_season_take_no_room() -> None:
    table = seasons_of([NO_SEASON, Season(hours=HOURS), NO_SEASON])
    assert (table.row.tolist(), table.effects.shape) == ([-1, 0, -1], (1, 199))


def spans(days: int, per_day: int = 144, calendar: Calendar | None = None) -> Spans:
    starts = MONDAY_MS + np.arange(days * per_day) * (DAY_MS // per_day)
    edges = np.stack([starts, starts + DAY_MS // per_day], axis=1)
    return spans_of(edges, clockwork(calendar or Calendar()))


def noise(where: Spans, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, len(where.hour))


@pytest.mark.parametrize("seed", range(5))
def test_no_season_is_found_in_noise(seed: int) -> None:
    where = spans(28)
    season, widening = fit_season(noise(where, seed), where)
    assert np.abs(season_at(season, where)).max() < 0.25
    assert widening < 1.1


def test_day_and_weekend_are_found_and_what_is_left_is_noise() -> None:
    where = spans(28)
    true = np.sin(where.hour / 24 * 2 * np.pi) - 1.0 * (where.hour >= 120)
    season, widening = fit_season(true + noise(where, 1), where)
    error = season_at(season, where) - (true - true.mean())
    assert season.hours
    assert season.weekdays
    assert float(np.sqrt((error**2).mean())) < 0.15
    assert 1.0 < widening < 1.5


def test_one_week_shows_days_but_no_weekdays() -> None:
    where = spans(7)
    true = np.sin(where.hour / 24 * 2 * np.pi) - 1.0 * (where.hour >= 120)
    season, _ = fit_season(true + noise(where, 1), where)
    assert season.hours
    assert season.weekdays == season.week == ()


def test_one_day_shows_nothing() -> None:
    where = spans(1)
    assert fit_season(np.sin(where.hour / 24 * 2 * np.pi), where)[0] == NO_SEASON


def test_a_slice_takes_the_season_of_all_events_as_far_as_it_follows() -> None:
    where = spans(10, per_day=3)
    parent = Season(hours=tuple(np.sin(np.arange(24) / 24 * 2 * np.pi).tolist()))
    follows = season_at(parent, where) + 0.3 * noise(where, 2)
    assert fit_season(follows, where, parent)[0].hours[6] == pytest.approx(1.0, abs=0.35)
    against = -season_at(parent, where)
    assert (season_at(fit_season(against, where, parent)[0], where) @ against) >= 0


def test_the_season_follows_the_clock_on_the_wall_when_it_changes() -> None:
    before = spans(14, calendar=BERLIN)
    true = np.sin(before.hour / 24 * 2 * np.pi)
    season, _ = fit_season(true + 0.1 * noise(before, 3), before)
    summer = MONDAY_MS + 180 * DAY_MS + np.arange(144) * (DAY_MS // 144)
    edges = np.stack([summer, summer + DAY_MS // 144], axis=1)
    there = spans_of(edges, clockwork(BERLIN))
    expected = np.sin(there.hour / 24 * 2 * np.pi)
    np.testing.assert_allclose(season_at(season, there), expected, atol=0.2)
    in_utc = spans_of(edges, clockwork(Calendar("", ((0, 3600),))))
    assert np.abs(season_at(season, in_utc) - expected).max() > 0.2
