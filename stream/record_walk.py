"""The loop over the records of batches (format v2): where each value lies, compiled.

Positions are checked before anything is read there: bytes of whatever content give a position
of -1, never a read outside `buffer[at:stop]`.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream.records import TICK

__all__ = ["TICK_HEADER", "walk_records", "warm_records"]

_Int = int | np.int64
_Content = NDArray[np.uint8]
_Header = tuple[_Content, _Content]

TICK_HEADER = (np.frombuffer(TICK[0].encode(), np.uint8), np.frombuffer(TICK[1], np.uint8))


@njit(cache=True, nogil=True, inline="always")
def _varint(buffer: _Content, at: _Int, stop: _Int) -> tuple[_Int, _Int]:
    """Read one zigzag varint: (value, position behind it)."""
    if at < stop and buffer[at] < 0x80:  # nearly all are one byte
        byte = np.int64(buffer[at])
        return (byte >> 1) ^ -(byte & 1), at + 1
    value = np.uint64(0)
    shift = np.uint64(0)
    while at < stop:
        part = np.uint64(buffer[at])
        at += 1
        value |= (part & np.uint64(0x7F)) << shift
        if part < np.uint64(0x80):
            return np.int64(value >> np.uint64(1)) ^ -np.int64(value & np.uint64(1)), at
        shift += np.uint64(7)
        if shift > np.uint64(63):
            break
    return np.int64(0), np.int64(-1)


@njit(cache=True, nogil=True, inline="always")
def _bytes(buffer: _Content, at: _Int, stop: _Int) -> tuple[_Int, _Int, _Int]:
    """Step over bytes behind their length: (length, their position, position behind them)."""
    length, at = _varint(buffer, at, stop)
    if at < 0 or length > stop - at:
        return np.int64(0), at, np.int64(-1)
    return length, at, at + max(length, 0)


@njit(cache=True, nogil=True, inline="always")
def _same(buffer: _Content, at: _Int, length: _Int, wanted: _Content) -> bool:
    if length != len(wanted):
        return False
    for i in range(length):  # noqa: SIM110  numba knows no generators
        if buffer[at + i] != wanted[i]:
            return False
    return True


@njit(cache=True, nogil=True, inline="always")
def _headers(buffer: _Content, at: _Int, stop: _Int, wanted: _Header) -> tuple[bool, _Int]:
    """Step over a record's headers: (whether `wanted` is among them, position behind them)."""
    found = False
    count, at = _varint(buffer, at, stop)
    if at < 0 or count < 0:
        return False, np.int64(-1)
    while count > 0:
        count -= 1
        key_length, key_at, at = _bytes(buffer, at, stop)
        if at < 0 or key_length < 0:
            return False, np.int64(-1)
        length, value_at, at = _bytes(buffer, at, stop)
        if at < 0:
            return False, np.int64(-1)
        same_key = _same(buffer, key_at, key_length, wanted[0])
        if same_key and _same(buffer, value_at, length, wanted[1]):
            found = True
    return found, at


@njit(cache=True, nogil=True, inline="always")
def _record(
    buffer: _Content, at: _Int, stop: _Int, wanted: _Header
) -> tuple[_Int, _Int, _Int, _Int, bool, _Int]:
    """Read a record: (time delta, offset delta, value's place, its length, tick, behind it)."""
    size, at = _varint(buffer, at, stop)
    time_delta, offset_delta, start, length, tick = size, size, size, size, False
    if at < 0 or size < 0 or size > stop - at:
        return time_delta, offset_delta, start, length, tick, np.int64(-1)
    end = at + size
    _, at = _varint(buffer, at, end)  # attributes: none is in use
    if at >= 0:
        time_delta, at = _varint(buffer, at, end)
    if at >= 0:
        offset_delta, at = _varint(buffer, at, end)
    if at >= 0:
        _, _, at = _bytes(buffer, at, end)
    if at >= 0:
        length, start, at = _bytes(buffer, at, end)
    if at >= 0:
        tick, at = _headers(buffer, at, end, wanted)
    return time_delta, offset_delta, start, length, tick, (at if at == end else np.int64(-1))


@njit(cache=True, nogil=True)
def walk_records(
    buffer: _Content, spans: NDArray[np.int64], next_offset: int, wanted: _Header
) -> tuple[NDArray[np.int64], NDArray[np.bool_], int, int]:
    """Note where the records of batches lie, from `next_offset` on.

    `spans` int64[n, 8] holds of each batch: start and stop in `buffer`, base offset, offset
    behind it, first and greatest time, whether that is the broker's, number of records (-1: skip).
    Give (start, length, offset, time) int64[4, rows], (append time, `wanted` among the headers)
    bool[2, rows], the offset to go on from, and the number of a malformed batch or -1.
    """
    rows = 0
    for number in range(len(spans)):
        rows += max(spans[number, 7], 0)
    places = np.empty((4, rows), np.int64)
    flags = np.empty((2, rows), np.bool_)
    kept = 0
    bad = -1
    for number in range(len(spans)):
        at, stop, base, behind, first_ms, max_ms, append, count = spans[number]
        for _ in range(count):
            time_delta, delta, start, length, tick, at = _record(buffer, at, stop, wanted)
            if at < 0:
                break
            offset = base + delta
            if offset < next_offset:  # a seek into a batch
                continue
            next_offset = offset + 1
            time_ms = max_ms if append else first_ms + time_delta
            places[0, kept] = start
            places[1, kept] = max(length, -1)
            places[2, kept] = offset
            places[3, kept] = time_ms
            flags[0, kept] = append != 0 and time_ms != -1  # -1: no time at all
            flags[1, kept] = tick
            kept += 1
        if count >= 0 and at != stop:
            bad = number
            break
        next_offset = behind
    return places[:, :kept], flags[:, :kept], next_offset, bad


def warm_records() -> None:
    """Compile the loop."""
    walk_records(np.frombuffer(bytes(1), np.uint8), np.zeros((0, 8), np.int64), 0, TICK_HEADER)
