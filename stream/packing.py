"""Events as Arrow messages: what driftline reads of them, as columns."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from detectors.events import Event, Limits
from stream.decode.json_events import decode

__all__ = ["packed"]

_BYTES_MAX: Final = 900_000
_TEXT: Final = pa.dictionary(pa.int32(), pa.string())
_KINDS: Final = {float: pa.float64(), str: _TEXT, bool: pa.bool_()}
_OBJECTS: Final = ("features", "segments", "attributions", "metrics")


def packed(values: Sequence[bytes], rows: int, limits: Limits) -> Iterator[bytes]:
    """Give messages of up to so many events, in the order of the values.

    What is no event stays as it is, and so do events of which a column would hold both texts and
    numbers.
    """
    for first in range(0, len(values), rows):
        some = values[first : first + rows]
        found = decode(some, None, limits)
        starts = found.rejected_rows.tolist()
        low = 0
        for row in [*starts, len(some)]:
            inside = (found.rows >= low) & (found.rows < row)
            events = [found.events[i] for i in np.flatnonzero(inside).tolist()]
            yield from _messages(events, some[low:row])
            yield from some[row : row + 1]
            low = row + 1


def _messages(events: Sequence[Event], values: Sequence[bytes]) -> Iterator[bytes]:
    """Write events, in two messages where one is more than a record of Kafka holds."""
    if not events:
        return
    batch = _batch(events)
    message = None if batch is None else _stream(batch)
    if message is None:
        yield from values
    elif len(message) <= _BYTES_MAX or len(events) == 1:
        yield message
    else:
        half = len(events) // 2
        yield from _messages(events[:half], values[:half])
        yield from _messages(events[half:], values[half:])


def _stream(batch: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def _batch(events: Sequence[Event]) -> Any:
    """Make columns; None where one would be of two kinds."""
    columns: dict[str, Any] = {
        "time": pa.array([e.time_ms for e in events], pa.timestamp("ms", "UTC")),
        "model": pa.array([e.model for e in events], _TEXT),
    }
    if any(e.weight != 1 for e in events):
        columns["weight"] = pa.array([e.weight for e in events], pa.int16())
    if any(e.id is not None for e in events):
        columns["id"] = pa.array([e.id for e in events], pa.string())
    singles = ("version", "label", "latency_seconds")
    found = {name: _column([getattr(e, name) for e in events]) for name in singles}
    parts = {
        "score": _column([e.score for e in events]),
        "class": _column([e.predicted_class for e in events]),
    }
    found["prediction"] = pa.StructArray.from_arrays(list(parts.values()), list(parts))
    for name in _OBJECTS:
        objects = [getattr(e, name) for e in events]
        names = list(dict.fromkeys(key for of in objects for key in of))
        arrays = [_column([of.get(key) for of in objects]) for key in names]
        if any(array is None for array in arrays):
            return None
        if names:
            found[name] = pa.StructArray.from_arrays(arrays, names)
    if any(array is None for array in found.values()):
        return None
    kept = {name: array for name, array in found.items() if not pa.types.is_null(array.type)}
    return pa.RecordBatch.from_pydict(columns | kept)


def _column(values: Sequence[Any]) -> Any:
    """Make a column of one kind of values; None where there are two."""
    kinds = {type(value) for value in values} - {type(None)}
    if len(kinds) > 1:
        return None
    return pa.array(values, _KINDS[kinds.pop()] if kinds else pa.null())
