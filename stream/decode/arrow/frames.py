"""The frames of an IPC stream, bounded before Arrow reads them.

Arrow checks what it reads, but not what it costs: a compressed body may unpack to anything, and a
schema's tables may share their parts, so that a few bytes stand for millions of fields.  What
is read here is little: lengths, counts, and whether a body is compressed.
"""

import struct
from collections.abc import Iterator
from typing import Final

from stream.decode.strict import RejectedError

__all__ = ["FIELDS_MAX", "Table", "check_frames"]

FIELDS_MAX: Final = 4_096
_MARK: Final = b"\xff\xff\xff\xff"
_METADATA_BYTES_MAX: Final = 1 << 18
_TEXT_BYTES_MAX: Final = 1 << 20
_BATCHES_MAX: Final = 64
_DEPTH_MAX: Final = 4
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3
_BIG_ENDIAN: Final = 1


class Table:
    """Read one table of a FlatBuffer; struct.error where it leaves the bytes."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._vtable = at - self._number("<i", at)
        self._size = self._number("<H", self._vtable)

    @classmethod
    def root(cls, data: bytes) -> "Table":
        """Give the table that a frame is."""
        return cls(data, *struct.unpack_from("<I", data))

    def _number(self, form: str, at: int) -> int:
        if at < 0:
            raise struct.error
        (number,) = struct.unpack_from(form, self._data, at)
        return int(number)

    def place(self, index: int) -> int:
        """Give where a field is; 0 where it is absent."""
        slot = 4 + 2 * index
        offset = self._number("<H", self._vtable + slot) if slot + 2 <= self._size else 0
        return self._at + offset if offset else 0

    def number(self, index: int, form: str) -> int:
        """Give a number of the table itself; 0 where it is absent."""
        at = self.place(index)
        return self._number(form, at) if at else 0

    def table(self, index: int) -> "Table | None":
        """Give a part of the table."""
        at = self.place(index)
        return Table(self._data, at + self._number("<I", at)) if at else None

    def vector(self, index: int) -> tuple[int, int]:
        """Give where a vector's elements begin, and how many there are; (0, 0) if absent."""
        at = self.place(index)
        if not at:
            return 0, 0
        at += self._number("<I", at)
        return at + 4, self._number("<I", at)

    def text_bytes(self, index: int) -> int:
        """Count the bytes of a text."""
        return self.vector(index)[1]

    def text(self, index: int) -> str:
        """Give a text; UnicodeDecodeError where it is none."""
        at, size = self.vector(index)
        return self._data[at : at + size].decode()

    def tables(self, index: int, count_max: int) -> "list[Table]":
        """List the tables of a vector, at most so many."""
        at, count = self.vector(index)
        if count > count_max:
            raise RejectedError("limit")
        spots = range(at, at + 4 * count, 4)
        return [Table(self._data, spot + self._number("<I", spot)) for spot in spots]


def check_frames(value: bytes, rows_max: int, known: bytes | None = None) -> bytes:
    """Check what an IPC stream would cost to read; give its schema's bytes.

    `known` are the bytes of a schema that was checked before.  Raises RejectedError: `arrow` for
    what is no stream of one schema, dictionaries and uncompressed batches, `limit` for too much.
    """
    try:
        return _walk(value, rows_max, known)
    except struct.error:
        raise RejectedError("arrow") from None


def _walk(value: bytes, rows_max: int, known: bytes | None) -> bytes:
    rows, batches, dictionaries, schema = 0, 0, 0, b""
    for message, data in _messages(value):
        kind, header = message.number(1, "<B"), message.table(2)
        if header is None or (kind == _SCHEMA) != (not schema):
            raise RejectedError("arrow")
        if kind == _SCHEMA:
            schema = data
            if data != known:
                _check_schema(message, header)
        elif kind == _DICTIONARY:
            dictionaries += 1
            _check_batch(None if header.number(2, "<B") else header.table(1))
        elif kind == _BATCH:
            batches += 1
            rows += _check_batch(header)
        else:
            raise RejectedError("arrow")
        if kind != _SCHEMA:
            _texts([message], 4)
        if rows > rows_max or batches > _BATCHES_MAX or dictionaries > FIELDS_MAX:
            raise RejectedError("limit")
    if not schema:
        raise RejectedError("arrow")
    return schema


def _messages(value: bytes) -> Iterator[tuple[Table, bytes]]:
    """Give each frame's table and its bytes; nothing may follow the end that is marked."""
    at = 0
    while at < len(value):
        (size,) = struct.unpack_from("<i", value, at + 4)
        if value[at : at + 4] != _MARK or not 0 <= size <= len(value) - at - 8:
            raise RejectedError("arrow")
        at += 8
        if size == 0:
            break
        if size > _METADATA_BYTES_MAX:
            raise RejectedError("limit")
        data = value[at : at + size]
        message = Table.root(data)
        body = message.number(3, "<q")
        if not 0 <= body <= len(value) - at - size:
            raise RejectedError("arrow")
        at += size + body
        yield message, data
    if at != len(value):
        raise RejectedError("arrow")


def _check_batch(batch: Table | None) -> int:
    """Refuse a compressed body or a delta; give the rows."""
    rows = -1 if batch is None or batch.table(3) is not None else batch.number(0, "<q")
    if rows < 0:
        raise RejectedError("arrow")
    return rows


def _check_schema(message: Table, schema: Table) -> None:
    """Bound the fields of a schema, however they are shared, and all its texts."""
    if schema.number(0, "<h") == _BIG_ENDIAN:
        raise RejectedError("arrow")
    level, fields = schema.tables(1, FIELDS_MAX), []
    for _ in range(_DEPTH_MAX):
        fields += level
        if len(fields) > FIELDS_MAX:
            raise RejectedError("limit")
        level, above = [], level
        for field in above:
            level += field.tables(5, FIELDS_MAX - len(level))
    if level:
        raise RejectedError("depth")
    spent = sum(field.text_bytes(0) for field in fields)
    # A timestamp's zone is the one text in a type.
    zones = [field.table(3) for field in fields if field.number(2, "<B") == 10]
    spent += sum(zone.text_bytes(1) for zone in zones if zone is not None)
    if spent > _TEXT_BYTES_MAX:
        raise RejectedError("limit")
    _texts([message], 4)
    _texts([schema], 2)
    _texts(fields, 6)


def _texts(tables: list[Table], index: int) -> None:
    """Bound the key-value pairs of some tables together."""
    spent = 0
    for table in tables:
        for pair in table.tables(index, FIELDS_MAX):
            spent += 1 + pair.text_bytes(0) + pair.text_bytes(1)
        if spent > _TEXT_BYTES_MAX:
            raise RejectedError("limit")
