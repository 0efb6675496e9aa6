"""Strings with escapes: written out to a spare place, where they are read as any other."""

from typing import Any, Final

import numpy as np
from numba import njit

from stream.decode.scan import codes
from stream.decode.scan.bits import load8
from stream.decode.scan.text import after_character

__all__ = ["written_out"]

_ZERO, _ONE, _TWO, _FOUR = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(4)
_QUOTE, _BACKSLASH, _SPACE = np.uint64(ord('"')), np.uint64(ord("\\")), np.uint64(ord(" "))
_U = np.uint64(ord("u"))
_LETTERS: Final = np.zeros(256, np.uint8)
_LETTERS[list(b'"\\/bfnrt')] = list(b'"\\/\b\f\n\r\t')
_DIGITS: Final = np.full(256, -1, np.int64)
_DIGITS[list(b"0123456789abcdef")] = _DIGITS[list(b"0123456789ABCDEF")] = np.arange(16)
_HIGH, _LOW, _AFTER = 0xD800, 0xDC00, 0xE000


@njit(cache=True, error_model="numpy")
def _code_unit(p: Any) -> Any:
    """Read four hexadecimal digits; -1 if they are none."""
    unit = np.int64(0)
    for i in range(4):
        digit = _DIGITS[load8(p + np.uint64(i))]
        if digit < 0:
            return np.int64(-1)
        unit = unit * 16 + digit
    return unit


@njit(cache=True, error_model="numpy")
def _put(spare: Any, at: Any, character: Any) -> Any:
    """Write one character in UTF-8; give where the next one goes."""
    if character < 0x80:
        spare[at] = np.uint8(character)
        return at + 1
    if character < 0x800:
        spare[at] = np.uint8(0xC0 | character >> 6)
    elif character < 0x10000:
        spare[at] = np.uint8(0xE0 | character >> 12)
    else:
        spare[at] = np.uint8(0xF0 | character >> 18)
        at += 1
        spare[at] = np.uint8(0x80 | (character >> 12 & 0x3F))
    if character >= 0x800:
        at += 1
        spare[at] = np.uint8(0x80 | (character >> 6 & 0x3F))
    spare[at + 1] = np.uint8(0x80 | (character & 0x3F))
    return at + 2


@njit(cache=True, error_model="numpy")
def _escaped(p: Any) -> Any:
    """Read the escape at p: the character (-1: none, or half of one), and what is behind it."""
    letter = load8(p + _ONE)
    if letter != _U:
        character = np.int64(_LETTERS[letter])
        return (character or np.int64(-1)), p + _TWO
    unit = _code_unit(p + _TWO)
    p += _TWO + _FOUR
    if unit < _HIGH or unit >= _AFTER:
        return unit, p
    if unit >= _LOW or load8(p) != _BACKSLASH or load8(p + _ONE) != _U:
        return np.int64(-1), p
    low = _code_unit(p + _TWO)
    if not _LOW <= low < _AFTER:
        return np.int64(-1), p
    return 0x10000 + ((unit - _HIGH) << 10) + low - _LOW, p + _TWO + _FOUR


@njit(cache=True, error_model="numpy")
def written_out(p: Any, end: Any, plan: Any) -> Any:
    """Write out the string whose first byte is at p: (start, length, address behind its quote).

    That address is 0 where it does not end before `end`, is no string, or is too long.  What is
    written stays there until the row ends.
    """
    first = at = plan.facts[codes.SPARE_USED]
    start = plan.spare_address + np.uint64(first)
    while p < end and at < codes.SPARE_BYTES:
        c = load8(p)
        if c == _QUOTE:
            plan.facts[codes.SPARE_USED] = at
            return start, np.uint64(at - first), p + _ONE
        if c == _BACKSLASH:
            character, p = _escaped(p)
            if character < 0:
                return start, _ZERO, _ZERO
            at = _put(plan.spare, at, character)
        elif c < _SPACE:
            return start, _ZERO, _ZERO
        else:
            behind = p + _ONE if c < np.uint64(0x80) else after_character(p)
            if behind == _ZERO:
                return start, _ZERO, _ZERO
            while p < behind:
                plan.spare[at] = np.uint8(load8(p))
                at += 1
                p += _ONE
    return start, _ZERO, _ZERO
