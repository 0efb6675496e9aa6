"""One event: walked once, its values put where the profile wants them."""

from typing import Any, Final

import numpy as np
from numba import njit

from detectors.events import WEIGHT_MAX
from stream.decode.scan import codes
from stream.decode.scan.bits import bits_of, load8
from stream.decode.scan.clock import number_time, text_time
from stream.decode.scan.keys import read_name
from stream.decode.scan.names import NUMERAL, find, mixed, text_words
from stream.decode.scan.numbers import BAD, LONG, NUMBER
from stream.decode.scan.skipping import FALSE, NULL, TEXT, TRUE, after_nested, read_scalar
from stream.decode.scan.text import after_space
from stream.decode.times import NO_TIME

__all__ = ["put", "walk"]

_ZERO, _ONE = np.uint64(0), np.uint64(1)
_COMMA = np.uint64(ord(","))
_OPEN, _CLOSE = np.uint64(ord("{")), np.uint64(ord("}"))
_OPEN_LIST = np.uint64(ord("["))
_TRUE: Final = np.uint64(int.from_bytes(b"true", "little"))
_FALSE: Final = np.uint64(int.from_bytes(b"false", "little"))
_NO_NUMBER = np.int64(-1)


@njit(cache=True, forceinline=True, error_model="numpy")
def _category(part: Any, scalar: Any, plan: Any) -> Any:
    """Give the code of a category; an unknown one has the number of the known ones."""
    kind, number, start, length = scalar
    if kind == TEXT:
        first, last = text_words(start, length)
    elif kind == TRUE:
        first, last, length = _TRUE, _ZERO, np.uint64(4)
    elif kind == FALSE:
        first, last, length = _FALSE, _ZERO, np.uint64(5)
    else:
        # Adding zero makes one zero of the two.
        first, last, length = bits_of(number + 0.0), _ZERO, NUMERAL
    code = find(plan.names, (first, last, length), np.uint64(part), start)
    return code if code >= 0 else plan.sizes[part]


@njit(cache=True, forceinline=True, error_model="numpy")
def put(target: Any, scalar: Any, plan: Any, out: Any) -> None:
    """Put a value into its column; a text is no number, so there it counts as missing."""
    values, codes_found, row, coded_row = out
    kind = scalar[0]
    if target >= 0:
        if kind == NUMBER or kind == LONG:
            values[row + target] = scalar[1]
        elif kind == TRUE:
            values[row + target] = 1.0
        elif kind == FALSE:
            values[row + target] = 0.0
    elif target <= codes.CATEGORICAL and kind != NULL:
        column = codes.CATEGORICAL - target
        codes_found[coded_row + column] = _category(codes.FIRST_PART + column, scalar, plan)


@njit(cache=True, error_model="numpy")
def _set_time(scalar: Any, plan: Any) -> Any:
    kind, number, start, length = scalar
    time = np.int64(NO_TIME)
    if kind == TEXT:
        time = text_time(start, length, plan.minute)
    elif kind == NUMBER:
        time = number_time(number)
    plan.facts[codes.EVENT_TIME] = time
    return codes.TAKEN if time != NO_TIME else codes.DOUBTFUL


@njit(cache=True, error_model="numpy")
def _set_model(scalar: Any, plan: Any) -> Any:
    kind, _, start, length = scalar
    if kind != TEXT or length == _ZERO:
        return codes.DOUBTFUL
    first, last = text_words(start, length)
    plan.facts[codes.HAS_MODEL] = 1
    if find(plan.names, (first, last, length), np.uint64(codes.MODEL_PART), start) == 0:
        return codes.TAKEN
    plan.facts[codes.MODEL_HASH] = np.int64(mixed(first, last, length, _ZERO))
    return codes.OTHER_MODEL


@njit(cache=True, error_model="numpy")
def _note(where: Any, scalar: Any, plan: Any, number_at: Any) -> None:
    """Keep a label or a class until the event has ended."""
    plan.facts[where] = scalar[0]
    plan.facts[where + 1], plan.facts[where + 2] = np.int64(scalar[2]), np.int64(scalar[3])
    plan.numbers[number_at] = scalar[1]


@njit(cache=True, error_model="numpy")
def _rarer(step: Any, scalar: Any, plan: Any) -> Any:
    """Do what the fields need that are no columns of their own."""
    action, _ = step
    kind, number = scalar[0], scalar[1]
    numeric = kind == NUMBER or kind == LONG
    if action == codes.TIME:
        return _set_time(scalar, plan)
    if action == codes.MODEL:
        return _set_model(scalar, plan)
    if action == codes.LABEL:
        _note(codes.LABEL_AT, scalar, plan, codes.LABEL_NUMBER)
        return codes.TAKEN
    if action == codes.CLASS or (action == codes.PREDICT and kind == TEXT):
        _note(codes.CLASS_AT, scalar, plan, codes.CLASS_NUMBER)
        return codes.TAKEN
    if action == codes.SCORE or action == codes.PREDICT:
        if numeric:
            plan.facts[codes.HAS_SCORE] = 1
            plan.numbers[codes.SCORE_NUMBER] = number
            return codes.TAKEN
    elif action == codes.NAME or action == codes.VERSION:
        key = plan.choices[codes.VERSION_KEY]
        if action == codes.VERSION and key >= 0 and kind == LONG:
            return codes.DOUBTFUL
        if action == codes.VERSION and key >= 0 and (kind == TEXT or kind == NUMBER):
            part = plan.choices[codes.SEGMENT_PART] + key
            plan.facts[codes.VERSION_CODE] = _category(part, scalar, plan)
        if kind == TEXT or numeric:
            return codes.TAKEN
    elif action == codes.WEIGHT and numeric:
        if not 1 <= number <= WEIGHT_MAX or number != np.floor(number):
            return codes.DOUBTFUL
        plan.facts[codes.WEIGHT_SEEN] = np.int64(number)
        return codes.TAKEN
    return codes.TAKEN if kind == NULL else codes.DOUBTFUL


@njit(cache=True, forceinline=True, error_model="numpy")
def _apply(step: Any, scalar: Any, plan: Any, out: Any) -> Any:
    """Do with a value what its name asks for."""
    action, argument = step
    kind, _, _, length = scalar
    if kind == BAD:
        return codes.DOUBTFUL
    if action == codes.SKIP:
        return codes.TAKEN
    if kind == TEXT and np.int64(length) > plan.choices[codes.STRING_BYTES_MAX]:
        return codes.DOUBTFUL
    if action == codes.FEATURE:
        put(argument, scalar, plan, out)
        return codes.TAKEN
    if action == codes.NUMERIC:
        if kind != NUMBER and kind != LONG and kind != NULL:
            return codes.DOUBTFUL
        put(argument, scalar, plan, out)
        return codes.TAKEN
    if action == codes.SEGMENT:
        if argument >= 0 and kind != NULL:
            if kind == LONG:
                return codes.DOUBTFUL
            part = plan.choices[codes.SEGMENT_PART] + argument
            plan.segments[argument] = _category(part, scalar, plan)
        return codes.TAKEN
    return _rarer(step, scalar, plan)


@njit(cache=True, forceinline=True, error_model="numpy")
def _step(key: Any, within: Any, plan: Any) -> Any:
    """Say what is done with the value of a name in an object, and to what."""
    if key >= 0:
        keys, row = plan.keys, key * codes.KEY_WORDS
        return np.int64(keys[row + codes.ACTION]), np.int64(keys[row + codes.ARGUMENT])
    if within == codes.FEATURES:
        return np.int64(codes.FEATURE), np.int64(codes.NOWHERE)
    if within == codes.SEGMENTS:
        return np.int64(codes.SEGMENT), np.int64(codes.NOWHERE)
    if within == codes.TOP or within == codes.PREDICTION:
        return np.int64(codes.SKIP), np.int64(0)
    return np.int64(codes.NUMERIC), np.int64(codes.NOWHERE)


@njit(cache=True, error_model="numpy")
def _begin(plan: Any) -> None:
    """Forget the row before."""
    facts = plan.facts
    facts[codes.EVENT_TIME] = NO_TIME
    facts[codes.HAS_MODEL] = facts[codes.HAS_SCORE] = 0
    facts[codes.WEIGHT_SEEN] = 1
    facts[codes.VERSION_CODE] = _NO_NUMBER
    facts[codes.LABEL_AT] = facts[codes.CLASS_AT] = NULL
    facts[codes.STRANGERS] = facts[codes.SPARE_USED] = 0
    facts[codes.ROW_NUMBER] += 1
    for key in range(plan.segment_count):
        plan.segments[key] = _NO_NUMBER


@njit(cache=True, error_model="numpy")
def walk(p: Any, end: Any, plan: Any, out: Any) -> Any:
    """Walk the value from p to `end`, whose last byte is a closing brace.

    That brace ends every number and every run of white space, so only strings and what follows
    an inner object have to be held against `end`.  TAKEN means that the value is JSON of the
    right types, and that the row's values, codes and segments are set.
    """
    _begin(plan)
    p = after_space(p)
    if load8(p) != _OPEN:
        return codes.DOUBTFUL
    within, names = codes.TOP, 0
    previous = np.int64(plan.key_count)
    p = after_space(p + _ONE)
    while True:
        names += 1
        key, p = read_name(p, end, previous, (plan, np.uint64(within)))
        if p == _ZERO or names > _names_max(within, plan):
            return codes.DOUBTFUL
        if key >= 0:
            previous = key
        step = _step(key, within, plan)
        c = load8(p)
        if c == _OPEN and (step[0] == codes.ENTER or step[0] == codes.PREDICT):
            within, names = step[1], 0
            p = after_space(p + _ONE)
            if load8(p) != _CLOSE:
                continue
        elif c == _OPEN or c == _OPEN_LIST:
            levels = plan.choices[codes.LEVELS_MAX] - (1 if within == codes.TOP else 2)
            p = after_nested(p, end, levels, plan) if step[0] == codes.SKIP else _ZERO
            if p == _ZERO:
                return codes.DOUBTFUL
            p = after_space(p)
        else:
            kind, number, start, length, p = read_scalar(p, end, plan)
            status = _apply(step, (kind, number, start, length), plan, out)
            if status != codes.TAKEN:
                return status
            p = after_space(p)
        while load8(p) == _CLOSE:
            p += _ONE
            if within == codes.TOP:
                return codes.TAKEN if p == end else codes.DOUBTFUL
            within = codes.PREDICTION if within == codes.PROBABILITIES else codes.TOP
            if p >= end:
                return codes.DOUBTFUL
            p = after_space(p)
        if load8(p) != _COMMA:
            return codes.DOUBTFUL
        p = after_space(p + _ONE)


@njit(cache=True, forceinline=True, error_model="numpy")
def _names_max(within: Any, plan: Any) -> Any:
    if within == codes.SEGMENTS:
        return plan.choices[codes.SEGMENT_KEYS_MAX]
    if within == codes.TOP or within >= codes.PREDICTION:
        return np.int64(1 << 60)
    return plan.choices[codes.FEATURE_KEYS_MAX]
