"""Zones and holidays: from the configuration into the profile, frozen."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import logs
import pytest

from detectors.errors import ConfigError
from detectors.profile import load, render
from stream.config import semantic_hash
from stream.config_file import load_config
from stream.fitting import fit_options
from stream.zones import calendar_of

START_MS = 1_767_225_600_000


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]
)
def test_the_frozen_offsets_are_the_zones_on_every_day_of_ten_years(zone: str) -> None:
    calendar = calendar_of(zone, [], START_MS)
    starts = [start for start, _ in calendar.offsets]
    for day in range(0, 3_650, 3):
        time = datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(days=day)
        ms = round(time.timestamp() * 1000)
        known = max(at for at, start in enumerate(starts) if start <= ms)
        offset = time.astimezone(ZoneInfo(zone)).utcoffset()
        assert offset == timedelta(seconds=calendar.offsets[known][1])


def test_a_clock_changes_at_its_second() -> None:
    changes = dict(calendar_of("Europe/Berlin", [], START_MS).offsets[1:3])
    summer = datetime(2026, 3, 29, 1, tzinfo=UTC)
    winter = datetime(2026, 10, 25, 1, tzinfo=UTC)
    assert changes == {
        round(summer.timestamp() * 1000): 7_200,
        round(winter.timestamp() * 1000): 3_600,
    }


def test_utc_needs_no_offsets_and_holidays_are_days_in_order() -> None:
    calendar = calendar_of("UTC", [date(1970, 1, 3), date(1970, 1, 2), date(1970, 1, 2)], 0)
    assert (calendar.offsets, calendar.holidays) == ((), (1, 2))


def test_a_zone_that_is_none_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean Europe/Berlin"):
        calendar_of("Europe/Berlinn", [], 0)


def test_zone_and_holidays_go_from_the_file_into_the_profile(tmp_path: Path) -> None:
    path = tmp_path / "driftline.toml"
    path.write_text('[time]\nzone = "Europe/Berlin"\nholidays = [2026-12-25]\n')
    config = load_config(path, {})
    calendar = fit_options(config, logs.events(10)).calendar
    assert (calendar.zone, calendar.holidays) == ("Europe/Berlin", (20_812,))
    assert semantic_hash(config) != semantic_hash(load_config(None, {}))


def test_a_profile_keeps_its_calendar_when_it_is_written_and_read() -> None:
    profile = logs.profile()
    assert profile == load(render(profile), "the test")
