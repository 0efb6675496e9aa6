"""The values that decoding yields: an event, or the reason why a record is none.

Everything here is a plain value.  `stream/decode` makes them, observe reads them.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

__all__ = [
    "ARROW_ROWS_MAX",
    "REJECT_CODES",
    "WEIGHT_MAX",
    "Event",
    "Limits",
    "Reject",
    "Scalar",
    "canonical",
]

Scalar = float | str | bool

WEIGHT_MAX: Final = 4096
"""An event stands for at most so many (the integer sums of a pane rest on it)."""

ARROW_ROWS_MAX: Final = 65_536
"""A record holds at most so many events (the integer sums of a pane rest on it too)."""

REJECT_CODES: Final[Mapping[str, str]] = {
    "empty": "The value is empty or a tombstone.",
    "too_large": "The value has more bytes than limits.event_bytes.",
    "encoding": "The value is not UTF-8, or a \\u escape in it is half a character.",
    "depth": "Objects and lists are nested deeper than limits.depth.",
    "json": "The value is not JSON; NaN and Infinity are no JSON either.",
    "not_object": "The value is JSON, but not an object.",
    "model_missing": "There is no model, or its name is empty.",
    "time_missing": "There is no time.",
    "time_type": "The time is neither RFC 3339 with an offset nor seconds since the epoch.",
    "time_unit": "The time has 13, 16 or 19 digits: it is in ms, us or ns; send seconds.",
    "time_range": "The time lies outside the years 1990 to 2100.",
    "time_future": "The time is further ahead of its record than limits.max_future_seconds.",
    "features_type": "features is no object of numbers, strings, booleans and nulls.",
    "segments_type": "segments is no object of numbers, strings, booleans and nulls.",
    "prediction_type": "prediction is no number, string or {score, class, probabilities}.",
    "field_type": "model, version, label, latency_seconds, attributions, metrics, weight or id "
    "is not of its type.",
    "number_range": "A number is too large for a 64-bit float.",
    "limit": "A string is longer, or an object has more keys, than limits allow.",
    "quarantine": "The record made driftline crash: a bug of ours. It is not looked at again.",
    "arrow": "The value begins as an Arrow stream, but is none of plain, uncompressed columns.",
}
"""Every reason for which a record is no event: a closed set of at most 20."""


class Limits(msgspec.Struct, frozen=True):
    """Bound what one event may hold.

    `string_length` counts characters and holds for names and values alike; `features`
    bounds the keys of features, attributions and metrics each.  An Arrow message is bounded as a
    whole, by its bytes and rows.

    Raises ValueError for a limit outside its own range.

    >>> Limits(depth=2)
    Traceback (most recent call last):
    ValueError: limits.depth is 2, but must be from 3 to 100.
    """

    event_bytes: int = 65_536
    depth: int = 8
    features: int = 1_000
    segments: int = 32
    string_length: int = 1_024
    max_future_seconds: int = 60
    arrow_bytes: int = 8 * 2**20
    arrow_rows: int = ARROW_ROWS_MAX

    def __post_init__(self) -> None:
        """Check each limit against its own range."""
        # A valid event is nested 3 deep: event, prediction, probabilities.
        for name, low, high in (
            ("event_bytes", 64, 16 * 2**20),
            ("depth", 3, 100),
            ("features", 1, 100_000),
            ("segments", 1, 1_000),
            ("string_length", 16, 2**20),
            ("max_future_seconds", 0, 86_400),
            ("arrow_bytes", 1_024, 64 * 2**20),
            ("arrow_rows", 1, ARROW_ROWS_MAX),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                message = f"limits.{name} is {value}, but must be from {low} to {high}."
                raise ValueError(message)


class Reject(msgspec.Struct, frozen=True, omit_defaults=True):
    """Say which record was no event, and why, without a byte of what it held.

    `code` is a key of `REJECT_CODES`, `sha256` the hex digest of the value, `bytes` its length,
    `row` the row of an Arrow message, if it is not the whole of it.
    """

    code: str
    topic: str
    partition: int
    offset: int
    sha256: str
    bytes: int
    row: int | None = None


class Event(msgspec.Struct, gc=False):
    """Hold one prediction and what is known about it.

    `time_ms` is the event time in whole milliseconds since the epoch, rounded down.
    Numbers are finite floats, however they were written.  A feature, attribution or metric
    that was null is None; a segment that was null is absent.  Segment values, version,
    predicted class and id are strings in their canonical form.
    """

    time_ms: int
    model: str
    version: str | None = None
    features: dict[str, Scalar | None] = msgspec.field(default_factory=dict)
    score: float | None = None
    predicted_class: str | None = None
    segments: dict[str, str] = msgspec.field(default_factory=dict)
    label: Scalar | None = None
    latency_seconds: float | None = None
    attributions: dict[str, float | None] = msgspec.field(default_factory=dict)
    metrics: dict[str, float | None] = msgspec.field(default_factory=dict)
    weight: int = 1
    id: str | None = None


def canonical(value: Scalar) -> str:
    """Name the category that a value stands for.

    A whole number has one name however it is written, so that 3, 3.0 and 3e0 are the same.

    >>> canonical("DE"), canonical(True), canonical(3), canonical(3.0), canonical(0.5)
    ('DE', 'true', '3', '3', '0.5')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not value.is_integer():
        return float.__repr__(value)
    return str(int(value))
