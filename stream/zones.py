"""Time zones: the table of the operating system, read once and frozen into a profile.

Tables of time zones change when governments do.  A profile keeps the offsets that it was fitted
with, so that the same log gives the same answer on a machine with another table.
"""

import difflib
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from detectors.errors import ConfigError
from detectors.season import Calendar

__all__ = ["calendar_of"]

_YEARS = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def calendar_of(zone: str, holidays: Sequence[date], start_ms: int) -> Calendar:
    """Freeze a zone's offsets for the 20 years from a time on, and the days that are Sundays.

    Raises
    ------
    ConfigError
        If there is no such zone; the message names the nearest.

    >>> calendar_of("Europe/Berlin", [date(2026, 12, 25)], 1_767_225_600_000).offsets[:2]
    ((1767225600000, 3600), (1774746000000, 7200))
    """
    days = tuple(sorted({(day - _EPOCH.date()).days for day in holidays}))
    if zone == "UTC":
        return Calendar(holidays=days)
    try:
        found = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        near = difflib.get_close_matches(zone, sorted(available_timezones()), 1, 0.0)
        raise ConfigError(
            f"time.zone is {zone!r}, which is no time zone; did you mean {near[0]}?"
        ) from error
    return Calendar(zone, tuple(_offsets(found, start_ms)), days)


def _offsets(zone: ZoneInfo, start_ms: int) -> list[tuple[int, int]]:
    """List (from in ms, seconds east of UTC), the first at the start."""
    time = _EPOCH + timedelta(seconds=start_ms // 1000)
    end = time + timedelta(days=365 * _YEARS)
    found = [(_ms(time), _seconds(zone, time))]
    while time < end:
        later = time + timedelta(days=1)
        if _seconds(zone, later) != found[-1][1]:
            change = _change(zone, time, later)
            found.append((_ms(change), _seconds(zone, change)))
        time = later
    return found


def _change(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """Find the second at which the offset of a day changes."""
    before = _seconds(zone, low)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if _seconds(zone, middle) == before:
            low = middle
        else:
            high = middle
    return high


def _seconds(zone: ZoneInfo, time: datetime) -> int:
    offset = time.astimezone(zone).utcoffset() or timedelta()
    return round(offset.total_seconds())


def _ms(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(milliseconds=1)
