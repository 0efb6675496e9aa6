"""A message of a known schema: where its buffers are, each within the message and long enough.

None wherever anything is unusual: the slow way then decides, and says why.
"""

import struct
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.decode.arrow.frames import Table
from stream.decode.arrow.kernels import BIT, VIEWS
from stream.decode.arrow.leaves import NOTHING, STRUCT, TEXT, Leaves

__all__ = ["BITS", "Bodies", "Body", "bodies_of", "body_of", "schema_frame", "texts_of"]

_MARK: Final = 0xFFFFFFFF
_END: Final = struct.pack("<Ii", _MARK, 0)
_V5: Final = 4
_DICTIONARY, _BATCH = 2, 3
BITS: Final = {BIT: 1} | {view: 8 * int(name[1]) for view, name in enumerate(VIEWS)}
_ROWS_MAX: Final = 1 << 31


class Body(NamedTuple):
    """Hold where the columns of n rows are: a start and the bytes of each buffer, from the value.

    `nulls` int64[nodes] are the missing rows of each, `starts` and `sizes` int64[buffers].
    """

    rows: int
    nulls: NDArray[np.int64]
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def bitmap(self, node: int, buffer: int) -> int:
        """Give the byte at which a column's bitmap starts; -1 where no row is missing."""
        return int(self.starts[buffer]) if self.nulls[node] else -1


class _Frame(NamedTuple):
    """Hold a frame: its table, its bytes, and where its body is."""

    message: Table
    data: bytes
    body: int
    size: int


def schema_frame(value: bytes) -> bytes:
    """Give a message's first frame; struct.error where there is none."""
    mark, size = struct.unpack_from("<Ii", value)
    if mark != _MARK or size <= 0:
        raise struct.error
    return value[8 : 8 + size]


class Bodies(NamedTuple):
    """Hold what follows a schema: one batch, dictionaries by their numbers, all their frames."""

    batch: _Frame
    dictionaries: dict[int, bytes]
    frames: list[bytes]


def bodies_of(value: bytes, schema: bytes) -> Bodies | None:
    """Split what follows a schema into one batch, and dictionaries before it."""
    at, dictionaries, frames, batch = 8 + len(schema), {}, [], None
    while at < len(value):
        if at + 8 == len(value) and value[at:] == _END:
            break
        part = _part(value, at) if batch is None else None
        if part is None or part.number in dictionaries:
            return None
        frames.append(part.frame.data)
        end = part.frame.body + part.frame.size
        if part.number is None:
            batch = part.frame
        else:
            dictionaries[part.number] = value[at:end]
        at = end
    return None if batch is None else Bodies(batch, dictionaries, frames)


class _Part(NamedTuple):
    """Hold a frame of a batch, or of the dictionary of that number."""

    number: int | None
    frame: _Frame


def _part(value: bytes, at: int) -> _Part | None:
    """Read the frame at a place; None where it is neither, or does not lie in the message."""
    mark, size = struct.unpack_from("<Ii", value, at)
    if mark != _MARK or not 0 < size <= len(value) - at - 8:
        return None
    body = at + 8 + size
    data = value[at + 8 : body]
    message = Table.root(data)
    kind, header, length = message.number(1, "<B"), message.table(2), message.number(3, "<q")
    plain = message.number(0, "<h") == _V5 and not message.vector(4)[1] and not body % 8
    if header is None or not plain or not 0 <= length <= len(value) - body:
        return None
    is_dictionary = kind == _DICTIONARY
    batch = header.table(1) if is_dictionary else header
    if batch is None or kind not in {_DICTIONARY, _BATCH}:
        return None
    number = header.number(0, "<q") if is_dictionary else None
    return _Part(number, _Frame(batch, data, body, length))


def body_of(frame: _Frame, leaves: Leaves, rows_max: int) -> Body | None:
    """Find the buffers of a batch, and check that each is as long as its rows need."""
    found = _places(frame, len(leaves.all), leaves.buffers)
    if found is None or not 0 < found.rows <= rows_max:
        return None
    if (found.nulls[leaves.nothing] != found.rows).any():
        return None
    return found if (found.sizes >= _needed(leaves, found)).all() else None


def _places(frame: _Frame, nodes: int, buffers: int) -> Body | None:
    """Read a batch's nodes and buffers; every buffer lies in the body."""
    table, data = frame.message, frame.data
    rows = table.number(0, "<q")
    node_at, node_count = table.vector(1)
    buffer_at, buffer_count = table.vector(2)
    if (node_count, buffer_count) != (nodes, buffers) or not 0 <= rows < _ROWS_MAX:
        return None
    if table.table(3) is not None or table.vector(4)[1]:
        return None
    if max(node_at + 16 * nodes, buffer_at + 16 * buffers) > len(data) or node_at % 8:
        return None
    node = np.frombuffer(data, np.int64, 2 * nodes, node_at).reshape(-1, 2)
    buffer = np.frombuffer(data, np.int64, 2 * buffers, buffer_at).reshape(-1, 2)
    lengths, nulls = node[:, 0], node[:, 1]
    starts, sizes = buffer[:, 0], buffer[:, 1]
    plain = (lengths == rows).all() and ((nulls >= 0) & (nulls <= rows)).all()
    inside = (starts >= 0) & (starts <= frame.size) & (starts % 8 == 0)
    # Both are small by then: no sum overflows.
    if not plain or not (inside & (sizes >= 0) & (sizes <= frame.size)).all():
        return None
    if (starts + sizes > frame.size).any():
        return None
    return Body(rows, nulls, starts + frame.body, sizes)


def _needed(leaves: Leaves, body: Body) -> NDArray[np.int64]:
    """Count the bytes that each buffer must have at least; texts are checked by their offsets."""
    needed = np.zeros(leaves.buffers, np.int64)
    for leaf in leaves.all:
        if leaf.kind == NOTHING:
            continue
        if body.nulls[leaf.node]:
            needed[leaf.buffer] = (body.rows + 7) // 8
        if leaf.kind == TEXT:
            needed[leaf.buffer + 1] = (body.rows + 1) * BITS[leaf.width] // 8
        elif leaf.kind != STRUCT:
            needed[leaf.buffer + 1] = (body.rows * BITS[leaf.kind] + 7) // 8
    return needed


def texts_of(frame: bytes, width: int, length_max: int | None) -> tuple[str, ...] | None:
    """Read the texts of a dictionary; None where one is longer than `length_max`, or missing.

    Raises
    ------
    struct.error, UnicodeDecodeError
        If it is none.
    """
    (size,) = struct.unpack_from("<i", frame, 4)
    data = frame[8 : 8 + size]
    header = Table.root(data).table(2)
    batch = None if header is None or header.number(2, "<B") else header.table(1)
    body = 8 + size
    part = None if batch is None else _Frame(batch, data, body, len(frame) - body)
    found = None if part is None else _places(part, 1, 3)
    if found is None or found.nulls[0]:
        return None
    _, offsets_at, texts_at = found.starts.tolist()
    if found.rows and found.sizes[1] < (found.rows + 1) * BITS[width] // 8:
        return None
    each = VIEWS[width]
    offsets = np.frombuffer(frame, each, found.rows + 1, offsets_at).tolist() if found.rows else [0]
    if offsets[0] < 0 or offsets[-1] > found.sizes[2] or offsets != sorted(offsets):
        return None
    names = tuple(frame[texts_at + a : texts_at + b].decode() for a, b in pairwise(offsets))
    too_long = length_max is not None and any(len(name) > length_max for name in names)
    return None if too_long else names
