"""Cells: sparse integer summaries, in the form in which they are sent and merged.

A *cell* is what one pane adds to one bucket of one model: for each stream (slice, channel) with
data the integers `missing, clipped, sum q, sum q^2` and the counts of its bins, where
`q = rint(1024 * clip((x - centre) / scale, +-64))`.  Integers commute, so any split of the
log into panes, partitions or workers adds up to the same cell.

The encoding (docs/formats/summaries.md) is a run of unsigned LEB128 integers; signed ones are
zigzag folded.  For each stream, in ascending order:

    gap to the previous stream, missing, clipped, zigzag(sum q), sum q^2,
    bins that follow, then for each: gap to the previous bin, count
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.errors import SnapshotCorrupt
from detectors.layout import Layout

__all__ = ["CELL_BYTES_MAX", "Cell", "Moments", "add_cell", "encoded"]

UNIT = 1024
CELL_BYTES_MAX = 400_000
_VARINT_BYTES = 10
_LIMB = 32
_COUNT_MAX = 1 << 40
_SUM_MAX = 1 << 57


@dataclass(frozen=True)
class Cell:
    """Hold the encoded sums of `events` events of one bucket."""

    bucket: int
    events: int
    data: bytes


@dataclass(frozen=True)
class Moments:
    """Hold the sums of one or more cells: arrays of slices x channels, counts slices x width.

    `squares_high * 2**32 + squares_low` is the sum of q squared: two limbs, since many panes
    of large values exceed an int64.
    """

    counts: NDArray[np.int64]
    missing: NDArray[np.int64]
    clipped: NDArray[np.int64]
    sums: NDArray[np.int64]
    squares_high: NDArray[np.int64]
    squares_low: NDArray[np.int64]

    @classmethod
    def zeros(cls, layout: Layout) -> "Moments":
        """Make empty sums for a layout."""
        shape = (layout.slices, layout.channels)
        fields = [np.zeros(shape, np.int64) for _ in range(5)]
        return cls(np.zeros((layout.slices, layout.width), np.int64), *fields)

    def clear(self) -> None:
        """Set every sum to zero."""
        for array in self.arrays:
            array[:] = 0

    @property
    def arrays(self) -> tuple[NDArray[np.int64], ...]:
        """Give all arrays, in the order of the fields."""
        return (
            self.counts,
            self.missing,
            self.clipped,
            self.sums,
            self.squares_high,
            self.squares_low,
        )


@njit(cache=True)
def _put(buffer: Any, at: int, value: Any) -> int:
    """Write one unsigned LEB128 integer."""
    v = np.uint64(value)
    while v >= np.uint64(128):
        buffer[at] = np.uint8((v & np.uint64(127)) | np.uint64(128))
        v >>= np.uint64(7)
        at += 1
    buffer[at] = np.uint8(v)
    return at + 1


@njit(cache=True)
def _take(buffer: Any, at: int) -> Any:
    """Read one unsigned LEB128 integer; a position of -1 says that the bytes ended or overran.

    From -1 it reads nothing, so several in a row are checked only once.
    """
    if 0 <= at < buffer.shape[0] and buffer[at] < 128:
        return np.int64(buffer[at]), at + 1
    v = np.uint64(0)
    shift = 0
    while 0 <= at < buffer.shape[0] and shift < 64:
        byte = buffer[at]
        at += 1
        if shift == 63 and byte > 1:
            break
        v |= np.uint64(byte & 127) << np.uint64(shift)
        if byte < 128:
            return np.int64(v), at
        shift += 7
    return np.int64(0), -1


@njit(cache=True)
def _encode(first_bin: Any, sums: Any, buffer: Any, stream: int) -> Any:
    """Write streams that have data, from `stream` on, and set their sums back to zero.

    Stops behind the stream that passes CELL_BYTES_MAX; gives the bytes and the next stream.
    """
    counts, missing, clipped, total, squares = sums
    channels = first_bin.shape[0] - 1
    at = 0
    previous = -1
    while stream < missing.shape[0] * channels and at < CELL_BYTES_MAX:
        s, c = stream // channels, stream % channels
        low, high = first_bin[c], first_bin[c + 1]
        filled = 0
        for b in range(low, high):
            filled += counts[s, b] > 0
        if filled > 0 or missing[s, c] > 0:
            at = _put(buffer, at, stream - previous - 1)
            at = _put(buffer, at, missing[s, c])
            at = _put(buffer, at, clipped[s, c])
            at = _put(buffer, at, (total[s, c] << 1) ^ (total[s, c] >> 63))
            at = _put(buffer, at, squares[s, c])
            at = _put(buffer, at, filled)
            last = low - 1
            for b in range(low, high):
                if counts[s, b] > 0:
                    at = _put(buffer, at, b - last - 1)
                    at = _put(buffer, at, counts[s, b])
                    counts[s, b] = 0
                    last = b
            missing[s, c] = clipped[s, c] = total[s, c] = squares[s, c] = 0
            previous = stream
        stream += 1
    return at, stream


@njit(cache=True)
def _decode(buffer: Any, first_bin: Any, sums: Any) -> bool:
    """Add one encoded cell to dense sums; False says that the bytes do not fit the layout."""
    counts, missing, clipped, total, high, low = sums
    channels = first_bin.shape[0] - 1
    streams = missing.shape[0] * channels
    at, s, c, stream = 0, 0, -1, -1
    while at < buffer.shape[0]:
        # One byte each, as nearly always, they need no call.
        if at + 2 < buffer.shape[0] and (buffer[at] | buffer[at + 1] | buffer[at + 2]) < 128:
            gap, absent, cut = buffer[at], buffer[at + 1], buffer[at + 2]
            at += 3
        else:
            gap, at = _take(buffer, at)
            absent, at = _take(buffer, at)
            cut, at = _take(buffer, at)
        folded, at = _take(buffer, at)
        squares, at = _take(buffer, at)
        filled, at = _take(buffer, at)
        if at < 0 or (gap | absent | cut | folded | squares | filled) < 0:
            return False
        # Compared before it is added: a sum that wraps around would write outside the arrays.
        far = gap >= streams - stream - 1
        if far or absent > _COUNT_MAX or cut > _COUNT_MAX or folded > _SUM_MAX:
            return False
        stream += gap + 1
        c += gap + 1
        if c >= channels:
            s, c = stream // channels, stream % channels
        missing[s, c] += absent
        clipped[s, c] += cut
        total[s, c] += (folded >> 1) ^ -(folded & 1)
        high[s, c] += squares >> _LIMB
        low[s, c] += squares & ((1 << _LIMB) - 1)
        b = first_bin[c] - 1
        last = first_bin[c + 1] - 1
        for _ in range(filled):
            if at + 1 < buffer.shape[0] and (buffer[at] | buffer[at + 1]) < 128:
                gap, count = buffer[at], buffer[at + 1]
                at += 2
            else:
                gap, at = _take(buffer, at)
                count, at = _take(buffer, at)
            if at < 0 or gap < 0 or gap >= last - b:
                return False
            if count < 0 or count > _COUNT_MAX:
                return False
            b += gap + 1
            counts[s, b] += count
    return True


def encoded(
    bucket: int, events: int, layout: Layout, sums: tuple[NDArray[np.int64], ...]
) -> Iterator[Cell]:
    """Encode one bucket's dense sums (Moments with one limb of squares), and zero them.

    A bucket is one cell, or several (the first counts the events) above CELL_BYTES_MAX.
    """
    buffer = np.empty(CELL_BYTES_MAX + _VARINT_BYTES * (6 + 2 * layout.width), np.uint8)
    stream = 0
    while stream < layout.slices * layout.channels:
        length, stream = _encode(layout.first_bin, sums, buffer, stream)
        if length:
            yield Cell(bucket, events, buffer[:length].tobytes())
            events = 0


def add_cell(data: bytes, layout: Layout, moments: Moments) -> None:
    """Add one encoded cell to the sums.

    Raises
    ------
    SnapshotCorrupt
        If the bytes are no cell of this layout; the sums are then half changed.
    """
    if not _decode(np.frombuffer(data, np.uint8), layout.first_bin, moments.arrays):
        raise SnapshotCorrupt(
            "A summary does not fit its profile's layout: the summaries topic holds bytes "
            "that driftline did not write, or that another profile explains."
        )
