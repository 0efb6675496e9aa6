"""Event times in place: the rules of `stream.decode.times`, for the texts and numbers in use.

Second 60, offsets that move a time out of the years 1990 to 2100 and whatever else is rare are
left to others: the answer is then NO_TIME.
"""

from typing import Any, Final

import numpy as np
from numba import njit

from stream.decode.scan.bits import load8, load64
from stream.decode.times import NO_TIME, TIME_MAX_MS, TIME_MIN_MS

__all__ = ["MINUTE_WORDS", "number_time", "text_time"]

MINUTE_WORDS: Final = 3
"""The words that `text_time` keeps: the 16 bytes of the minute read last, and its time."""

_MONTH_DAYS: Final = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
_DIGIT_0 = np.uint64(ord("0"))
_ZERO, _ONE, _EIGHT, _TEN = np.uint64(0), np.uint64(1), np.uint64(8), np.uint64(10)
_LOWER = np.uint64(0x20)
_POINT, _COLON, _DASH = np.uint64(ord(".")), np.uint64(ord(":")), np.uint64(ord("-"))
_PLUS, _T, _Z, _SPACE = (np.uint64(ord(c)) for c in "+tz ")
_SHORTEST = np.uint64(20)
_LONGEST = np.uint64(40)
_YEAR_MIN, _YEAR_MAX = 1989, 2101


@njit(cache=True, forceinline=True, error_model="numpy")
def _pair(p: Any) -> Any:
    """Read two digits; 100 or more if they are none."""
    tens, ones = load8(p) - _DIGIT_0, load8(p + _ONE) - _DIGIT_0
    return np.int64(tens * _TEN + ones) if tens < _TEN and ones < _TEN else np.int64(100)


@njit(cache=True, error_model="numpy")
def _minute_ms(p: Any) -> Any:
    """Read `yyyy-mm-ddThh:mm`."""
    dashes = load8(p + np.uint64(4)) == _DASH and load8(p + np.uint64(7)) == _DASH
    separator = load8(p + np.uint64(10))
    if not dashes or not (separator | _LOWER == _T or separator == _SPACE):
        return NO_TIME
    if load8(p + np.uint64(13)) != _COLON:
        return NO_TIME
    century, years = _pair(p), _pair(p + np.uint64(2))
    month, day = _pair(p + np.uint64(5)), _pair(p + np.uint64(8))
    hour, minute = _pair(p + np.uint64(11)), _pair(p + np.uint64(14))
    year = century * 100 + years
    if years > 99 or not _YEAR_MIN <= year <= _YEAR_MAX or not 1 <= month <= 12:
        return NO_TIME
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    days = _MONTH_DAYS[month] + (1 if leap and month == 2 else 0)
    if not 1 <= day <= days or hour > 23 or minute > 59:
        return NO_TIME
    # Years from March, so that the day that leap years have is the last one.
    since = year - 1 if month <= 2 else year
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    day_number = since * 365 + since // 4 - since // 100 + since // 400 + day_of_year - 719_468
    return (day_number * 1440 + hour * 60 + minute) * 60_000


@njit(cache=True, forceinline=True, error_model="numpy")
def _offset_ms(p: Any, left: Any) -> Any:
    """Read Z or an offset of hours and minutes, in exactly `left` bytes; NO_TIME if it is none."""
    sign = load8(p)
    if left == _ONE:
        return np.int64(0) if sign | _LOWER == _Z else np.int64(NO_TIME)
    signed = sign == _PLUS or sign == _DASH
    if left != np.uint64(6) or not signed or load8(p + np.uint64(3)) != _COLON:
        return np.int64(NO_TIME)
    hours, minutes = _pair(p + _ONE), _pair(p + np.uint64(4))
    if hours > 23 or minutes > 59:
        return np.int64(NO_TIME)
    offset = (hours * 60 + minutes) * 60_000
    return -offset if sign == _DASH else offset


@njit(cache=True, forceinline=True, error_model="numpy")
def text_time(p: Any, length: Any, minute: Any) -> Any:
    """Read an RFC 3339 time of `length` bytes; `minute` uint64[MINUTE_WORDS] is kept between calls.

    Logs are in order, mostly: the minute is the one of the row before.
    """
    if length < _SHORTEST or length > _LONGEST:
        return np.int64(NO_TIME)
    low, high = load64(p), load64(p + _EIGHT)
    if low != minute[0] or high != minute[1]:
        found = _minute_ms(p)
        if found == NO_TIME:
            return np.int64(NO_TIME)
        minute[0], minute[1], minute[2] = low, high, np.uint64(found)
    second = _pair(p + np.uint64(17))
    if load8(p + np.uint64(16)) != _COLON or second > 59:
        return np.int64(NO_TIME)
    clock = np.int64(minute[2]) + second * 1000
    end = p + length
    p += np.uint64(19)
    if load8(p) == _POINT:
        p += _ONE
        digit, scale = load8(p) - _DIGIT_0, 100
        if digit >= _TEN:
            return np.int64(NO_TIME)
        while digit < _TEN:
            clock += np.int64(digit) * scale
            scale //= 10
            p += _ONE
            digit = load8(p) - _DIGIT_0
    offset = _offset_ms(p, end - p)
    if offset == NO_TIME or not TIME_MIN_MS <= clock - offset <= TIME_MAX_MS:
        return np.int64(NO_TIME)
    return clock - offset


@njit(cache=True, forceinline=True, error_model="numpy")
def number_time(seconds: Any) -> Any:
    """Do what `numbers_ms` does, within the years of an event."""
    if not -1e11 < seconds < 1e11:
        return np.int64(NO_TIME)
    whole = np.rint(seconds * 1000)
    if whole / 1000 > seconds:
        whole -= 1
    if not TIME_MIN_MS <= whole <= TIME_MAX_MS:
        return np.int64(NO_TIME)
    return np.int64(whole)
