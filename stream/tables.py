"""Tables as event logs: a row becomes the JSON that an emitter would have sent.

A row that is none, by its quotes or its size, becomes a value that the decoder rejects, and
the lines that an open quote has swallowed are read again: one bad line costs one row.
"""

import csv
import json
import math
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import orjson

from detectors.errors import ConfigError
from detectors.events import WEIGHT_MAX
from detectors.panes import UNSET
from stream.config import ColumnsConfig
from stream.lines import Line, Lines, Row

__all__ = ["table_rows"]

# Every text is matched from its start in one pass: no two parts can take the same digits.
_NUMBER = re.compile(
    r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?|[+-]?inf(inity)?", re.IGNORECASE
)
_TRUE_FALSE = {"true": True, "false": False}
_MISSING = {"", "null", "none", "nan", "na", "n/a"}
_NO_JSON = b"{"


class _Texts(Iterator[str]):
    """Decode lines for csv.reader, and remember those of the row that it is in."""

    def __init__(self, lines: Lines) -> None:
        self.row: list[Line] = []
        self._lines = lines
        self._bytes = 0

    def __next__(self) -> str:
        line = next(self._lines)
        self.row.append(line)
        self._bytes += len(line.content)
        if line.is_cut or self._bytes > self._lines.bytes_max:
            raise csv.Error("too many bytes")
        encoding = "utf-8-sig" if line.number == 1 else "utf-8"
        # What is not UTF-8 becomes half a character, which the decoder rejects by name.
        return line.content.decode(encoding, "surrogateescape")

    def begin(self) -> None:
        """Begin a row."""
        self.row = []
        self._bytes = 0

    def refuse(self) -> Line:
        """Give the first line of a row that is none; the others are read again."""
        first, *more = self.row
        self._lines.take_back(more)
        return first


def table_rows(
    path: Path, lines: Lines, event_bytes: int, mapping: tuple[ColumnsConfig, str | None]
) -> Iterator[Row]:
    """Turn the rows of a table into events; the model may be given beside the columns.

    Raises
    ------
    ConfigError
        If the header is not UTF-8 or lacks a mapped column, no model is known, or a row has no
        record time in the column that is mapped to it.
    """
    texts = _Texts(lines)
    reader = csv.reader(texts, strict=True)
    mapping, at = _mapped(path, _header(path, reader), mapping)
    record_ms = None if mapping[0].record_time is None else UNSET
    while True:
        texts.begin()
        try:
            cells = next(reader, None)
        except csv.Error:
            refused = texts.refuse()
            is_long = refused.is_cut or len(refused.content) > event_bytes
            yield Row(bytes(event_bytes + 1) if is_long else _NO_JSON, record_ms)
            continue
        if cells is None:
            return
        if cells:
            try:
                row = _event(cells, at, mapping)
            except (ValueError, OverflowError) as error:
                raise ConfigError(
                    f"Line {texts.row[0].number} of {path} has no record time in "
                    f"{mapping[0].record_time!r}: {error}."
                ) from error
            record_ms = row.record_ms
            yield row


def _header(path: Path, reader: Iterator[list[str]]) -> list[str]:
    """Read the names of the columns."""
    try:
        header = next(reader, None)
        if header is not None:
            ",".join(header).encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"Line 1 of {path} is not UTF-8: convert the file first.") from error
    except csv.Error as error:
        raise ConfigError(f"Line 1 of {path} is no line of column names: {error}.") from error
    if header is None:
        raise ConfigError(f"{path} is empty.")
    return header


def _mapped(
    path: Path, header: Sequence[str], mapping: tuple[ColumnsConfig, str | None]
) -> tuple[tuple[ColumnsConfig, str | None], dict[str, int]]:
    """Find the mapped columns in the header; the others are features, unless some are named."""
    columns, model = mapping
    positions = {name: i for i, name in reversed(list(enumerate(header)))}
    single = (columns.time, columns.id, columns.model, columns.version, columns.prediction)
    more = (columns.class_, columns.label, columns.latency_seconds, columns.weight)
    named = [c for c in (*single, *more, columns.record_time) if c is not None]
    for group in (columns.features, columns.segments, columns.attributions, columns.metrics):
        named += group
    missing = [c for c in named if c not in positions]
    if missing:
        raise ConfigError(
            f"{path} has no column {missing[0]!r}; its columns are: {', '.join(header)}. "
            "Map them in the [columns] section of the configuration."
        )
    if len(positions) < len(header):
        twice = next(name for i, name in enumerate(header) if positions[name] != i)
        raise ConfigError(f"{path} has two columns {twice!r}: rename one of them.")
    if columns.model is None and columns.model_name is None and model is None:
        raise ConfigError(
            f"{path} does not say which model its rows are of: give --model NAME, or set "
            "columns.model or columns.model_name in the configuration."
        )
    if not columns.features:
        taken = set(named)
        rest = tuple(name for name in header if name not in taken)
        columns = msgspec.structs.replace(columns, features=rest)
    return (columns, model), positions


def _cell(text: str) -> Any:
    """Read a cell: empty is missing, true and false are booleans, else a number or a text.

    A number beyond a 64-bit float becomes a literal that the decoder rejects by name.
    """
    stripped = text.strip()
    lowered = stripped.lower()
    if lowered in _MISSING:
        return None
    if lowered in _TRUE_FALSE:
        return _TRUE_FALSE[lowered]
    return float(stripped) if _NUMBER.fullmatch(stripped) else stripped


def _time(text: str) -> Any:
    """Read a time: a number stays one, a date without a zone is UTC."""
    value = _cell(text)
    if not isinstance(value, str):
        return value
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return value
    return time.replace(tzinfo=time.tzinfo or UTC).isoformat()


def _text(text: str) -> str | None:
    """Read a name: whole numbers as they are written."""
    return text.strip() or None


def _event(
    cells: Sequence[str], at: dict[str, int], mapping: tuple[ColumnsConfig, str | None]
) -> Row:
    """Write one table row as an event."""
    columns, model = mapping

    def get(name: str | None, read: Any = _cell) -> Any:
        return None if name is None or at[name] >= len(cells) else read(cells[at[name]])

    prediction = get(columns.prediction)
    if columns.class_ is not None:
        prediction = {"score": prediction, "class": get(columns.class_, _text)}
    event = {
        "time": get(columns.time, _time),
        "id": get(columns.id, _text),
        "model": get(columns.model, _text) or columns.model_name or model,
        "version": get(columns.version, _text),
        "prediction": prediction,
        "label": get(columns.label),
        "latency_seconds": get(columns.latency_seconds),
        "weight": _weight(get(columns.weight)),
        "features": {name: get(name) for name in columns.features},
        "segments": {name: get(name, _text) for name in columns.segments},
        "attributions": {name: get(name) for name in columns.attributions},
        "metrics": {name: get(name) for name in columns.metrics},
    }
    value = _written({key: value for key, value in event.items() if value not in (None, {})})
    if columns.record_time is None:
        return Row(value, None)
    return Row(value, _milliseconds(get(columns.record_time, _time)))


def _weight(weight: Any) -> Any:
    """Write a weight as JSON has it; the decoder judges one that is none."""
    is_whole = isinstance(weight, float) and 1 <= weight <= WEIGHT_MAX and weight.is_integer()
    return int(weight) if is_whole else weight


def _written(event: dict[str, Any]) -> bytes:
    """Write an event; infinite numbers and half characters as JSON that is rejected by name."""
    try:
        value = orjson.dumps(event)
    except TypeError:
        return json.dumps(event).replace("Infinity", "1e999").encode()
    if any(isinstance(v, float) and math.isinf(v) for v in _values(event)):
        return json.dumps(event).replace("Infinity", "1e999").encode()
    return value


def _values(event: dict[str, Any]) -> Iterator[Any]:
    """Give every plain value of an event."""
    for value in event.values():
        yield from value.values() if isinstance(value, dict) else (value,)


def _milliseconds(time: Any) -> int:
    """Give a record time in milliseconds; raise ValueError or OverflowError if it is none."""
    if time is None or isinstance(time, bool):
        raise ValueError("the cell is empty or no time")
    if isinstance(time, str):
        found = round(datetime.fromisoformat(time).timestamp() * 1000)
    else:
        found = round(time * 1000)
    if not 0 < found < 1 << 53:
        raise ValueError("the time is out of range")
    return found
