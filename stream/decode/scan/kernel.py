"""Many events: each walked, finished, and put behind the ones that were taken before it."""

from typing import Any, Final

import numpy as np
from numba import njit

from stream.decode.scan import codes
from stream.decode.scan.bits import bytes_at, doubles_at, integers_at, load8, shorts_at, words_at
from stream.decode.scan.names import COMBINED, find, same_text
from stream.decode.scan.numbers import LONG, NUMBER
from stream.decode.scan.plan import Pointers
from stream.decode.scan.row import put, walk
from stream.decode.scan.skipping import FALSE, NULL, TEXT, TRUE

__all__ = ["scan_rows"]

_ZERO, _ONE = np.uint64(0), np.uint64(1)
_CLOSE, _SPACE = np.uint64(ord("}")), np.uint64(ord(" "))
_HIT: Final = np.uint64(ord("0"))
_MISSED: Final = np.uint64(ord("1"))
_NO_SLICE: Final = -1


@njit(cache=True, forceinline=True, error_model="numpy")
def _noted(where: Any, number_at: Any, plan: Any) -> Any:
    """Give the label or the class back as it was read."""
    facts = plan.facts
    start, length = np.uint64(facts[where + 1]), np.uint64(facts[where + 2])
    return facts[where], plan.numbers[number_at], start, length


@njit(cache=True, error_model="numpy")
def _differ(label: Any, predicted: Any) -> Any:
    """Compare two categories by their names: 0 or 1; -1 where that takes their names."""
    if label[0] == TEXT and predicted[0] == TEXT:
        same = label[3] == predicted[3] and same_text(label[2], predicted[2], label[3])
        return 0 if same else 1
    if label[0] == TEXT or predicted[0] == TEXT or predicted[0] == LONG:
        return -1
    truth = label[0] == TRUE or label[0] == FALSE
    if truth or predicted[0] == TRUE or predicted[0] == FALSE:
        return 0 if label[0] == predicted[0] else 1
    return 0 if label[1] == predicted[1] else 1


@njit(cache=True, error_model="numpy")
def _put_error(target: Any, plan: Any, out: Any) -> bool:
    """Do what `error_of` does; False where it is left to others."""
    label = _noted(codes.LABEL_AT, codes.LABEL_NUMBER, plan)
    predicted = _noted(codes.CLASS_AT, codes.CLASS_NUMBER, plan)
    if target == codes.NOWHERE or label[0] == NULL:
        return True
    if predicted[0] != NULL:
        differ = _differ(label, predicted)
        if differ < 0:
            return False
        if target <= codes.CATEGORICAL:
            column = codes.CATEGORICAL - target
            part = codes.FIRST_PART + column
            word = _MISSED if differ else _HIT
            code = find(plan.names, (word, _ZERO, _ONE), np.uint64(part), _ZERO)
            out[1][out[3] + column] = code if code >= 0 else plan.sizes[part]
        return True
    if plan.facts[codes.HAS_SCORE] == 0 or label[0] == TEXT:
        return True
    truth = label[1]
    if label[0] == TRUE or label[0] == FALSE:
        truth = 1.0 if label[0] == TRUE else 0.0
    error = abs(truth - plan.numbers[codes.SCORE_NUMBER])
    if np.isfinite(error):
        put(target, (NUMBER, error, _ZERO, _ZERO), plan, out)
    return True


@njit(cache=True, error_model="numpy")
def _put_prediction(target: Any, plan: Any, out: Any) -> bool:
    """Put the score, or the class where there is none; False where it is left to others."""
    if target == codes.NOWHERE:
        return True
    if plan.facts[codes.HAS_SCORE]:
        score = plan.numbers[codes.SCORE_NUMBER]
        put(target, (NUMBER, score, _ZERO, _ZERO), plan, out)
        return True
    predicted = _noted(codes.CLASS_AT, codes.CLASS_NUMBER, plan)
    if predicted[0] == NULL or target >= 0:
        return True
    put(target, predicted, plan, out)
    return bool(predicted[0] != LONG)


@njit(cache=True, error_model="numpy")
def _put_slices(plan: Any, slices: Any, first: Any) -> Any:
    """Find the row's slice in every group; count the combinations that are none."""
    version = plan.choices[codes.VERSION_KEY]
    if version >= 0 and plan.segments[version] < 0:
        plan.segments[version] = plan.facts[codes.VERSION_CODE]
    segment_part, group_part = plan.choices[codes.SEGMENT_PART], plan.choices[codes.GROUP_PART]
    folded = 0
    for g in range(plan.group_count):
        group = g * codes.GROUP_WORDS
        combined, complete = _ZERO, True
        for k in range(plan.groups[group + codes.FIRST_KEY], plan.groups[group + codes.LAST_KEY]):
            key = plan.group_keys[k]
            if plan.segments[key] < 0:
                complete = False
                break
            radix = np.uint64(plan.sizes[segment_part + key] + 1)
            combined = combined * radix + np.uint64(plan.segments[key])
        index = np.int64(_NO_SLICE)
        if complete:
            part = np.uint64(group_part + g)
            found = find(plan.names, (combined, _ZERO, COMBINED), part, _ZERO)
            index = found - 1 if found >= 0 else plan.groups[group + codes.OTHERWISE]
            folded += found < 0
        slices[first + g] = np.int32(index)
    return folded


@njit(cache=True, error_model="numpy")
def _finish(plan: Any, columns: Any, out: Any, at: Any) -> Any:
    """Put what takes the whole event, and count what the profile does not name."""
    slices, weights, folded = columns
    if not _put_prediction(plan.choices[codes.PREDICTION_TARGET], plan, out):
        return codes.DOUBTFUL
    if not _put_error(plan.choices[codes.ERROR_TARGET], plan, out):
        return codes.DOUBTFUL
    kinds = at * codes.FOLDED_KINDS
    folded[kinds + codes.FOLDED_SEGMENTS] = _put_slices(plan, slices, at * plan.group_count)
    folded[kinds + codes.FOLDED_FEATURES] = plan.facts[codes.STRANGERS]
    categories = 0
    for c in range(plan.categorical):
        categories += out[1][out[3] + c] == plan.sizes[codes.FIRST_PART + c]
    folded[kinds + codes.FOLDED_CATEGORIES] = categories
    weights[at] = plan.facts[codes.WEIGHT_SEEN]
    return codes.TAKEN


@njit(cache=True, forceinline=True, error_model="numpy")
def _pointers(tables: Any, state: Any, categorical: Any) -> Any:
    """Point at the arrays of a plan; who calls holds on to them."""
    entries, slots, texts = tables.names
    return Pointers(
        keys=words_at(tables.keys.ctypes.data),
        key_count=tables.keys.shape[0],
        names=(
            words_at(entries.ctypes.data),
            integers_at(slots.ctypes.data),
            np.uint64(texts.ctypes.data),
            np.uint64(slots.shape[0] - 1),
        ),
        sizes=integers_at(tables.sizes.ctypes.data),
        groups=integers_at(tables.groups.ctypes.data),
        group_count=tables.groups.shape[0],
        group_keys=integers_at(tables.group_keys.ctypes.data),
        choices=integers_at(tables.choices.ctypes.data),
        following=integers_at(state.following.ctypes.data),
        marks=integers_at(state.marks.ctypes.data),
        segments=integers_at(state.segments.ctypes.data),
        segment_count=state.segments.shape[0],
        facts=integers_at(state.facts.ctypes.data),
        numbers=doubles_at(state.numbers.ctypes.data),
        minute=words_at(state.minute.ctypes.data),
        strangers=words_at(state.strangers.ctypes.data),
        stranger_rows=integers_at(state.stranger_rows.ctypes.data),
        spare=bytes_at(state.spare.ctypes.data),
        spare_address=np.uint64(state.spare.ctypes.data),
        categorical=categorical,
    )


@njit(cache=True, forceinline=True, error_model="numpy")
def _trimmed(p: Any, end: Any) -> Any:
    """Leave white space at the end away; 0 where no closing brace stands before it."""
    while end > p:
        c = load8(end - _ONE)
        if c == _CLOSE:
            return end
        if c != _SPACE and c != np.uint64(10) and c != np.uint64(13) and c != np.uint64(9):
            return _ZERO
        end -= _ONE
    return _ZERO


@njit(cache=True, error_model="numpy")
def scan_rows(records: Any, arrays: Any, columns: Any, found: Any) -> Any:
    """Scan rows of a batch by one plan; give how many were taken.

    `records` is (address of the buffer, starts, lengths, rows, latest event time of each row,
    (bytes, first time and end of time of an event)); `columns` is (values, codes, slices,
    weights, folded) with room for every row, and is filled from the top; `found` is (status, time,
    hash of another model's name) of each row.
    """
    base, starts, lengths, rows, latest_ms, (bytes_max, from_ms, until_ms) = records
    statuses, times_ms, hashes = found
    values, coded = doubles_at(columns[0].ctypes.data), shorts_at(columns[1].ctypes.data)
    numeric, categorical = columns[0].shape[1], columns[1].shape[1]
    more = (
        shorts_at(columns[2].ctypes.data),
        integers_at(columns[3].ctypes.data),
        integers_at(columns[4].ctypes.data),
    )
    plan = _pointers(arrays[0], arrays[1], categorical)
    at = 0
    for i in range(rows.shape[0]):
        row = rows[i]
        statuses[i] = codes.DOUBTFUL
        if lengths[row] <= 0 or lengths[row] > bytes_max:
            continue
        p = base + np.uint64(starts[row])
        end = _trimmed(p, p + np.uint64(lengths[row]))
        if end == _ZERO:
            continue
        out = (values, coded, at * numeric, at * categorical)
        for c in range(numeric):
            values[at * numeric + c] = np.nan
        for c in range(categorical):
            coded[at * categorical + c] = np.int32(-1)
        status = walk(p, end, plan, out)
        if status == codes.OTHER_MODEL:
            statuses[i], hashes[i] = status, plan.facts[codes.MODEL_HASH]
        time = plan.facts[codes.EVENT_TIME]
        if status != codes.TAKEN or plan.facts[codes.HAS_MODEL] == 0:
            continue
        if time < 0 or time > latest_ms[row]:
            continue
        times_ms[i] = time
        if not from_ms <= time < until_ms:
            statuses[i] = codes.OTHER_TIME
        elif _finish(plan, more, out, at) == codes.TAKEN:
            statuses[i] = codes.TAKEN
            at += 1
    return at
