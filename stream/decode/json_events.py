"""Decode batches of native JSON events: bytes to events and reject codes, never an exception.

Typed msgspec decoders take what is surely an event.  Whatever they refuse, or leave in
doubt, goes to `strict`, which decides; both give the same answer to every record, so it
does not matter which batch a record came in.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import compress
from typing import Annotated, Final, cast

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from detectors.events import WEIGHT_MAX, Event, Limits, Scalar, canonical
from stream.decode.strict import FIELDS, RejectedError, decode_strict, depth_within
from stream.decode.times import NO_TIME, TIME_MAX_MS, TIME_MIN_MS, numbers_ms, texts_ms

__all__ = ["Decoded", "decode"]

Rows = npt.NDArray[np.int64]

# Integers beyond 64 bits are left to the strict decoder.
_Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Name = str | _Integer | float | None


class Decoded(msgspec.Struct, frozen=True):
    """Hold what a batch of n values came to: an event or a reject code for each.

    `rows` int64[events] and `rejected_rows` int64[rejects] are indices of the batch, rising;
    together they are 0 to n-1.  `reject_codes` is parallel to `rejected_rows`.
    `ignored_fields` counts the unknown top-level fields of the events.
    """

    events: list[Event]
    rows: Rows
    rejected_rows: Rows
    reject_codes: list[str]
    ignored_fields: int


class _Prediction(msgspec.Struct, gc=False):
    """The object form of a prediction."""

    score: float | None = None
    class_: _Name | bool = msgspec.field(default=None, name="class")
    probabilities: dict[str, float | None] | None = None


class _Wire(msgspec.Struct, gc=False):
    """An event as it is written; `_decoder` adds the limits."""

    time: float | str
    model: str
    version: _Name = None
    features: dict[str, Scalar | None] | None = None
    prediction: float | str | _Prediction | None = None
    segments: dict[str, _Name | bool] | None = None
    label: Scalar | None = None
    latency_seconds: float | None = None
    attributions: dict[str, float | None] | None = None
    metrics: dict[str, float | None] | None = None
    weight: Annotated[int, Meta(ge=1, le=WEIGHT_MAX)] | None = None
    id: _Name = None


class _Taken(msgspec.Struct):
    """What the typed decoders took, what they left, and unknown top-level fields by row."""

    wires: list[_Wire]
    rows: list[int]
    doubtful: list[int]
    unknown: dict[int, int]


_decode_keys: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def decode(values: Sequence[bytes | None], record_times_ms: Rows | None, limits: Limits) -> Decoded:
    """Decode n record values (ticks are not among them); None is a tombstone.

    `record_times_ms` is int64[n]; None for files, which have none: no event is `time_future`.

    >>> found = decode([b'{"time": 1700000000, "model": "m"}', b"?"], None, Limits())
    >>> found.events[0].model, found.rejected_rows.tolist(), found.reject_codes
    ('m', [1], ['json'])
    """
    taken = _take(values, limits)
    rows = np.array(taken.rows, np.int64)
    times = _times_ms([wire.time for wire in taken.wires])
    good = (times >= TIME_MIN_MS) & (times <= TIME_MAX_MS)
    if record_times_ms is not None:
        good &= times <= record_times_ms[rows] + limits.max_future_seconds * 1000
    events = _events(compress(taken.wires, good.tolist()), times[good].tolist())
    for row in rows[~good].tolist():
        taken.doubtful.append(row)
        taken.unknown.pop(row, None)
    rows = rows[good]
    late: dict[int, Event] = {}
    rejects: dict[int, str] = {}
    for row in sorted(taken.doubtful):
        record_time_ms = None if record_times_ms is None else int(record_times_ms[row])
        try:
            late[row], taken.unknown[row] = decode_strict(values[row], record_time_ms, limits)
        except RejectedError as refusal:
            rejects[row] = refusal.code
    if late:
        late.update(zip(rows.tolist(), events, strict=True))
        rows = np.array(sorted(late), np.int64)
        events = [late[row] for row in rows.tolist()]
    return Decoded(
        events=events,
        rows=rows,
        rejected_rows=np.array(list(rejects), np.int64),
        reject_codes=list(rejects.values()),
        ignored_fields=sum(taken.unknown.values()),
    )


@lru_cache(maxsize=8)
def _decoder(limits: Limits, known_only: bool) -> Callable[[bytes], _Wire]:
    """Make the typed decoder; `known_only` refuses fields that an event does not have."""
    text = Annotated[str, Meta(max_length=limits.string_length)]
    name = text | _Integer | float | None
    scalars = Annotated[dict[str, float | text | bool | None], Meta(max_length=limits.features)]
    categories = Annotated[dict[str, name | bool], Meta(max_length=limits.segments)]
    numbers = Annotated[dict[str, float | None], Meta(max_length=limits.features)]

    class Prediction(_Prediction, gc=False, forbid_unknown_fields=known_only):
        class_: name | bool = msgspec.field(default=None, name="class")

    class Wire(_Wire, gc=False, forbid_unknown_fields=known_only):
        time: float | text
        model: Annotated[text, Meta(min_length=1)]
        version: name = None
        features: scalars | None = None
        prediction: float | text | Prediction | None = None
        segments: categories | None = None
        label: float | text | bool | None = None
        attributions: numbers | None = None
        metrics: numbers | None = None
        id: name = None

    return msgspec.json.Decoder(Wire).decode


def _take(values: Sequence[bytes | None], limits: Limits) -> _Taken:
    """Decode what the typed decoders take; after one unknown field, expect more of them."""
    known_only, decode_known = True, _decoder(limits, known_only=True)
    bytes_max, length_max = limits.event_bytes, limits.string_length
    taken = _Taken([], [], [], {})
    for row, value in enumerate(values):
        if not value or len(value) > bytes_max or not (value.isascii() or _is_utf8(value)):
            taken.doubtful.append(row)
            continue
        wire, unknown = None, 0
        if known_only:
            try:
                wire = decode_known(value)
            except msgspec.DecodeError:
                known_only = False
        if wire is None:
            wire, unknown = _decode_unknown(value, limits)
            known_only = unknown == 0
        # A length limit on names would cost msgspec its cache of them: look only where one can
        # be too long.
        if wire is None or (len(value) > length_max and not _names_fit(wire, length_max)):
            taken.doubtful.append(row)
            continue
        taken.wires.append(wire)
        taken.rows.append(row)
        if unknown:
            taken.unknown[row] = unknown
    return taken


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _decode_unknown(value: bytes, limits: Limits) -> tuple[_Wire | None, int]:
    """Decode a value that may have unknown fields, and count them; None if it is in doubt."""
    # msgspec walks into unknown values recursively, so their depth is checked first.
    if not depth_within(value, limits.depth):
        return None, 0
    try:
        wire = _decoder(limits, known_only=False)(value)
        return wire, len(_decode_keys(value).keys() - FIELDS)
    except msgspec.DecodeError:
        return None, 0


def _names_fit(wire: _Wire, length_max: int) -> bool:
    """Tell whether every name in the event's objects has at most `length_max` characters."""
    for names in (wire.features, wire.segments, wire.attributions, wire.metrics):
        if names and len("".join(names)) > length_max and max(map(len, names)) > length_max:
            return False
    return True


def _times_ms(times: list[float | str]) -> Rows:
    """Turn times as they are written into milliseconds; NO_TIME where they are none."""
    texts = [time for time in times if isinstance(time, str)]
    if len(texts) == len(times):
        return texts_ms(texts)
    textual = np.array([isinstance(time, str) for time in times])
    found = np.full(len(times), NO_TIME, np.int64)
    found[textual] = texts_ms(texts)
    found[~textual] = numbers_ms(np.array([t for t in times if not isinstance(t, str)]))
    return found


def _events(wires: Iterable[_Wire], times_ms: list[int]) -> list[Event]:
    """Turn what was written into what it means."""
    events = []
    for wire, time_ms in zip(wires, times_ms, strict=True):
        score = predicted_class = None
        prediction = wire.prediction
        if isinstance(prediction, float):
            score = prediction
        elif isinstance(prediction, str):
            predicted_class = prediction
        elif prediction is not None:
            score, predicted_class = prediction.score, _category(prediction.class_)
        version, identity, segments = wire.version, wire.id, wire.segments or {}
        for value in segments.values():
            if not isinstance(value, str):
                segments = _categories(segments)
                break
        events.append(
            Event(
                time_ms,
                wire.model,
                version if isinstance(version, str) else _category(version),
                wire.features or {},
                score,
                predicted_class,
                cast("dict[str, str]", segments),
                wire.label,
                wire.latency_seconds,
                wire.attributions or {},
                wire.metrics or {},
                wire.weight or 1,
                identity if isinstance(identity, str) else _category(identity),
            )
        )
    return events


def _category(value: _Name | bool) -> str | None:
    return value if value is None or isinstance(value, str) else canonical(value)


def _categories(values: dict[str, _Name | bool]) -> dict[str, _Name | bool]:
    return {name: _category(value) for name, value in values.items() if value is not None}
