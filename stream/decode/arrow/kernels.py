"""Loops over the buffers of a message, compiled; what they read was bounded before.

The bytes of a message are seen as arrays of each width, `VIEWS` in order, so that a place is an
index and nothing is copied.  A bitmap at -1 is none: no row is missing.
"""

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = [
    "BIT",
    "F4",
    "F8",
    "I4",
    "I8",
    "VIEWS",
    "fill_numbers",
    "index_rows",
    "index_texts",
    "nulls_match",
    "texts_fit",
    "views_of",
    "warm",
    "whole_characters",
]

VIEWS: Final = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
U1, I1, U2, I2, U4, I4, U8, I8, F4, F8 = range(len(VIEWS))
BIT: Final = len(VIEWS)
_ROWS = 256


def views_of(value: bytes) -> tuple[NDArray[Any], ...]:
    """See bytes, a multiple of 8 of them, as arrays of each width."""
    seen = np.frombuffer(value, np.uint8)
    return tuple(seen.view(width) for width in VIEWS)


@njit(cache=True)
def _is_set(u1: Any, start: int, i: int) -> bool:
    return start < 0 or (u1[start + (i >> 3)] >> (i & 7)) & 1 != 0


@njit(cache=True)
def _whole(views: Any, kind: int, at: int) -> Any:
    """Read a whole number of any width but the widest without a sign."""
    found = np.int64(0)
    if kind == I4:
        found = np.int64(views[I4][at])
    elif kind == I8:
        found = views[I8][at]
    elif kind == I1:
        found = np.int64(views[I1][at])
    elif kind == I2:
        found = np.int64(views[I2][at])
    elif kind == U1:
        found = np.int64(views[U1][at])
    elif kind == U2:
        found = np.int64(views[U2][at])
    else:
        found = np.int64(views[U4][at])
    return found


@njit(cache=True)
def _number(views: Any, kind: int, at: int) -> Any:
    if kind == F8:
        return views[F8][at]
    if kind == F4:
        return np.float64(views[F4][at])
    if kind == U8:
        return np.float64(views[U8][at])
    return np.float64(_whole(views, kind, at))


@njit(cache=True)
def nulls_match(u1: Any, starts: Any, counts: Any, n: int) -> bool:
    """Tell whether each bitmap has as many missing rows as its column says."""
    for k in range(starts.shape[0]):
        found = 0
        for i in range(n):
            found += not _is_set(u1, starts[k], i)
        if found != counts[k]:
            return False
    return True


@njit(cache=True, error_model="numpy")
def _fill_plain(found: Any, channel: int, values: Any) -> bool:
    """Write numbers of which none is missing; say whether all were finite."""
    infinite = False
    for i in range(found.shape[0]):
        infinite |= np.abs(found[i]) == np.inf
    if channel >= 0:
        for i in range(found.shape[0]):
            values[i, channel] = found[i]
    return not infinite


@njit(cache=True, error_model="numpy")
def _fill(views: Any, column: Any, rows: Any, values: Any) -> bool:
    """Write some rows of any column of numbers; say whether all were finite."""
    kind, start, bitmap, above, channel = column
    u1 = views[U1]
    infinite = False
    for i in range(rows[0], rows[1]):
        x = np.nan
        if _is_set(u1, bitmap, i) and _is_set(u1, above, i):
            if kind == BIT:
                x = np.float64(_is_set(u1, start, i))
            else:
                x = _number(views, kind, start + i)
        infinite |= np.abs(x) == np.inf
        if channel >= 0:
            values[i, channel] = x
    return not infinite


@njit(cache=True, error_model="numpy")
def fill_numbers(views: Any, columns: Any, values: Any) -> bool:
    """Write numbers to float64[n, channels], NaN where missing; say whether all were finite.

    `columns` int64[k, 5]: kind, start, two bitmaps, and the channel (-1: it is only looked at).
    """
    f8 = views[F8]
    for first in range(0, values.shape[0], _ROWS):
        last = min(first + _ROWS, values.shape[0])
        for k in range(columns.shape[0]):
            kind, start, bitmap, above, channel = columns[k]
            if kind == F8 and bitmap < 0 and above < 0:
                found = f8[start + first : start + last]
                finite = _fill_plain(found, channel, values[first:last])
            else:
                column = (kind, start, bitmap, above, channel)
                finite = _fill(views, column, (first, last), values)
            if not finite:
                return False
    return True


@njit(cache=True)
def index_rows(views: Any, column: Any, names: int, rows: Any) -> bool:
    """Write each row's name, `names` where it is missing; say whether all are among them.

    `column` is kind, start and two bitmaps.
    """
    u1 = views[U1]
    kind, start, bitmap, above = column
    for i in range(rows.shape[0]):
        rows[i] = names
        if _is_set(u1, bitmap, i) and _is_set(u1, above, i):
            at = np.int64(_is_set(u1, start, i)) if kind == BIT else _whole(views, kind, start + i)
            if not 0 <= at < names:
                return False
            rows[i] = at
    return True


@njit(cache=True)
def texts_fit(views: Any, kind: int, start: int, within: Any) -> bool:
    """Tell whether n + 1 offsets rise within a buffer, and no text is longer than a limit.

    `within` is n, the bytes of the buffer, and the limit in bytes.
    """
    n, size, longest = within
    before = _whole(views, kind, start)
    if before < 0:
        return False
    for i in range(1, n + 1):
        after = _whole(views, kind, start + i)
        if after < before or after - before > longest:
            return False
        before = after
    return bool(before <= size)


@njit(cache=True)
def whole_characters(views: Any, kind: int, start: int, within: Any) -> bool:
    """Tell whether no text begins in the middle of a character; offsets were checked.

    `within` is n, the start of the buffer, and its bytes.
    """
    n, data, size = within
    u1 = views[U1]
    for i in range(n + 1):
        at = _whole(views, kind, start + i)
        if at < size and u1[data + at] & 0xC0 == 0x80:
            return False
    return True


@njit(cache=True)
def index_texts(views: Any, column: Any, found: Any) -> int:
    """Tell the distinct texts of a column apart; offsets were checked.

    `column` is the offsets' kind and start, the start of the buffer, and two bitmaps.  `found` is
    (rows int32[n], which become -1 where missing, firsts int64[most]: the row that each is first
    in, table int32[a power of two above `most`], all -1).  Gives how many, -1 where more than most.
    """
    kind, start, data, bitmap, above = column
    rows, firsts, table = found
    u1 = views[U1]
    mask = table.shape[0] - 1
    count = 0
    for i in range(rows.shape[0]):
        if not (_is_set(u1, bitmap, i) and _is_set(u1, above, i)):
            rows[i] = -1
            continue
        low = _whole(views, kind, start + i)
        length = _whole(views, kind, start + i + 1) - low
        mixed = np.uint64(14695981039346656037)
        for j in range(length):
            mixed = (mixed ^ np.uint64(u1[data + low + j])) * np.uint64(1099511628211)
        slot = np.int64(mixed ^ (mixed >> np.uint64(32))) & mask
        while True:
            known = table[slot]
            if known < 0:
                break
            other = _whole(views, kind, start + firsts[known])
            same = _whole(views, kind, start + firsts[known] + 1) - other == length
            for j in range(length if same else 0):
                if u1[data + low + j] != u1[data + other + j]:
                    same = False
                    break
            if same:
                break
            slot = (slot + 1) & mask
        if table[slot] < 0:
            if count == firsts.shape[0]:
                return -1
            table[slot] = count
            firsts[count] = i
            count += 1
        rows[i] = table[slot]
    return count


def warm() -> None:
    """Compile every loop; what is read are zeros."""
    views, some, rows = views_of(bytes(64)), np.zeros(1, np.int64), np.zeros(1, np.int32)
    nulls_match(views[U1], some, some, 1)
    fill_numbers(views, np.zeros((1, 5), np.int64), np.zeros((1, 1)))
    index_rows(views, (BIT, 0, -1, -1), 2, rows)
    texts_fit(views, I4, 0, (1, 0, 8))
    whole_characters(views, I4, 0, (1, 0, 0))
    index_texts(views, (I4, 0, 0, -1, -1), (rows, some, np.full(2, -1, np.int32)))
