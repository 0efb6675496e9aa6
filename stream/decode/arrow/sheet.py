"""A message opened: its columns by the channel or segment that they hold, checked as a whole.

A column of a type that no event may have refuses the message; a value that is not plainly
right leaves its row in doubt.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from detectors.events import WEIGHT_MAX, Limits
from stream.decode.arrow.fields import BOOL, CODED, FLOAT, INTEGER, NULL, TEXT, Field, kind_of
from stream.decode.arrow.frames import check_frames
from stream.decode.strict import FIELDS, RejectedError
from stream.decode.times import NO_TIME, TIME_MAX_MS, TIME_MIN_MS, numbers_ms

__all__ = ["Sheet", "sheets"]

_CELLS_MAX: Final = 1 << 21
_NUMBERS: Final = frozenset((FLOAT, INTEGER, NULL))
_TEXTS: Final = frozenset((TEXT, CODED, NULL))
_SCALARS: Final = _NUMBERS | _TEXTS | {BOOL}
# What a column holds, the kinds that it may be of, and the code where it is of none of them.
_SINGLES: Final = {
    "model": ("model", _TEXTS, "field_type"),
    "version": ("version", _NUMBERS | _TEXTS, "field_type"),
    "id": ("id", _NUMBERS | _TEXTS, "field_type"),
    "label": ("label", _SCALARS, "field_type"),
    "latency_seconds": ("latency", _NUMBERS, "field_type"),
    "weight": ("weight", _NUMBERS, "field_type"),
}
_OBJECTS: Final = {
    "features": ("feature:", _SCALARS, "features_type"),
    "segments": ("segment:", _SCALARS, "segments_type"),
    "attributions": ("attribution:", _NUMBERS, "field_type"),
    "metrics": ("metric:", _NUMBERS, "field_type"),
}
_EXACT: Final = ("segment:", "version", "class")
_UNITS: Final = {"s": (1000, 1), "ms": (1, 1), "us": (1, 1_000), "ns": (1, 1_000_000)}
_FAR_MS: Final = 10**14 - 1_000


@dataclass
class Sheet:
    """Hold one record batch of n rows; `batch` has only the columns that an event knows.

    `times_ms` int64[n] (NO_TIME where it is not plainly one), `weights` int64[n], `doubtful`
    bool[n], and `with_features` bool[n]: whether the row has features at all.
    """

    batch: Any
    fields: dict[str, Field]
    times_ms: NDArray[np.int64]
    weights: NDArray[np.int64]
    doubtful: NDArray[np.bool_]
    with_features: NDArray[np.bool_]

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.times_ms)

    def rows(self, chosen: NDArray[np.int64]) -> list[dict[str, Any]]:
        """Give rows as Python objects; a timestamp as the seconds that JSON would have."""
        found: list[dict[str, Any]] = []
        batch, time = self.batch, self.batch.column("time")
        if pa.types.is_timestamp(time.type):
            # Beyond all years, any time that is refused for that will do.
            times_ms = np.where(self.times_ms == NO_TIME, _FAR_MS, self.times_ms)
            seconds = pa.array(times_ms / 1000, mask=time.is_null().to_numpy(zero_copy_only=False))
            batch = batch.set_column(batch.schema.get_field_index("time"), "time", seconds)
        found += batch.take(chosen).to_pylist()
        return found


def sheets(value: bytes, limits: Limits, known: bytes | None) -> tuple[list[Sheet], bytes]:
    """Open an IPC stream; give its batches and its schema's bytes.

    Raises
    ------
    RejectedError
        If the stream as a whole is no events: a code of REJECT_CODES.
    """
    if len(value) > limits.arrow_bytes:
        raise RejectedError("too_large")
    schema = check_frames(value, limits.arrow_rows, known)
    try:
        with pa.ipc.open_stream(pa.py_buffer(value)) as stream:
            batches = list(stream)
            for batch in batches:
                batch.validate(full=True)
            found = [_sheet(batch, limits) for batch in batches if len(batch)]
    except (pa.ArrowException, OSError, ValueError, IndexError, KeyError):
        raise RejectedError("arrow") from None
    if not found:
        raise RejectedError("empty")
    return found, schema


def _sheet(batch: Any, limits: Limits) -> Sheet:
    """Check every column that an event may have."""
    names = [name for name in batch.schema.names if name in FIELDS]
    if len(set(names)) < len(names):
        raise RejectedError("arrow")
    for name, code in (("model", "model_missing"), ("time", "time_missing")):
        if name not in names:
            raise RejectedError(code)
    batch = batch.select(names)
    rows = len(batch)
    fields: dict[str, Field] = {}
    with_features = np.zeros(rows, np.bool_)
    cells = rows * len(names)
    for name, column in zip(names, batch.columns, strict=True):
        if name in _OBJECTS and not pa.types.is_null(column.type):
            prefix, kinds, code = _OBJECTS[name]
            count_max = limits.segments if name == "segments" else limits.features
            children = list(_children(column, code, count_max, limits))
            cells += rows * len(children)
            fields |= {prefix + of: _field(prefix, child, kinds, code) for of, child in children}
            if name == "features":
                with_features = column.is_valid().to_numpy(zero_copy_only=False)
        elif name in _SINGLES:
            single, kinds, code = _SINGLES[name]
            fields[single] = _field(single, column, kinds, code)
        elif name == "prediction":
            fields |= _prediction(column, limits)
    if cells > _CELLS_MAX:
        raise RejectedError("limit")
    times_ms = _times_ms(batch.column("time"))
    weights, doubtful = _weights(fields, rows)
    doubtful = doubtful | (times_ms < TIME_MIN_MS) | (times_ms > TIME_MAX_MS)
    model = fields["model"].coded
    doubtful |= model.looked_up([*(name == "" for name in model.names), True]) != 0
    with np.errstate(over="ignore", invalid="ignore"):
        for field in fields.values():
            more = field.doubtful(limits.string_length)
            if more is not None:
                doubtful |= more
    return Sheet(batch, fields, times_ms, weights, doubtful, with_features)


def _weights(fields: dict[str, Field], rows: int) -> tuple[NDArray[np.int64], Any]:
    """Give weights, and mark the rows where it is none."""
    if "weight" not in fields:
        return np.ones(rows, np.int64), False
    weights = fields["weight"].numbers
    whole = (weights == np.floor(weights)) & (weights >= 1) & (weights <= WEIGHT_MAX)
    return np.where(whole, weights, 1).astype(np.int64), ~(whole | np.isnan(weights))


def _field(at: str, array: Any, kinds: frozenset[str], code: str) -> Field:
    kind = kind_of(array.type)
    if kind not in kinds:
        raise RejectedError(code)
    return Field(array, kind, exact=at in _EXACT)


def _children(column: Any, code: str, count_max: int, limits: Limits) -> Iterator[tuple[str, Any]]:
    """List an object's columns by name, missing where the object is."""
    if not pa.types.is_struct(column.type):
        raise RejectedError(code)
    names = [field.name for field in column.type]
    if len(names) > count_max or any(len(name) > limits.string_length for name in names):
        raise RejectedError("limit")
    if len(set(names)) < len(names):
        raise RejectedError("arrow")
    yield from zip(names, column.flatten(), strict=True)


def _prediction(column: Any, limits: Limits) -> dict[str, Field]:
    """Sort a prediction into its score and its class; all else of it is only checked."""
    code = "prediction_type"
    if not pa.types.is_struct(column.type):
        at = "class" if kind_of(column.type) in _TEXTS else "score"
        return {at: _field(at, column, _NUMBERS | _TEXTS, code)}
    found = {}
    for name, child in _children(column, code, limits.features, limits):
        if name == "score":
            found["score"] = _field("score", child, _NUMBERS, code)
        elif name == "class":
            found["class"] = _field("class", child, _SCALARS, code)
        elif name == "probabilities" and not pa.types.is_null(child.type):
            for of, share in _children(child, code, limits.features, limits):
                found[f"probability:{of}"] = _field("", share, _NUMBERS, code)
    return found


def _times_ms(column: Any) -> NDArray[np.int64]:
    """Give event times in milliseconds, rounded down; NO_TIME where they are not plainly times.

    Raises
    ------
    RejectedError
        If a timestamp has no zone, or the column is none of times.
    """
    if pa.types.is_timestamp(column.type):
        if column.type.tz is None:
            raise RejectedError("time_type")
        times, per = _UNITS[column.type.unit]
        found = column.view(pa.int64()).fill_null(NO_TIME).to_numpy()
        found = found if per == 1 else found // per
        near = (found > -_FAR_MS // times) & (found < _FAR_MS // times)
        plain: NDArray[np.int64] = np.where(near, np.where(near, found, 0) * times, NO_TIME)
        return plain
    kind = kind_of(column.type)
    if kind == BOOL:
        raise RejectedError("time_type")
    numbers = Field(column, kind).numbers
    return numbers_ms(np.where(np.isfinite(numbers), numbers, np.inf))
