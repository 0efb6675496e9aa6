"""The one home of what scans are checked with: profiles, events of many shapes, and the check.

The check is against the slow way: whatever the scanner takes, `decode` and `Extractor` give the
same columns for, bit by bit.  What it leaves is decided by them anyway.
"""

import json
import random
import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from detectors.columns import FOLDED, Columns, Extractor
from detectors.events import Limits
from detectors.observe import Scanned
from detectors.profile import Channel, Profile, ProfileBook, Span, seal
from stream.decode.json_events import decode
from stream.decode.scan.scanner import Scanner
from stream.records import Records

RECORD_MS = 1_795_435_200_500  # 2026-11-23T12:00:00.500Z
LIMITS = Limits(features=20, segments=8, string_length=64, event_bytes=4_096)
SWITCH_MS = RECORD_MS - 3_600_000
LONG_NAME = "a_name_of_more_than_sixteen_bytes"
NUMBERS = ("prediction", "latency", "error", "feature:amount", "feature:hour", "feature:Größe")
NUMBERS += (f"feature:{LONG_NAME}", "feature:", "attribution:amount", "metric:revenue")


def profile(model: str, channels: Sequence[Channel], slices: Sequence[dict[str, str]]) -> Profile:
    """Make a profile that nothing was fitted for."""
    return seal(
        Profile(
            model=model,
            reference=Span(0, 0, 0),
            bucket_seconds=10,
            block_events=50,
            block_seconds=600,
            channels=(*channels, Channel("rate", "rate")),
            slices=({}, *slices),
            versions=("1", "2", "São"),
            streams=(),
        )
    )


def numeric(name: str) -> Channel:
    """Make a numeric channel."""
    return Channel(name, "numeric", edges=(0.0, 1.0))


def categorical(name: str, *categories: str) -> Channel:
    """Make a categorical channel."""
    return Channel(name, "categorical", categories=categories)


@cache
def shop() -> Profile:
    """Name a bit of everything, most of it a number."""
    channels = [numeric(name) for name in NUMBERS]
    channels += [
        categorical("feature:plan", "-1", "0", "0.5", "10000000000000000000000", "3", "free"),
        categorical("feature:active", "false", "true"),
        categorical("feature:city", "São Paulo", "a city of more than sixteen bytes", "x"),
        categorical("attribution:kind", "0", "1"),
        categorical('feature:a"b', "x"),
    ]
    slices = [{"country": name} for name in ("DE", "FR", "São Paulo", "3", "true", "0.5")]
    slices += [{"version": "1"}, {"version": "__other__"}, {"tier": "a tier of sixteen bytes+"}]
    slices += [{"country": "DE", "version": "2"}, {"version": "1", "country": "FR"}]
    return profile("shop", channels, slices)


@cache
def classes() -> Profile:
    """Predict a class."""
    channels = [
        numeric("feature:amount"),
        categorical("prediction", "0.5", "3", "fraud", "ok", "true"),
        categorical("error", "0", "0.25", "1"),
        categorical("latency", "0", "1"),
    ]
    return profile("Klasse ä", channels, [{"version": "1"}, {"plan": "3"}])


@cache
def later() -> Profile:
    """Take over from `shop`, with other columns."""
    channels = [numeric("feature:hour"), numeric("prediction"), categorical("feature:plan", "pro")]
    return profile("shop", channels, [{"country": "FR"}, {"country": "US"}])


def book() -> ProfileBook:
    """Put two models in force, one of them with a second profile from an event time on."""
    held = ProfileBook()
    held.add(shop(), 0)
    held.add(later(), SWITCH_MS)
    held.add(classes(), 1_000_000_000_000)
    return held


def assert_same(
    values: Sequence[bytes | None],
    record_ms: int | None = RECORD_MS,
    scanner: Scanner | None = None,
    held: ProfileBook | None = None,
    records: Records | None = None,
) -> np.ndarray:
    """Require what the module says; give the rows that were taken, rising."""
    held = held or book()
    records = records or Records.of_values(values)
    times = None if record_ms is None else np.full(len(values), record_ms, np.int64)
    rows = np.arange(len(values))
    pieces, left = (scanner or Scanner(held, LIMITS)).scan(records, rows, times)
    for piece in pieces:
        _assert_piece(piece, values, times, held)
    taken = np.sort(np.concatenate([piece.rows for piece in pieces] or [rows[:0]]))
    assert np.sort(np.concatenate([taken, left])).tolist() == rows.tolist()
    return taken


def _assert_piece(
    piece: Scanned, values: Sequence[bytes | None], times: np.ndarray | None, held: ProfileBook
) -> None:
    mine = [values[row] for row in piece.rows.tolist()]
    found = decode(mine, None if times is None else times[piece.rows], LIMITS)
    assert found.reject_codes == [], (found.reject_codes[:3], mine[found.rejected_rows[0]])
    of = piece.columns.profile
    assert {(e.model, held.at(e.model, e.time_ms).hash) for e in found.events} == {
        (of.model, of.hash)
    }
    assert [event.time_ms for event in found.events] == piece.times_ms.tolist()
    expected = Extractor(of).columns(found.events)
    assert bits(piece.columns) == bits(expected)
    folded = dict(zip(FOLDED, piece.folded.sum(axis=0).tolist(), strict=True))
    assert folded == expected.folded


def bits(columns: Columns) -> list[tuple[str, tuple[int, ...], bytes]]:
    """Give the type, shape and content of every array."""
    names = ("buckets", "values", "codes", "slices", "weights")
    arrays = [np.ascontiguousarray(getattr(columns, name)) for name in names]
    return [(str(array.dtype), array.shape, array.tobytes()) for array in arrays]


WORDS = ("free", "São Paulo", "a city of more than sixteen bytes", "x", "", "3", "true", "DE", "FR")
WORDS += (
    "1",
    "2",
    "__other__",
    "a tier of sixteen bytes+",
    "a tier of sixteen bytes-",
    "ok",
    "fraud",
)
ODD = ("😀", "\u007f", "ä" * 32, "x" * 64, "x" * 65, "a\tb", 'a"b', "\\", "\ud800", "a/b", "null")
FIELDS = ("amount", "hour", "Größe", LONG_NAME, "", "plan", "active", "city", "other")
FIELDS += (
    "a_name_of_more_than_sixteen_bytez",
    "a_name_of_mora_than_sixteen_bytes",
    "Amount",
    "hou",
)
TIMES = ("2026-11-23T12:00:00.250Z", "2026-11-23T10:59:59.999999Z", "2026-11-23t11:00:00z")
TIMES += ("2026-11-23 12:00:00.5+05:30", "2016-12-31T23:59:60Z", "2024-02-29T23:59:59.1Z")
TIMES += ("2026-11-23T12:01:00Z", "2026-11-23T12:01:00.501Z", "1990-01-01T00:00:00+00:01")
TIMES += (
    "2023-02-29T00:00:00Z",
    "2026-11-23T12:00:00",
    "2026-11-23T24:00:00Z",
    "2100-02-28T00:00:00Z",
)


class Writer:
    """Write seeded events in every shape that JSON has for them."""

    def __init__(self, seed: int) -> None:
        """Start a sequence."""
        self.rng = random.Random(seed)

    def event(self, plain: float = 0.9) -> bytes:
        """Write one event; with probability `plain` nothing about it is odd."""
        odd = self.rng.random() >= plain
        fields = self._fields(odd)
        items = list(fields.items())
        if self.rng.random() < 0.3:
            self.rng.shuffle(items)
        text = self._text(dict(items))
        if odd and self.rng.random() < 0.5:
            text = text.replace("1", self.rng.choice(["10", "-1", "1e5", "1.0", "0", " 1"]), 1)
        return text.encode("utf-8", "surrogatepass")

    def _text(self, fields: dict[str, Any]) -> str:
        rng = self.rng
        ascii_only = rng.random() < 0.1
        separators = rng.choice([(",", ":"), (",", ":"), (", ", ": "), (" ,\n", "\t:\r")])
        indent = rng.choice([None, None, None, 1])
        text = json.dumps(fields, ensure_ascii=ascii_only, separators=separators, indent=indent)
        return rng.choice(["", "", "", " ", "\n"]) + text + rng.choice(["", "", "", "\r\n"])

    def _fields(self, odd: bool) -> dict[str, Any]:
        rng = self.rng
        pick, maybe = rng.choice, lambda: rng.random() < 0.6
        fields: dict[str, Any] = {"time": self._time(), "model": pick(["shop", "shop", "Klasse ä"])}
        if rng.random() < 0.05:
            fields["model"] = pick(["toys", "sho", "shopp", "", None, 3])
        if maybe():
            named = [*FIELDS, 'a"b'] if odd else FIELDS
            names = rng.sample(named, rng.randrange(len(named)))
            fields["features"] = {name: self._scalar(odd) for name in names}
        if maybe():
            names = rng.sample(["country", "version", "tier", "plan", "x"], rng.randrange(5))
            fields["segments"] = {name: self._scalar(odd) for name in names}
        if maybe():
            fields["prediction"] = self._prediction(odd)
        for name, of in (("version", self._word), ("id", self._word), ("label", self._scalar)):
            if maybe():
                fields[name] = of(odd)
        for name in ("attributions", "metrics"):
            if rng.random() < 0.3:
                names = rng.sample(["amount", "kind", "revenue", "x"], rng.randrange(4))
                fields[name] = {key: self._number(odd) for key in names}
        if maybe():
            fields["latency_seconds"] = self._number(odd)
        if rng.random() < 0.3:
            fields["weight"] = pick([1, 2, 4096, 3.0, None, *([0, 4097, 1.5, "1", True] * odd)])
        if rng.random() < 0.2:
            fields[pick(["trace", "x"])] = pick(
                [[], {}, [1, {"a": [None]}], {"a": {"b": "]"}}, "y"]
            )
        if odd and rng.random() < 0.5:
            fields[pick(list(fields))] = pick([None, True, [], {}, "x", 1, self._word(True)])
        return fields

    def _time(self) -> Any:
        rng = self.rng
        if rng.random() < 0.2:
            return rng.choice(TIMES)
        milliseconds = RECORD_MS - rng.randrange(7_200_000)
        if rng.random() < 0.3:
            return milliseconds / 1000 if rng.random() < 0.5 else milliseconds // 1000
        seconds, rest = divmod(milliseconds % 86_400_000, 1000)
        clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        return f"2026-11-23T{clock}.{rest:03}Z"

    def _prediction(self, odd: bool) -> Any:
        whole = {
            "score": self._number(odd),
            "class": self._scalar(odd),
            "probabilities": {name: self._number(odd) for name in self.rng.sample(WORDS, 2)},
            "extra": self.rng.choice([1, [{}], "x"]),
        }
        names = self.rng.sample(list(whole), self.rng.randrange(5))
        return self.rng.choice(
            [self._number(odd), self._number(odd), self._word(odd), {n: whole[n] for n in names}]
        )

    def _word(self, odd: bool) -> Any:
        return self.rng.choice([*WORDS, 3, 0.5, 1, 2, None, *(ODD * odd)])

    def _number(self, odd: bool) -> Any:
        rng = self.rng
        whole = rng.choice([0, 1, -1, 3, rng.randrange(10**6), rng.randrange(10**18), 10**22])
        double = rng.choice([0.5, 0.25, -0.0, rng.gauss(0, 1), rng.gauss(0, 1), rng.random() * 1e9])
        strange = struct.unpack("d", rng.randbytes(8))[0]
        if odd and rng.random() < 0.3:
            return strange if strange == strange else "nan"
        return rng.choice([whole, double, double, double, None, 1e22, 5e-324 if odd else 0.125])

    def _scalar(self, odd: bool) -> Any:
        return (
            self.rng.choice([self._number, self._number, self._word])(odd)
            if (self.rng.random() < 0.9)
            else self.rng.choice([True, False, None])
        )
