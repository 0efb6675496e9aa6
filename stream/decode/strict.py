"""Decode one native JSON event slowly, by the letter: what an event is, is defined here.

`json_events` decodes the common case quickly and asks this file about every record that it
does not take at once, so only this file names reject codes.  Where an object has a key
twice, the last one counts, as in every JSON reader of Python.
"""

import json
import math
import re
from typing import Final, NoReturn

import numpy as np

from detectors.events import WEIGHT_MAX, Event, Limits, Scalar, canonical
from stream.decode.times import TIME_MAX_MS, TIME_MIN_MS, number_ms, text_ms

__all__ = ["FIELDS", "RejectedError", "decode_strict", "depth_within"]

FIELDS: Final = frozenset(
    (
        *("id", "time", "model", "version", "features", "prediction", "segments", "label"),
        *("latency_seconds", "attributions", "metrics", "weight"),
    )
)
_STRINGS: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
# A pair of surrogate escapes, or one alone (the group), or any other escape.
_ESCAPES: Final = re.compile(
    r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)|\\.", re.DOTALL
)
_STEPS: Final = np.zeros(256, np.int64)
_STEPS[list(b"[{")], _STEPS[list(b"]}")] = 1, -1
_FLOAT_DIGITS: Final = 309
# Milliseconds, microseconds and nanoseconds since the epoch have so many.
_UNIT_DIGITS: Final = (13, 16, 19)


class RejectedError(Exception):
    """Carry a reject code out of the depths of an event; it never leaves `decode`."""

    def __init__(self, code: str) -> None:
        """Keep the code."""
        super().__init__(code)
        self.code = code


def decode_strict(
    value: bytes | None, record_time_ms: int | None, limits: Limits
) -> tuple[Event, int]:
    """Decode one value to an event and the number of its unknown top-level fields.

    `record_time_ms` None: nothing to hold the event time against (a file).  Raises
    RejectedError with a key of REJECT_CODES; of several the first in the order below.

    >>> decode_strict(b'{"time": 1700000000, "model": "m", "x": 1}', None, Limits())[0].time_ms
    1700000000000
    """
    found = _document(value, limits)
    event = Event(
        model=_model(found.get("model"), limits),
        time_ms=_time_ms(found.get("time"), record_time_ms, limits),
        features=_features(found.get("features"), limits),
        segments=_segments(found.get("segments"), limits),
        version=_name(found.get("version"), limits),
        label=_scalar(found.get("label"), "field_type", limits),
        latency_seconds=_number(found.get("latency_seconds"), "field_type"),
        attributions=_numbers(found.get("attributions"), limits),
        metrics=_numbers(found.get("metrics"), limits),
        weight=_weight(found.get("weight")),
        id=_name(found.get("id"), limits),
    )
    event.score, event.predicted_class = _prediction(found.get("prediction"), limits)
    return event, len(found.keys() - FIELDS)


def depth_within(value: bytes, depth: int) -> bool:
    """Tell whether brackets outside strings nest at most `depth` deep, in linear time.

    `value` is UTF-8, and need not be JSON.

    >>> depth_within(b'{"a": [1, "]]]{{{"]}', 2), depth_within(b"[[[", 2)
    (True, False)
    """
    if value.count(b"[") + value.count(b"{") <= depth:
        return True
    bare = _STRINGS.sub("", value.decode()).encode()
    steps = _STEPS[np.frombuffer(bare, np.uint8)]
    return int(np.cumsum(steps).max(initial=0)) <= depth


def _document(value: bytes | None, limits: Limits) -> dict[str, object]:
    """Parse a value and check what concerns it as a whole."""
    if not value:
        raise RejectedError("empty")
    if len(value) > limits.event_bytes:
        raise RejectedError("too_large")
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise RejectedError("encoding") from None
    if not depth_within(value, limits.depth):
        raise RejectedError("depth")
    try:
        found = json.loads(text, parse_int=_integer, parse_constant=_no_constant)
    except json.JSONDecodeError:
        raise RejectedError("json") from None
    if any(escape[1] for escape in _ESCAPES.finditer(text)):
        raise RejectedError("encoding")
    return _object(found, "not_object")


def _integer(digits: str) -> int | float:
    """Read an integer; one that no float can hold becomes an infinity, as 1e999 does."""
    return float(digits) if len(digits) > _FLOAT_DIGITS + 1 else int(digits)


def _no_constant(name: str) -> NoReturn:
    """Refuse NaN, Infinity and -Infinity, which the json module would take."""
    raise json.JSONDecodeError("There is no such constant in JSON", name, 0)


def _object(value: object, code: str) -> dict[str, object]:
    if isinstance(value, dict):
        return value
    raise RejectedError(code)


def _entries(value: object, code: str, keys_max: int, limits: Limits) -> dict[str, object]:
    """Check the shape of an object of named values; null is an empty one."""
    entries = {} if value is None else _object(value, code)
    if len(entries) > keys_max:
        raise RejectedError("limit")
    for name in entries:
        _string(name, limits)
    return entries


def _string(value: str, limits: Limits) -> str:
    if len(value) > limits.string_length:
        raise RejectedError("limit")
    return value


def _finite(value: float) -> float:
    """Make a finite float of a JSON number."""
    try:
        number = float(value)
    except OverflowError:
        raise RejectedError("number_range") from None
    if not math.isfinite(number):
        raise RejectedError("number_range")
    return number


def _number(value: object, code: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RejectedError(code)
    return _finite(value)


def _scalar(value: object, code: str, limits: Limits) -> Scalar | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _string(value, limits)
    return _number(value, code)


def _category(value: object, code: str, limits: Limits) -> str | None:
    """Name a category; an integer keeps all its digits, where a float would lose some."""
    scalar = _scalar(value, code, limits)
    if scalar is None:
        return None
    return canonical(value if isinstance(value, int) else scalar)


def _name(value: object, limits: Limits) -> str | None:
    """Read a version or an id: a string, or a number that stands for one."""
    if isinstance(value, bool):
        raise RejectedError("field_type")
    return _category(value, "field_type", limits)


def _model(value: object, limits: Limits) -> str:
    if value is None or value == "":
        raise RejectedError("model_missing")
    if not isinstance(value, str):
        raise RejectedError("field_type")
    return _string(value, limits)


def _time_ms(value: object, record_time_ms: int | None, limits: Limits) -> int:
    if value is None:
        raise RejectedError("time_missing")
    if isinstance(value, str):
        time = text_ms(_string(value, limits))
        if time is None:
            raise RejectedError("time_type")
    else:
        time = _seconds_ms(value)
    if not TIME_MIN_MS <= time <= TIME_MAX_MS:
        raise RejectedError("time_range")
    if record_time_ms is not None and time > record_time_ms + limits.max_future_seconds * 1000:
        raise RejectedError("time_future")
    return time


def _seconds_ms(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RejectedError("time_type")
    seconds = _finite(value)
    # An integer's own digits: as a float, 9999999999999999999 would have one more.
    if len(str(abs(int(value)))) in _UNIT_DIGITS:
        raise RejectedError("time_unit")
    return number_ms(seconds)


def _features(value: object, limits: Limits) -> dict[str, Scalar | None]:
    entries = _entries(value, "features_type", limits.features, limits)
    return {name: _scalar(entry, "features_type", limits) for name, entry in entries.items()}


def _segments(value: object, limits: Limits) -> dict[str, str]:
    entries = _entries(value, "segments_type", limits.segments, limits)
    named = {name: _category(entry, "segments_type", limits) for name, entry in entries.items()}
    return {name: category for name, category in named.items() if category is not None}


def _numbers(value: object, limits: Limits) -> dict[str, float | None]:
    entries = _entries(value, "field_type", limits.features, limits)
    return {name: _number(entry, "field_type") for name, entry in entries.items()}


def _weight(value: object) -> int:
    """Read a weight; 2.0 is the integer 2, as JSON has only one kind of number."""
    number = _number(value, "field_type")
    if number is None:
        return 1
    if not number.is_integer() or not 1 <= number <= WEIGHT_MAX:
        raise RejectedError("field_type")
    return int(number)


def _prediction(value: object, limits: Limits) -> tuple[float | None, str | None]:
    """Read a prediction: a score and a class, either of which may be missing."""
    if isinstance(value, str):
        return None, _string(value, limits)
    if not isinstance(value, dict):
        return _number(value, "prediction_type"), None
    probabilities = value.get("probabilities")
    if probabilities is not None:
        for probability in _object(probabilities, "prediction_type").values():
            _number(probability, "prediction_type")
    score = _number(value.get("score"), "prediction_type")
    return score, _category(value.get("class"), "prediction_type", limits)
