"""Strings without escapes, and what stands between tokens."""

from typing import Any, Final

import numpy as np
from numba import njit

from stream.decode.scan.bits import HIGH_BITS, ONES, first_byte, load8, load64

__all__ = ["after_character", "after_space", "string_end"]

_QUOTES: Final = ONES * np.uint64(ord('"'))
_BACKSLASHES: Final = ONES * np.uint64(ord("\\"))
_SPACES: Final = ONES * np.uint64(ord(" "))
_QUOTE, _SPACE = np.uint64(ord('"')), np.uint64(ord(" "))
_TAB, _LINE, _RETURN = np.uint64(9), np.uint64(10), np.uint64(13)
_ZERO, _ONE, _EIGHT = np.uint64(0), np.uint64(1), np.uint64(8)
_CONTINUED_MASK, _CONTINUED = np.uint64(0xC0C0C0C0), np.uint64(0x80808080)


@njit(cache=True, forceinline=True, error_model="numpy")
def after_space(p: Any) -> Any:
    """Step over white space; what ends a value is none, so this stops there at the latest."""
    c = load8(p)
    while c <= _SPACE and (c == _SPACE or c == _LINE or c == _RETURN or c == _TAB):
        p += _ONE
        c = load8(p)
    return p


@njit(cache=True, error_model="numpy")
def after_character(p: Any) -> Any:
    """Step over one character of two to four bytes of UTF-8; 0 if it is none."""
    word = load64(p)
    lead, second = word & np.uint64(0xFF), (word >> _EIGHT) & np.uint64(0xFF)
    if np.uint64(0xC2) <= lead < np.uint64(0xE0):
        length = np.uint64(2)
    elif lead & np.uint64(0xF0) == np.uint64(0xE0):
        length = np.uint64(3)
        if lead == np.uint64(0xE0) and second < np.uint64(0xA0):
            return _ZERO
        if lead == np.uint64(0xED) and second > np.uint64(0x9F):
            return _ZERO
    elif np.uint64(0xF0) <= lead < np.uint64(0xF5):
        length = np.uint64(4)
        if lead == np.uint64(0xF0) and second < np.uint64(0x90):
            return _ZERO
        if lead == np.uint64(0xF4) and second > np.uint64(0x8F):
            return _ZERO
    else:
        return _ZERO
    within = (_ONE << (length * _EIGHT)) - np.uint64(0x100)
    if (word & _CONTINUED_MASK & within) != (_CONTINUED & within):
        return _ZERO
    return p + length


@njit(cache=True, forceinline=True, error_model="numpy")
def string_end(p: Any, end: Any) -> Any:
    """Find the quote that ends the string whose first byte is at p.

    0 where there is none before `end`, or the string has an escape, a control character or
    what is not UTF-8 in it.
    """
    while p < end:
        word = load64(p)
        quotes, escapes = word ^ _QUOTES, word ^ _BACKSLASHES
        # A byte that borrows marks bytes above it only, so the lowest mark is always a true one.
        marks = (quotes - ONES) & ~quotes
        marks |= (escapes - ONES) & ~escapes
        marks |= (word - _SPACES) | word
        marks &= HIGH_BITS
        if marks == _ZERO:
            p += _EIGHT
            continue
        p += first_byte(marks)
        c = load8(p)
        if c == _QUOTE:
            return p if p < end else _ZERO
        if c < np.uint64(0x80):
            return _ZERO
        p = after_character(p)
        if p == _ZERO:
            return _ZERO
    return _ZERO
