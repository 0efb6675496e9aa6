"""Poison is rejected by name in every format, in little memory, and harms no neighbour."""

import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from poison import (
    COLUMNS,
    CSV_HEADER,
    CSV_POISON,
    CSV_USUAL,
    HERE,
    JSON_POISON,
    LARGE_CSV,
    LARGE_JSON,
    USUAL,
    misfiled,
)

from detectors.events import REJECT_CODES, Event, Limits
from stream.decode.json_events import Decoded, decode
from stream.sources import read_rows

RECORD_MS = 1_795_435_200_500  # 2026-11-23T12:00:00.500Z
DECODE_BYTES_MAX = 16 << 20
LIMITS = Limits()
GOOD = json.dumps(USUAL).encode()
JSON = {f"{code}-{name}": (value, code) for (code, name), value in JSON_POISON.items()} | LARGE_JSON
CSV = {f"{code}-{name}": (value, code) for (code, name), value in CSV_POISON.items()} | LARGE_CSV
# What a line of a file cannot be: no line at all, or space around it that is no part of it.
NO_LINE = {"tombstone", "nothing", "empty-zero_bytes", "json-only_spaces"}
NO_LINE |= {"65,537 bytes of spaces and an event"}


T = TypeVar("T")


def in_little_memory(call: Callable[[], T]) -> T:
    """Require that a call allocates at most 16 MiB at one time."""
    tracemalloc.start()
    try:
        found = call()
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes <= DECODE_BYTES_MAX
    return found


def decoded(values: list[bytes | None]) -> Decoded:
    """Decode values that were all appended at one time."""
    times = np.full(len(values), RECORD_MS, np.int64)
    return in_little_memory(lambda: decode(values, times, LIMITS))


def from_file(path: Path, content: bytes) -> Decoded:
    """Decode the rows of a file."""
    path.write_bytes(content)

    def rows() -> list[bytes | None]:
        return [row.value for chunk, _ in read_rows(path, COLUMNS, LIMITS) for row in chunk]

    values = in_little_memory(rows)
    return in_little_memory(lambda: decode(values, None, LIMITS))


def lines() -> Iterator[str]:
    """Name the poison that is poison as a line of a file, too."""
    for name, (value, code) in JSON.items():
        if name not in NO_LINE and b"\n" not in (value or b"") and code != "time_future":
            yield name


@pytest.mark.parametrize("name", JSON)
def test_a_record_is_rejected_by_its_name(name: str) -> None:
    value, code = JSON[name]
    found = decoded([GOOD, value, GOOD])
    assert ([code], [0, 2]) == (found.reject_codes, found.rows.tolist())


@pytest.mark.parametrize("name", lines())
def test_a_line_is_rejected_by_its_name(tmp_path: Path, name: str) -> None:
    value, code = JSON[name]
    found = from_file(tmp_path / "log.jsonl", b"\n".join([GOOD, value or b"", GOOD]))
    assert ([code], [0, 2]) == (found.reject_codes, found.rows.tolist())


@pytest.mark.parametrize("name", CSV)
def test_a_row_is_rejected_by_its_name(tmp_path: Path, name: str) -> None:
    value, code = CSV[name]
    content = CSV_HEADER + CSV_USUAL + value + b"\n" + 2 * CSV_USUAL
    found = from_file(tmp_path / "log.csv", content)
    assert ([code], [0, 2, 3]) == (found.reject_codes, found.rows.tolist())


def test_what_breaks_lines_costs_only_its_lines(tmp_path: Path) -> None:
    """A record of several lines is several records, none of them an exception."""
    broken = [value for value, _ in JSON.values() if value and b"\n" in value]
    assert broken
    for value in broken:
        found = from_file(tmp_path / "log.jsonl", b"\n".join([GOOD, value, GOOD]))
        assert {0, found.rows[-1]} <= set(found.rows.tolist())
        assert set(found.reject_codes) <= REJECT_CODES.keys()


def test_poison_is_complete() -> None:
    """Every kind, every code, each file once."""
    assert misfiled(HERE / "poison", "json") == []
    assert misfiled(HERE / "poison_csv", "csv") == []
    assert len(JSON_POISON) >= 150
    assert len(CSV_POISON) >= 80
    names = " ".join(f"{code} {name}" for code, name in [*JSON_POISON, *CSV_POISON])
    for kind in ("digits", "deep", "surrogate", "offset", "key", "1025", "true", "nanoseconds"):
        assert kind in names


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ("jsonn/brace.json", "no such code"),
        ("json/deeper/brace.json", "is not CODE/NAME.json"),
        ("json/brace.txt", "is not CODE/NAME.json"),
        ("json/brace.json", "there is none for time_unit"),
    ],
)
def test_poison_that_is_filed_wrongly_is_noticed(
    tmp_path: Path, place: str, complaint: str
) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.write_bytes(b"{")
    assert any(complaint in text for text in misfiled(tmp_path, "json"))


def test_a_file_under_a_wrong_code_is_noticed() -> None:
    for value, code in (JSON["time_unit-milliseconds"], CSV["time_unit-milliseconds"]):
        assert code == "time_unit"
        assert decoded([value]).reject_codes != ["time_range"]


NO_POISON: dict[str, tuple[bytes, dict[str, object]]] = {
    "the last of two keys": (b'{"time":[],"time":1795435200,"model":1,"model":"m"}', {}),
    "a time of whole seconds": (b'{"time":1795435200,"model":"m"}', {}),
    "a time with an exponent": (b'{"time":1.7954352e9,"model":"m"}', {}),
    "minus zero": (b'{"time":1795435200,"model":"m","prediction":-0.0}', {"score": 0.0}),
    "a number below all floats": (
        b'{"time":1795435200,"model":"m","prediction":1e-999}',
        {"score": 0.0},
    ),
    "a number of 300 digits": (
        b'{"time":1795435200,"model":"m","prediction":1%s}' % (b"0" * 300),
        {"score": 1e300},
    ),
    "an infinite number in an ignored field": (b'{"time":1795435200,"model":"m","x":1e999}', {}),
    "eight deep": (b'{"time":1795435200,"model":"m","x":[[[[[[[1]]]]]]]}', {}),
    "white space": (b' \t\r{ "time" :1795435200 , "model":"m" } \n', {}),
    "a NUL in a name": (
        b'{"time":1795435200,"model":"m","features":{"a\\u0000b":1}}',
        {"features": {"a\0b": 1.0}},
    ),
    "an empty name": (
        b'{"time":1795435200,"model":"m","features":{"":1}}',
        {"features": {"": 1.0}},
    ),
    "a pair of half characters": (
        b'{"time":1795435200,"model":"m","features":{"a":"\\ud83d\\ude00"}}',
        {"features": {"a": "\U0001f600"}},
    ),
    "not a number as null": (
        b'{"time":1795435200,"model":"m","features":{"a":null}}',
        {"features": {"a": None}},
    ),
    "markup": (
        b'{"time":1795435200,"model":"m","version":"<script>"}',
        {"version": "<script>"},
    ),
    "the name of a monitor": (
        b'{"time":1795435200,"model":"__monitor__"}',
        {"model": "__monitor__"},
    ),
}


@pytest.mark.parametrize("name", NO_POISON)
def test_what_only_looks_like_poison_is_accepted_as_what_it_says(name: str) -> None:
    value, fields = NO_POISON[name]
    expected = Event(**({"time_ms": 1_795_435_200_000, "model": "m"} | fields))  # type: ignore[arg-type]
    assert decoded([value]).events == [expected]


CSV_NO_POISON = {
    "an empty row": (b"", []),
    "a byte order mark in a cell": ("\ufeff".encode(), [{"amount": "\ufeff"}]),
    "a NUL": (b"a\0b", [{"amount": "a\0b"}]),
    "a quoted line break": (b'"a\nb"', [{"amount": "a\nb"}]),
    "digits of another script": ("٣".encode(), [{"amount": "٣"}]),
    "an underscore": (b"1_000", [{"amount": "1_000"}]),
    "a quote inside": (b'5" tall', [{"amount": '5" tall'}]),
    "a formula": (b"=1+1", [{"amount": "=1+1"}]),
    "a plus": (b"+5", [{"amount": 5.0}]),
    "no digit after the point": (b"5.", [{"amount": 5.0}]),
    "below all floats": (b"1e-999", [{"amount": 0.0}]),
}


@pytest.mark.parametrize("name", CSV_NO_POISON)
def test_a_cell_that_only_looks_like_poison_is_what_it_says(tmp_path: Path, name: str) -> None:
    cell, expected = CSV_NO_POISON[name]
    row = b"1795435200,m,,,,,,,,%s,,,\n" % cell if expected else b"\n"
    found = from_file(tmp_path / "log.csv", CSV_HEADER + row)
    assert ([], expected) == (found.reject_codes, [event.features for event in found.events])
