"""The one home of what Arrow messages are checked with: seeded rows, as columns and as JSON."""

import json
import math
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from detectors.observe import Scanned
from stream.decode.arrow.reader import Message
from tests import scans

TEXT = [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]
TEXT += [pa.dictionary(pa.uint32(), pa.large_string())]
NUMBER = [pa.float64(), pa.float64(), pa.float32(), pa.int64(), pa.int8(), pa.uint64()]
TIMES = [pa.timestamp(unit, "UTC") for unit in ("s", "ms", "us", "ns")]
TIMES += [pa.timestamp("ms", "+05:30"), pa.float64(), pa.int64(), pa.string(), *NUMBER[-1:]]
FEATURES = ("amount", "hour", "Größe", scans.LONG_NAME, "", "plan", "active", "city", "other")
ODD = (math.inf, -math.inf, math.nan, 1e308, -0.0, 5e-324, 1e22)
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


LATEST_MS = scans.RECORD_MS + 1000 * scans.LIMITS.max_future_seconds


class Made(NamedTuple):
    """Hold rows twice: as the value of one record, and as the JSON events that say the same."""

    value: bytes
    rows: list[bytes]


def stream(batches: Sequence[Any], **options: Any) -> bytes:
    """Write an IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as w:
        for batch in batches:
            w.write_batch(batch)
    return sink.getvalue().to_pybytes()


def message(columns: dict[str, Any]) -> bytes:
    """Write a stream of one batch; a list becomes an array of the type that pyarrow infers."""
    return stream([pa.RecordBatch.from_pydict(columns)])


class Writer:
    """Draw messages of every shape that events have in columns."""

    span_ms = 7_200_000

    def __init__(self, rng: random.Random, plain: float = 0.7) -> None:
        """Let nothing be odd with probability `plain`, message by message."""
        self.rng, self.odd = rng, rng.random() >= plain

    def made(self, rows: int) -> Made:
        """Draw one message."""
        types = self._types()
        values = {name: [self._value(name, t) for _ in range(rows)] for name, t in types.items()}
        arrays = {n: pa.array([_raw(v) for v in values[n]], t) for n, t in types.items()}
        batch = pa.RecordBatch.from_pydict(arrays)
        try:
            batch.validate(full=True)
        except pa.ArrowInvalid:  # under a null struct, pyarrow points into an empty dictionary
            return self.made(rows)
        cut = self.rng.randrange(rows + 1)
        batches = [batch[:cut], batch[cut:]] if self.rng.random() < 0.3 else [batch]
        events = [{name: _said(values[name][row]) for name in types} for row in range(rows)]
        lines = [json.dumps(event).replace("Infinity", "1e999").encode() for event in events]
        # A dictionary that changes between batches is sent again.
        return Made(stream(batches, emit_dictionary_deltas=False), lines)

    def _types(self) -> dict[str, Any]:
        pick, maybe = self.rng.choice, lambda share=0.6: self.rng.random() < share
        types = {"time": pick(TIMES), "model": pick(TEXT)}
        singles: dict[str, Callable[[], Any]] = {
            "version": lambda: pick(NUMBER + TEXT),
            "id": lambda: pick(NUMBER + TEXT),
            "label": self._scalar,
            "latency_seconds": lambda: pick(NUMBER),
            "weight": lambda: pick([*NUMBER, pa.null()]),
            "prediction": self._prediction,
            "features": lambda: self._object(FEATURES, self._scalar),
            "segments": lambda: self._object(("country", "version", "tier", "x"), self._scalar),
            "attributions": lambda: self._object(("amount", "kind"), lambda: pick(NUMBER)),
            "metrics": lambda: self._object(("revenue",), lambda: pick(NUMBER)),
        }
        types |= {name: draw() for name, draw in singles.items() if maybe()}
        if maybe(0.03):
            types[pick(("time", "model"))] = pa.null()
        if maybe(0.2):
            types["trace"] = pa.list_(pa.int8())
        return dict(self.rng.sample(list(types.items()), len(types)))

    def _scalar(self) -> Any:
        return self.rng.choice([*NUMBER, *TEXT, pa.bool_(), pa.null()])

    def _object(self, names: Sequence[str], draw: Callable[[], Any]) -> Any:
        chosen = self.rng.sample(names, self.rng.randrange(1, len(names) + 1))
        return pa.struct([(name, draw()) for name in chosen])

    def _prediction(self) -> Any:
        whole = {
            "score": self.rng.choice(NUMBER),
            "class": self._scalar(),
            "probabilities": pa.struct([("ok", pa.float64())]),
        }
        names = self.rng.sample(list(whole), self.rng.randrange(1, 4))
        whole_type = pa.struct([(name, whole[name]) for name in names])
        return self.rng.choice([pa.float64(), *TEXT, whole_type, whole_type])

    def _value(self, name: str, of: Any) -> Any:
        rng, odd = self.rng, self.odd and self.rng.random() < 0.05
        # A dictionary with a text that is too long refuses the whole message.
        long = "x" * (64 if pa.types.is_dictionary(of) else 65)
        value: Any
        if name == "time":
            value = self._time(of, odd)
        elif name == "model" and not pa.types.is_null(of):
            value = rng.choice(["", None, long, "toys"] if odd else ["shop", "shop", "Klasse ä"])
        elif name == "trace":
            value = []
        elif name == "weight" and not odd and not pa.types.is_null(of):
            value = rng.choice([1, 2, 100, None])
        elif rng.random() < 0.1 or pa.types.is_null(of):
            value = None
        elif pa.types.is_struct(of):
            value = {field.name: self._value(field.name, field.type) for field in of}
        elif pa.types.is_boolean(of):
            value = rng.random() < 0.5
        elif pa.types.is_integer(of) or pa.types.is_floating(of):
            value = self._number(of, odd)
        else:
            value = rng.choice([long, "ä" * 33, "ä" * 64, "\0"] if odd else scans.WORDS)
        return value

    def _number(self, of: Any, odd: bool) -> float:
        rng = self.rng
        if pa.types.is_integer(of):
            small = rng.choice([0, 1, 2, 3, rng.randrange(100)])
            return small if of.bit_width == 8 else rng.choice([small, rng.randrange(2**63)])
        chosen = rng.choice(ODD if odd else (0.5, 3.0, -0.25, math.nan, rng.gauss()))
        with np.errstate(over="ignore"):
            return float(np.float32(chosen)) if of.bit_width == 32 else chosen

    def _time(self, of: Any, odd: bool) -> Any:
        milliseconds = scans.RECORD_MS - self.rng.randrange(self.span_ms)
        if odd:
            far = [scans.RECORD_MS + 60_001, 0, -1, 10**12 * 5, 253_402_300_800_000]
            milliseconds = self.rng.choice([None, *far])
        if milliseconds is None or pa.types.is_null(of):
            return None
        if pa.types.is_timestamp(of):
            per = PER_SECOND[of.unit]
            count = milliseconds * per // 1000 + (self.rng.randrange(1000) if per > 1000 else 0)
            # Nanoseconds end in the year 2262.
            return Moment(min(count, 2**63 - 1), (count * 1000 // per) / 1000)
        if pa.types.is_integer(of):
            return max(milliseconds // 1000, 0)
        if pa.types.is_floating(of):
            return milliseconds / 1000
        return f"2026-11-23T11:{milliseconds % 60:02}:{milliseconds % 60:02}.5Z"


class PlainWriter(Writer):
    """Draw messages that are plain in every row, of the columns that the profile `shop` names."""

    # One profile is in force for all of it.
    span_ms = 3_000_000

    def __init__(self, rng: random.Random) -> None:
        """Let nothing be odd."""
        super().__init__(rng, 1.0)
        self.model = rng.choice(["shop", "shop", "Klasse ä"])

    def _types(self) -> dict[str, Any]:
        numbers, pick = [*NUMBER, pa.bool_(), pa.null()], self.rng.choice
        kinds = dict.fromkeys(FEATURES, numbers) | {"plan": TEXT, "city": TEXT}
        kinds["active"] = [pa.bool_(), *TEXT]
        names = self.rng.sample(FEATURES, self.rng.randrange(len(FEATURES) + 1))
        of_text, scored = self.model != "shop", pa.struct([("score", pick(NUMBER))])
        types = {
            "time": pick([t for t in TIMES if not pa.types.is_string(t)]),
            "model": pick(TEXT),
            "id": pick([*NUMBER, *TEXT]),
            "version": pick(TEXT),
            "weight": pick(NUMBER),
            "label": pa.null() if of_text else pick(NUMBER),
            "latency_seconds": pa.null() if of_text else pick(NUMBER),
            "prediction": pick(TEXT if of_text else [*NUMBER, scored]),
            "features": pa.struct([(name, pick(kinds[name])) for name in names]),
            "segments": pa.struct([(name, pick(TEXT)) for name in ("country", "tier", "plan")]),
            "attributions": pa.struct([("amount", pick(NUMBER)), ("kind", pa.null())]),
            "metrics": pa.struct([("revenue", pick(NUMBER))]),
            "trace": pick([pa.string(), pa.float64()]),
        }
        rare = self.rng.sample(list(types), self.rng.randrange(6))
        kept = [name for name in types if name in {"time", "model"} or name not in rare]
        return {name: types[name] for name in self.rng.sample(kept, len(kept))}

    def _value(self, name: str, of: Any) -> Any:
        if name == "model":
            return self.model
        if name == "trace":
            return None
        return super()._value(name, of)


def assert_quick_is_right(quick: Scanned | None, slow: Message) -> None:
    """Require of what the quick way took that the slow way took the same, bit by bit."""
    if quick is None:
        return
    (piece,) = slow.scanned
    assert piece.columns.profile is quick.columns.profile
    assert scans.bits(piece.columns) == scans.bits(quick.columns)
    for mine, theirs in zip(_arrays(quick), _arrays(piece), strict=True):
        assert mine.dtype == theirs.dtype
        assert np.array_equal(mine, theirs)
    assert (slow.rows, slow.events, len(slow.reject_rows)) == (len(piece.rows), [], 0)


class Moment(NamedTuple):
    """Hold a timestamp as its count of units, and as seconds."""

    count: int
    seconds: float


def _arrays(piece: Scanned) -> list[Any]:
    return [piece.rows, piece.times_ms, piece.folded]


def _raw(value: Any) -> Any:
    return value.count if isinstance(value, Moment) else value


def _said(value: Any) -> Any:
    """Say a value in JSON, where NaN is null; an infinity becomes a number too large later."""
    if isinstance(value, Moment):
        return value.seconds
    if isinstance(value, dict):
        return {name: _said(entry) for name, entry in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
