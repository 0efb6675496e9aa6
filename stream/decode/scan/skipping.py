"""Objects and lists that nobody asked for: checked to the letter, and stepped over."""

from typing import Any, Final

import numpy as np
from numba import njit

from stream.decode.scan.bits import load8, load64
from stream.decode.scan.escapes import written_out
from stream.decode.scan.numbers import BAD, read_number
from stream.decode.scan.text import after_space, string_end

__all__ = ["FALSE", "NULL", "TEXT", "TRUE", "after_name", "after_nested", "read_scalar"]

NULL: Final = 1
FALSE: Final = 2
TRUE: Final = 3
TEXT: Final = 6

_LEVELS_MAX: Final = 63
_ZERO, _ONE = np.uint64(0), np.uint64(1)
_QUOTE, _COMMA, _COLON = np.uint64(ord('"')), np.uint64(ord(",")), np.uint64(ord(":"))
_OPEN, _CLOSE = np.uint64(ord("{")), np.uint64(ord("}"))
_OPEN_LIST, _CLOSE_LIST = np.uint64(ord("[")), np.uint64(ord("]"))
_FOUR, _FIVE = np.uint64(0xFFFFFFFF), np.uint64(0xFFFFFFFFFF)
_NULL = np.uint64(int.from_bytes(b"null", "little"))
_TRUE = np.uint64(int.from_bytes(b"true", "little"))
_FALSE = np.uint64(int.from_bytes(b"false", "little"))


@njit(cache=True, forceinline=True, error_model="numpy")
def read_scalar(p: Any, end: Any, plan: Any) -> Any:
    """Read what is no object and no list: (kind, double, start, length, address behind it).

    The kind is NULL, FALSE, TRUE, NUMBER, LONG, TEXT (start and length are set) or BAD.
    """
    c = load8(p)
    if c == _QUOTE:
        quote = string_end(p + _ONE, end)
        if quote != _ZERO:
            return TEXT, 0.0, p + _ONE, quote - p - _ONE, quote + _ONE
        start, length, after = written_out(p + _ONE, end, plan)
        return (TEXT if after != _ZERO else BAD), 0.0, start, length, after
    word = load64(p)
    if word & _FOUR == _NULL:
        return NULL, 0.0, p, _ZERO, p + np.uint64(4)
    if word & _FOUR == _TRUE:
        return TRUE, 0.0, p, _ZERO, p + np.uint64(4)
    if word & _FIVE == _FALSE:
        return FALSE, 0.0, p, _ZERO, p + np.uint64(5)
    kind, number, after = read_number(p)
    return kind, number, p, _ZERO, after


@njit(cache=True, error_model="numpy")
def after_nested(p: Any, end: Any, levels: Any, plan: Any) -> Any:
    """Step over the object or list at p; 0 if it is none, or deeper than `levels`.

    One bit a level says whether it is an object.
    """
    objects, depth = _ZERO, 0
    while True:
        c = load8(p)
        if c == _OPEN or c == _OPEN_LIST:
            depth += 1
            if depth > min(levels, _LEVELS_MAX):
                return _ZERO
            objects = (objects << _ONE) | (_ONE if c == _OPEN else _ZERO)
            p = after_space(p + _ONE)
            if load8(p) != (_CLOSE if c == _OPEN else _CLOSE_LIST):
                if c == _OPEN:
                    p = after_name(p, end, plan)
                    if p == _ZERO:
                        return _ZERO
                continue
        else:
            kind, _, _, _, p = read_scalar(p, end, plan)
            if kind == BAD:
                return _ZERO
            p = after_space(p)
        while load8(p) == (_CLOSE if objects & _ONE else _CLOSE_LIST):
            depth -= 1
            objects >>= _ONE
            p += _ONE
            if depth == 0:
                return p
            if p >= end:
                return _ZERO
            p = after_space(p)
        if load8(p) != _COMMA:
            return _ZERO
        p = after_space(p + _ONE)
        if objects & _ONE:
            p = after_name(p, end, plan)
            if p == _ZERO:
                return _ZERO


@njit(cache=True, error_model="numpy")
def after_name(p: Any, end: Any, plan: Any) -> Any:
    """Step over a name and its colon; 0 if that is not what stands there."""
    if load8(p) != _QUOTE:
        return _ZERO
    quote = string_end(p + _ONE, end)
    if quote == _ZERO:
        _, _, p = written_out(p + _ONE, end, plan)
        if p == _ZERO:
            return _ZERO
    else:
        p = quote + _ONE
    p = after_space(p)
    return after_space(p + _ONE) if load8(p) == _COLON else _ZERO
