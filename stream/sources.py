"""Files as event logs: JSONL in the event schema, or a CSV table with a column mapping.

Columns that the mapping does not name are features, unless it lists the features.  A table's
row becomes the same JSON that an emitter would send, so there is one decoder and one meaning
of every value.  A file ending in .gz is read through gzip.
"""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from detectors.errors import ConfigError
from detectors.events import Limits
from stream.config import ColumnsConfig
from stream.lines import Lines, Row
from stream.tables import table_rows

__all__ = ["Row", "read_rows", "size_of"]

_ROWS_A_CHUNK = 8_192
# Rows of the usual size fill a chunk by their number; those of a megabyte do not pile up.
_BYTES_A_CHUNK = 8 << 20


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
    path: Path, columns: ColumnsConfig, limits: Limits, model: str | None = None
) -> Iterator[tuple[list[Row], int]]:
    """Read a file in chunks; give each with the bytes of the stored file read so far.

    A line that no event can have becomes a row that the decoder rejects.

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
        lines = Lines(stream, limits.event_bytes)
        if kind == ".csv":
            rows = table_rows(path, lines, limits.event_bytes, (columns, model))
        else:
            rows = _json_rows(lines)
        chunk: list[Row] = []
        room = _BYTES_A_CHUNK
        for row in _unbroken(path, rows):
            chunk.append(row)
            room -= len(row.value)
            if len(chunk) == _ROWS_A_CHUNK or room < 0:
                yield chunk, stored.tell()
                chunk, room = [], _BYTES_A_CHUNK
        yield chunk, stored.tell()


def _unbroken(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    """Say in a sentence where a compressed file is broken or cut off."""
    try:
        yield from rows
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ConfigError(f"{path} is broken or cut off as a gzip file: {error}.") from error


def _json_rows(lines: Lines) -> Iterator[Row]:
    for line in lines:
        stripped = line.content if line.is_cut else line.content.strip(b" \t\r\n")
        if stripped:
            yield Row(stripped, None)
