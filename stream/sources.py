"""Files as event logs: JSONL in the event schema, or a CSV table with a column mapping.

Columns that the mapping does not name are features, unless it lists the features.  A table's
row becomes the same JSON that an emitter would send, so there is one decoder and one meaning
of every value.  A file ending in .gz is read through gzip.
"""

import csv
import gzip
import json
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import msgspec
import orjson

from detectors.errors import ConfigError
from stream.config import ColumnsConfig

__all__ = ["Row", "read_rows", "size_of"]

_ROWS_A_CHUNK = 8_192
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)
_TRUE_FALSE = {"true": True, "false": False}
_MISSING = {"", "null", "none", "nan", "na", "n/a"}


class Row(NamedTuple):
    """Hold one event as bytes, with its record time where the file has one."""

    value: bytes
    record_ms: int | None


def size_of(path: Path) -> int:
    """Give the bytes of a file as it is stored, for progress.

    Raises
    ------
    ConfigError
        If there is no such file.
    """
    if not path.is_file():
        raise ConfigError(f"There is no file {path}.")
    return path.stat().st_size


def read_rows(
    path: Path, columns: ColumnsConfig, model: str | None = None
) -> Iterator[tuple[list[Row], int]]:
    """Read a file in chunks; give each with the bytes of the stored file read so far.

    Raises
    ------
    ConfigError
        If the file's kind is not known, or a mapped column is not in it.
    """
    size_of(path)
    suffixes = [s for s in path.suffixes if s != ".gz"]
    kind = suffixes[-1] if suffixes else ""
    if kind not in {".jsonl", ".ndjson", ".json", ".csv"}:
        raise ConfigError(
            f"{path} is neither JSONL (.jsonl, .ndjson) nor CSV (.csv), plain or gzipped (.gz)."
        )
    with path.open("rb") as stored:
        stream = cast(
            "IO[bytes]", gzip.GzipFile(fileobj=stored) if path.suffix == ".gz" else stored
        )
        rows = _csv_rows(path, stream, (columns, model)) if kind == ".csv" else _json_rows(stream)
        chunk: list[Row] = []
        for row in _unbroken(path, rows):
            chunk.append(row)
            if len(chunk) == _ROWS_A_CHUNK:
                yield chunk, stored.tell()
                chunk = []
        yield chunk, stored.tell()


def _unbroken(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    """Say in a sentence where a compressed file is broken or cut off."""
    try:
        yield from rows
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ConfigError(f"{path} is broken or cut off as a gzip file: {error}.") from error


def _json_rows(stream: IO[bytes]) -> Iterator[Row]:
    for line in stream:
        stripped = line.strip()
        if stripped:
            yield Row(stripped, None)


def _csv_rows(
    path: Path, stream: IO[bytes], mapping: tuple[ColumnsConfig, str | None]
) -> Iterator[Row]:
    """Turn the rows of a table into events."""
    columns, model = mapping
    reader = csv.reader(_text_lines(path, stream))
    header = next(reader, None)
    if header is None:
        raise ConfigError(f"{path} is empty.")
    positions = _positions(path, header, columns)
    if not columns.features:
        rest = tuple(name for name in header if name not in positions)
        columns = msgspec.structs.replace(columns, features=rest)
        positions |= {name: header.index(name) for name in rest}
    if columns.model is None and columns.model_name is None and model is None:
        raise ConfigError(
            f"{path} does not say which model its rows are of: give --model NAME, or set "
            "columns.model or columns.model_name in the configuration."
        )
    for line, cells in enumerate(reader, 2):
        if cells:
            try:
                yield _event(cells, positions, (columns, model))
            except ValueError as error:
                raise ConfigError(
                    f"Line {line} of {path} has no record time in {columns.record_time!r}: {error}."
                ) from error


def _text_lines(path: Path, stream: IO[bytes]) -> Iterator[str]:
    """Decode a table's lines; a byte order mark at the start is no part of its first column."""
    for number, line in enumerate(stream, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"Line {number} of {path} is not UTF-8 ({error.reason}): convert the file first."
            ) from error


def _positions(path: Path, header: Sequence[str], columns: ColumnsConfig) -> dict[str, int]:
    """Find the mapped columns in the header."""
    single = (columns.time, columns.id, columns.model, columns.version, columns.prediction)
    more = (columns.class_, columns.label, columns.latency_seconds, columns.weight)
    lists = (columns.features, columns.segments, columns.attributions, columns.metrics)
    named = [c for c in (*single, *more, columns.record_time) if c is not None]
    for group in lists:
        named += group
    missing = [c for c in named if c not in header]
    if missing:
        raise ConfigError(
            f"{path} has no column {missing[0]!r}; its columns are: {', '.join(header)}. "
            "Map them in the [columns] section of the configuration."
        )
    return {name: header.index(name) for name in named}


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
        "weight": get(columns.weight),
        "features": {name: get(name) for name in columns.features},
        "segments": {name: get(name, _text) for name in columns.segments},
        "attributions": {name: get(name) for name in columns.attributions},
        "metrics": {name: get(name) for name in columns.metrics},
    }
    weight = event["weight"]
    event["weight"] = int(weight) if isinstance(weight, float) and weight.is_integer() else weight
    present = {key: value for key, value in event.items() if value is not None and value != {}}
    recorded = get(columns.record_time, _time)
    value = orjson.dumps(present)
    if any(isinstance(v, float) and math.isinf(v) for v in _values(present)):
        value = json.dumps(present).replace("Infinity", "1e999").encode()
    return Row(value, None if recorded is None else _milliseconds(recorded))


def _values(event: dict[str, Any]) -> Iterator[Any]:
    """Give every plain value of an event."""
    for value in event.values():
        yield from value.values() if isinstance(value, dict) else (value,)


def _milliseconds(time: Any) -> int:
    """Give a record time in milliseconds; raise ValueError if it is none."""
    if isinstance(time, str):
        return round(datetime.fromisoformat(time).timestamp() * 1000)
    return round(float(time) * 1000)
