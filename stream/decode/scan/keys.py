"""Names in an object: the one that came next in the row before is tried first."""

from typing import Any, Final

import numpy as np
from numba import njit

from stream.decode.scan import codes
from stream.decode.scan.bits import load8, load64
from stream.decode.scan.escapes import written_out
from stream.decode.scan.names import find, mixed, same_text, text_words
from stream.decode.scan.text import after_space, string_end

__all__ = ["read_name"]

_ZERO, _ONE, _EIGHT = np.uint64(0), np.uint64(1), np.uint64(8)
_LONG_NAME = np.uint64(16)
_QUOTE, _COLON = np.uint64(ord('"')), np.uint64(ord(":"))
_UNKNOWN: Final = -1


@njit(cache=True, forceinline=True, error_model="numpy")
def _expected(p: Any, end: Any, key: Any, place: Any) -> Any:
    """Tell whether the name that begins at p is this key; p is behind its quote."""
    plan, within = place
    keys, row = plan.keys, key * codes.KEY_WORDS
    length = keys[row + codes.LENGTH]
    if keys[row + codes.OBJECT] != within or p + length >= end or load8(p + length) != _QUOTE:
        return False
    if load64(p) & keys[row + codes.MASK] != keys[row + codes.WORD]:
        return False
    if length <= _EIGHT:
        return True
    if load64(p + length - _EIGHT) != keys[row + codes.LAST]:
        return False
    return length <= _LONG_NAME or same_text(p, plan.names[2] + keys[row + codes.REST], length)


@njit(cache=True, error_model="numpy")
def _hashed(p: Any, end: Any) -> Any:
    """Hash all of a name."""
    word = _ZERO
    while p + _EIGHT < end:
        word = mixed(load64(p), word, _EIGHT, _ZERO)
        p += _EIGHT
    first, _ = text_words(p, end - p)
    return mixed(first, word, end - p, _ONE)


@njit(cache=True, error_model="numpy")
def _is_new(plan: Any, word: Any) -> bool:
    """Count an unknown feature by its name's hash; False if it, or too many, came before."""
    facts = plan.facts
    facts[codes.STRANGERS] += 1
    if facts[codes.STRANGERS] > codes.STRANGERS_MAX:
        return False
    slot = word & np.uint64(codes.STRANGER_SLOTS - 1)
    while plan.stranger_rows[slot] == facts[codes.ROW_NUMBER]:
        if plan.strangers[slot] == word:
            return False
        slot = (slot + _ONE) & np.uint64(codes.STRANGER_SLOTS - 1)
    plan.stranger_rows[slot], plan.strangers[slot] = facts[codes.ROW_NUMBER], word
    return True


@njit(cache=True, error_model="numpy")
def _looked_up(p: Any, end: Any, place: Any) -> Any:
    """Read a name that was not expected; give its key, and what is behind it (0 if in doubt)."""
    plan, within = place
    start, behind = p, string_end(p, end) + _ONE
    length = behind - p - _ONE
    if behind == _ONE:
        start, length, behind = written_out(p, end, plan)
    if behind == _ZERO or np.int64(length) > plan.choices[codes.STRING_BYTES_MAX]:
        return np.int64(_UNKNOWN), _ZERO
    first, last = text_words(start, length)
    key = find(plan.names, (first, last, length), within, start)
    if key < 0 and within == codes.FEATURES and not _is_new(plan, _hashed(start, start + length)):
        return key, _ZERO
    return key, behind


@njit(cache=True, forceinline=True, error_model="numpy")
def read_name(p: Any, end: Any, previous: Any, place: Any) -> Any:
    """Read a name and its colon; give its key, and where the value begins (0 if in doubt)."""
    plan, _ = place
    if load8(p) != _QUOTE:
        return np.int64(_UNKNOWN), _ZERO
    p += _ONE
    key = plan.following[previous]
    if _expected(p, end, key, place):
        p += plan.keys[key * codes.KEY_WORDS + codes.LENGTH] + _ONE
    else:
        key, p = _looked_up(p, end, place)
        if p == _ZERO:
            return key, _ZERO
        if key >= 0:
            plan.following[previous] = key
    if key >= 0:
        # The last of two counts, which only the slow way knows how to do.
        if plan.marks[key] == plan.facts[codes.ROW_NUMBER]:
            return key, _ZERO
        plan.marks[key] = plan.facts[codes.ROW_NUMBER]
    if load8(p) != _COLON:
        p = after_space(p)
        if load8(p) != _COLON:
            return key, _ZERO
    return key, after_space(p + _ONE)
