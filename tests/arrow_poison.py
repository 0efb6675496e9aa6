"""Arrow messages that are wrong in one way each, and some that only look so.

`REFUSED` holds, for each code, messages that are one reject of it as a whole.  `TAKEN` holds
messages whose rows count one by one: how many are events, and the codes of the others.  Codes are
those of `scans.LIMITS`, at the record time of `scans`.  Rows that are taken are of a model without
a profile, so that they change nothing.
"""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from detectors.events import ARROW_ROWS_MAX
from tests import arrows, scans

__all__ = ["GOOD", "REFUSED", "TAKEN", "TIME"]

TIME = pa.array([scans.RECORD_MS - 1] * 3, pa.timestamp("ms", "UTC"))
GOOD: dict[str, Any] = {"time": TIME, "model": ["shop"] * 3}
OTHER: dict[str, Any] = {"time": TIME, "model": ["toys"] * 3}
MARK = b"\xff" * 4
# A count of rows that stands for nothing else in a message.
ROWS = 777
LONG = pa.DictionaryArray.from_arrays([0, 0, 0], ["x" * 65])


def good(**columns: Any) -> bytes:
    """Write three good rows, but for these columns."""
    return arrows.message(GOOD | columns)


def taken(**columns: Any) -> bytes:
    """Write three rows of another model, but for these columns."""
    return arrows.message(OTHER | columns)


def frames(value: bytes) -> list[int]:
    """Find where the frames of a message begin."""
    return [at for at in range(0, len(value), 8) if value[at : at + 4] == MARK]


def with_bodies_compressed() -> bytes:
    rows = pa.RecordBatch.from_pydict(GOOD | {"latency_seconds": [0.0] * 3})
    return arrows.stream([rows], compression="zstd")


def with_deltas() -> bytes:
    kind = pa.dictionary(pa.int8(), pa.string())
    rows = [
        pa.RecordBatch.from_pydict({"time": TIME[:2], "model": pa.array(m, kind)})
        for m in (["shop", "a"], ["shop", "b"])
    ]
    rows[1] = (
        rows[1]
        .set_column(
            1, "model", pa.DictionaryArray.from_arrays([0, 2], pa.array(["shop", "a", "b"]))
        )
        .cast(rows[0].schema)
    )
    return arrows.stream(rows, emit_dictionary_deltas=True)


def wide() -> bytes:
    rows = 60_000
    features = pa.StructArray.from_arrays([pa.nulls(rows)] * 20, [str(i) for i in range(20)])
    metrics = pa.StructArray.from_arrays([pa.nulls(rows)] * 20, [str(i) for i in range(20)])
    columns = {"time": pa.nulls(rows, pa.float64()), "model": pa.nulls(rows, pa.string())}
    return arrows.message(columns | {"features": features, "metrics": metrics})


def many(rows: int) -> bytes:
    return arrows.message({"time": pa.nulls(rows), "model": pa.nulls(rows)})


def without_schema() -> bytes:
    value = good()
    return value[frames(value)[1] :]


def schema_alone() -> bytes:
    value = good()
    return value[: frames(value)[1]]


def cut_in_schema() -> bytes:
    return good()[:60]


def pointing(*indices: int) -> bytes:
    """Let a dictionary's rows point to where it has no text."""
    rows = pa.DictionaryArray.from_arrays(
        pa.array(indices, pa.int8()), pa.array(["shop"]), safe=False
    )
    return good(model=rows)


def lying(which: slice, rows: int) -> bytes:
    """Let some of the counts of rows be another number: of the batch, and of its columns."""
    times = pa.array([scans.RECORD_MS - 1] * ROWS, pa.timestamp("ms", "UTC"))
    value = bytearray(arrows.message({"time": times, "model": ["shop"] * ROWS}))
    told = struct.pack("<q", ROWS)
    places = [at for at in range(0, len(value), 8) if value[at : at + 8] == told]
    assert len(places) == 3
    for at in places[which]:
        value[at : at + 8] = struct.pack("<q", rows)
    return bytes(value)


def lying_body(size: int) -> bytes:
    """Let the frame of the batch say that its body is of another size."""
    value = bytearray(good())
    at = frames(bytes(value))[1]
    (length,) = struct.unpack_from("<i", value, at + 4)
    body = frames(bytes(value))[-1] - (at + 8 + length)
    where = value.index(struct.pack("<q", body), at)
    assert where < at + 8 + length
    value[where : where + 8] = struct.pack("<q", size)
    return bytes(value)


def texts(*offsets: int) -> bytes:
    """Let the names of models begin and end elsewhere."""
    value, told = good(), struct.pack("<4i", 0, 4, 8, 12)
    assert value.count(told) == 1
    return value.replace(told, struct.pack("<4i", *offsets))


REFUSED: dict[str, dict[str, Callable[[], bytes]]] = {
    "arrow": {
        "mark alone": lambda: MARK,
        "marks": lambda: MARK * 100,
        "no schema": without_schema,
        "two schemas": lambda: good()[:-8] * 2,
        "a schema cut off": cut_in_schema,
        "a body cut off": lambda: good()[:-100],
        "a byte behind the end": lambda: good() + b"\0",
        "an event behind the end": lambda: good() + b'{"time": 1795435200, "model": "m"}',
        "compressed": with_bodies_compressed,
        "a delta": with_deltas,
        "lists": lambda: good(features=pa.array([{"a": [1]}] * 3)),
        "bytes": lambda: good(id=pa.array([b"a"] * 3)),
        "days as times": lambda: good(time=TIME.cast(pa.timestamp("ms")).cast(pa.date32())),
        "decimals": lambda: good(label=pa.array([1] * 3).cast(pa.decimal128(19))),
        "two times": lambda: arrows.stream(
            [pa.RecordBatch.from_arrays([TIME, TIME, TIME], ["time", "time", "model"])]
        ),
        "an index beyond the dictionary": lambda: pointing(0, 1, 0),
        "an index below the dictionary": lambda: pointing(0, -1, 0),
        "a batch longer than its columns": lambda: lying(slice(1), ROWS + 1),
        "columns longer than their batch": lambda: lying(slice(1, None), ROWS + 1),
        "more rows than there are bytes": lambda: lying(slice(None), 60_000),
        "less than no rows": lambda: lying(slice(None), -1),
        "a body longer than the message": lambda: lying_body(1 << 40),
        "a body shorter than its columns": lambda: lying_body(8),
        "a body of less than nothing": lambda: lying_body(-64),
        "texts that end before they begin": lambda: texts(0, 8, 4, 12),
        "texts beyond their bytes": lambda: texts(0, 4, 8, 1 << 30),
        "texts that are no UTF-8": lambda: good().replace(b"shopshop", b"shop\xff\xfe\xff\xfe"),
    },
    "empty": {
        "no rows": lambda: arrows.message({"time": TIME[:0], "model": pa.array([], "string")}),
        "a schema alone": schema_alone,
    },
    "time_type": {
        "no zone": lambda: good(time=TIME.cast(pa.timestamp("ms"))),
        "a flag": lambda: good(time=[True] * 3),
    },
    "time_missing": {"no time column": lambda: arrows.message({"model": ["shop"]})},
    "model_missing": {"no model column": lambda: arrows.message({"time": TIME})},
    "field_type": {
        "a model of numbers": lambda: good(model=[1] * 3),
        "a metric of text": lambda: good(metrics=pa.array([{"a": "x"}] * 3)),
    },
    "features_type": {
        "a number": lambda: good(features=[1.0] * 3),
        "a map": lambda: good(
            features=pa.array([[("a", 1.0)]] * 3, pa.map_(pa.string(), pa.float64()))
        ),
    },
    "segments_type": {"a text": lambda: good(segments=["x"] * 3)},
    "prediction_type": {"a flag": lambda: good(prediction=[True] * 3)},
    "depth": {"nested": lambda: good(features=pa.array([{"a": {"b": {"c": {"d": 1}}}}] * 3))},
    "limit": {
        "a dictionary of long texts": lambda: good(id=LONG),
        "features": lambda: good(features=pa.array([{str(i): 1 for i in range(21)}] * 3)),
        "a name": lambda: good(features=pa.array([{"x" * 65: 1}] * 3)),
        "one row more": lambda: many(ARROW_ROWS_MAX + 1),
        "a million rows": lambda: many(1_000_000),
        "more rows than memory": lambda: lying(slice(None), 1 << 40),
        "cells": wide,
        "65 batches": lambda: arrows.stream([pa.RecordBatch.from_pydict(GOOD)] * 65),
        "metadata": lambda: arrows.stream(
            [pa.RecordBatch.from_pydict(GOOD).replace_schema_metadata({"a": "x" * 300_000})]
        ),
    },
    "too_large": {"bytes": lambda: good(id=["x" * 3 * 2**20] * 3)},
}


def of_numbers(*seconds: float) -> Any:
    return pa.array(seconds, pa.float64())


TAKEN: dict[str, tuple[Callable[[], bytes], int, list[str]]] = {
    "two batches": (lambda: arrows.stream([pa.RecordBatch.from_pydict(OTHER)] * 2), 6, []),
    "64 batches": (lambda: arrows.stream([pa.RecordBatch.from_pydict(OTHER)] * 64), 192, []),
    "null columns": (
        lambda: taken(**dict.fromkeys(("features", "label", "weight", "id"), pa.nulls(3))),
        3,
        [],
    ),
    "null models": (lambda: taken(model=pa.nulls(3)), 0, ["model_missing"] * 3),
    "null times": (lambda: taken(time=pa.nulls(3)), 0, ["time_missing"] * 3),
    "NaN times": (
        lambda: taken(time=of_numbers(scans.RECORD_MS / 1000, np.nan, np.nan)),
        1,
        ["time_missing"] * 2,
    ),
    "endless times": (
        lambda: taken(time=of_numbers(np.inf, -np.inf, 1e300)),
        0,
        ["number_range", "number_range", "time_range"],
    ),
    "times at the end of 64 bits": (
        lambda: taken(time=pa.array([2**63 - 1, -(2**63), 0], pa.timestamp("s", "UTC"))),
        0,
        ["time_range"] * 3,
    ),
    "milliseconds as seconds": (
        lambda: taken(time=of_numbers(*[float(scans.RECORD_MS)] * 3)),
        0,
        ["time_unit"] * 3,
    ),
    "tomorrow": (
        lambda: taken(time=of_numbers(*[scans.RECORD_MS / 1000 + 86_400] * 3)),
        0,
        ["time_future"] * 3,
    ),
    "endless features": (
        lambda: taken(features=pa.array([{"a": np.inf}, {"a": np.nan}, {"a": 1.0}])),
        2,
        ["number_range"],
    ),
    "weights that are none": (
        lambda: taken(weight=of_numbers(0.0, 1.5, 5_000.0)),
        0,
        ["field_type"] * 3,
    ),
    "a long text": (lambda: taken(id=["x" * 65, "a", "b"]), 2, ["limit"]),
    "all rows that a record may hold": (
        lambda: arrows.message(
            {
                "time": pa.array([scans.RECORD_MS] * ARROW_ROWS_MAX, pa.timestamp("ms", "UTC")),
                "model": pa.array(["toys"] * ARROW_ROWS_MAX),
            }
        ),
        ARROW_ROWS_MAX,
        [],
    ),
}
