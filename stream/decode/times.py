"""Event times as whole milliseconds since the epoch, rounded down.

One rule, twice: `text_ms` and `number_ms` for one value, `texts_ms` and `numbers_ms` for
many.  Both work on integers, so that no rounding can move an event to another bucket.
"""

import datetime
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = [
    "NO_TIME",
    "TIME_MAX_MS",
    "TIME_MIN_MS",
    "number_ms",
    "numbers_ms",
    "text_ms",
    "texts_ms",
]

Times = npt.NDArray[np.int64]
Characters = npt.NDArray[np.uint8]

NO_TIME: Final = -(2**63)
TIME_MIN_MS: Final = 631_152_000_000
"""1990-01-01T00:00:00Z, the first time that an event may have."""
TIME_MAX_MS: Final = 4_133_980_799_999
"""2100-12-31T23:59:59.999Z, the last one."""

_RFC_3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))",
    re.ASCII,
)
_MONTH_DAYS: Final = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
_DIGITS: Final = (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18)
_DAY_MS: Final = 86_400_000
_EPOCH_DAYS: Final = datetime.date(1970, 1, 1).toordinal()
_400_YEARS_DAYS: Final = 146_097
# Below this many texts of one length, the set-up of the array form costs more than it saves.
_FEW: Final = 16


def text_ms(text: str) -> int | None:
    """Read an RFC 3339 time; None for anything else.

    A space may stand for the T; an offset or Z must be there.  Second 60 is taken only at
    23:59 UTC, where leap seconds are, and is the last millisecond of that minute.

    >>> text_ms("1970-01-01T01:00:00.0019+01:00"), text_ms("1970-01-01T01:00:00")
    (1, None)
    >>> text_ms("2016-12-31T23:59:60.5Z") == text_ms("2016-12-31T23:59:59.999Z")
    True
    """
    match = _RFC_3339.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.group(1, 2, 3, 4, 5, 6))
    sign, offset_hours, offset_minutes = match[8], int(match[9] or 0), int(match[10] or 0)
    try:
        # Python knows no year 0; the calendar repeats every 400 years.
        days = datetime.date(year or 400, month, day).toordinal() - (0 if year else _400_YEARS_DAYS)
    except ValueError:
        return None
    if hour > 23 or minute > 59 or second > 60 or offset_hours > 23 or offset_minutes > 59:
        return None
    offset = (offset_hours * 60 + offset_minutes) * (-1 if sign == "-" else 1)
    minutes = (days - _EPOCH_DAYS) * 1440 + hour * 60 + minute - offset
    if second == 60:
        return minutes * 60_000 + 59_999 if minutes % 1440 == 1439 else None
    return minutes * 60_000 + second * 1000 + int(((match[7] or "") + "000")[:3])


def number_ms(seconds: float) -> int:
    """Turn seconds since the epoch into milliseconds; integers of any size are exact.

    A float means the shortest decimal that reads back as that float: 1700000000.001 is
    1 ms past the second, though the float itself lies a little below.  It must be finite.

    >>> number_ms(1700000000.001), number_ms(-0.0001), number_ms(7)
    (1700000000001, -1, 7000)
    """
    if isinstance(seconds, int):
        return seconds * 1000
    numerator, denominator = Decimal(float.__repr__(seconds)).as_integer_ratio()
    return numerator * 1000 // denominator


def numbers_ms(seconds: npt.NDArray[np.float64]) -> Times:
    """Do what `number_ms` does for finite float64[n]; NO_TIME beyond 10^11 seconds.

    >>> numbers_ms(np.array([1700000000.001, -0.0001, 1e300])).tolist()
    [1700000000001, -1, -9223372036854775808]
    """
    near = np.abs(seconds) < 1e11
    kept = np.where(near, seconds, 0.0)
    whole = np.rint(kept * 1000)
    # The product is off by less than 1; a quotient of whole numbers is rounded correctly,
    # so it is the float that a decimal with three places reads as.
    whole -= whole / 1000 > kept
    return np.where(near, whole.astype(np.int64), NO_TIME)


def texts_ms(texts: Sequence[str]) -> Times:
    """Do what `text_ms` does for many texts: int64[n], NO_TIME where it says None.

    >>> texts_ms(["1970-01-01T00:00:00Z", "yesterday"]).tolist()
    [0, -9223372036854775808]
    """
    times = np.full(len(texts), NO_TIME, np.int64)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    for length in np.unique(lengths[(lengths >= 20) & (lengths <= 40)]).tolist():
        rows = np.flatnonzero(lengths == length)
        if len(rows) < _FEW:
            continue
        joined = "".join([texts[row] for row in rows.tolist()])
        if joined.isascii():
            characters = np.frombuffer(joined.encode(), np.uint8).reshape(len(rows), length)
            times[rows] = _usual(np.ascontiguousarray(characters.T))
    for row in np.flatnonzero(times == NO_TIME).tolist():
        time = text_ms(texts[row])
        if time is not None:
            times[row] = time
    return times


def _usual(characters: Characters) -> Times:
    """Read uint8[length, n]; NO_TIME where the text is not plain RFC 3339 up to second 59."""
    length, count = characters.shape
    times = np.full(count, NO_TIME, np.int64)
    zulu = (characters[-1] | 0x20) == ord("z")
    good = _shape_is_usual(characters)
    for columns, end in ((zulu, length - 1), (~zulu, length - 6)):
        if end < 19 or end == 20 or not columns.any():
            continue
        part = characters if columns.all() else characters[:, columns]
        fitting = good[columns] & _is_digit(part[20:end]).all(axis=0)
        if end > 19:
            fitting &= part[19] == ord(".")
        clock, in_range = _clock_ms(part, end)
        if end == length - 6:
            offset, offset_fits = _offset_ms(part[end:])
            clock, fitting = clock - offset, fitting & offset_fits
        times[columns] = np.where(fitting & in_range, clock, NO_TIME)
    return times


def _shape_is_usual(characters: Characters) -> npt.NDArray[np.bool_]:
    separator = characters[10]
    good: npt.NDArray[np.bool_] = ((separator | 0x20) == ord("t")) | (separator == ord(" "))
    for position, mark in ((4, "-"), (7, "-"), (13, ":"), (16, ":")):
        good &= characters[position] == ord(mark)
    for position in _DIGITS:
        good &= _is_digit(characters[position])
    return good


def _clock_ms(characters: Characters, end: int) -> tuple[Times, npt.NDArray[np.bool_]]:
    """Read date, clock and the fraction that ends before row `end`, as if they were UTC."""
    year = _pair(characters, 0) * 100 + _pair(characters, 2)
    month, day = _pair(characters, 5), _pair(characters, 8)
    hour, minute, second = (_pair(characters, position) for position in (11, 14, 17))
    in_range = (month >= 1) & (month <= 12) & (day >= 1) & (hour < 24) & (minute < 60)
    in_range &= (second < 60) & (day <= _month_days(year, np.where(in_range, month, 1)))
    clock = (hour * 60 + minute) * 60_000 + second * 1000
    for position, scale in zip(range(20, end), (100, 10, 1), strict=False):
        clock += (characters[position].astype(np.int64) - ord("0")) * scale
    return _days(year, month, day) * _DAY_MS + clock, in_range


def _offset_ms(characters: Characters) -> tuple[Times, npt.NDArray[np.bool_]]:
    """Read +hh:mm or -hh:mm from uint8[6, n]."""
    sign = characters[0]
    good = ((sign == ord("+")) | (sign == ord("-"))) & (characters[3] == ord(":"))
    good &= _is_digit(characters[[1, 2, 4, 5]]).all(axis=0)
    hours, minutes = _pair(characters, 1), _pair(characters, 4)
    good &= (hours < 24) & (minutes < 60)
    offset = (hours * 60 + minutes) * 60_000
    return np.where(sign == ord("-"), -offset, offset), good


def _is_digit(characters: Characters) -> npt.NDArray[np.bool_]:
    digits: npt.NDArray[np.bool_] = characters - np.uint8(ord("0")) <= 9
    return digits


def _pair(characters: Characters, position: int) -> Times:
    tens, ones = characters[position].astype(np.int64), characters[position + 1]
    number: Times = tens * 10 + ones - 11 * ord("0")
    return number


def _month_days(year: Times, month: Times) -> Times:
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    days: Times = _MONTH_DAYS[month] + (leap & (month == 2))
    return days


def _days(year: Times, month: Times, day: Times) -> Times:
    """Count days since the epoch in the proleptic Gregorian calendar (years from March)."""
    year = year - (month <= 2)
    years = year % 400
    days: Times = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days += years * 365 + years // 4 - years // 100
    days += year // 400 * _400_YEARS_DAYS - 719_468
    return days
