"""The window of ADWIN as one array: buckets of 1, 2, 4, ... values, and its cuts.

window[0] holds what is known of all of it; window[1 + r] its buckets of 2**r values, the oldest
first: how many, then M + 1 totals, then M + 1 sums of squared deviations.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.arithmetic import log

__all__ = [
    "COUNT",
    "DRIFTED",
    "SINCE_CHECK",
    "TOTAL",
    "VARIANCE",
    "WIDTH",
    "drop_oldest",
    "insert",
    "parts_differ",
]

WIDTH, TOTAL, VARIANCE, SINCE_CHECK, DRIFTED = range(5)
COUNT = 0
# What rounding can do to a comparison of means, and where numbers are too small to tell.
_DOUBT = 1e-15
_TINY = 1e-280
_CLEARLY = 1 - 1e-9


@njit(cache=True)
def _shift(row: NDArray[np.float64], gone: int) -> None:
    """Forget the oldest buckets of a row."""
    slots = row.shape[0] // 2
    left = int(row[COUNT]) - gone
    for k in range(slots):
        row[1 + k] = row[1 + k + gone] if k < left else 0.0
        row[1 + slots + k] = row[1 + slots + k + gone] if k < left else 0.0
    row[COUNT] = left


@njit(cache=True)
def drop_oldest(window: NDArray[np.float64]) -> None:
    """Forget the oldest bucket of a window that holds at least two."""
    top = window.shape[0] - 1
    while top > 1 and window[top, COUNT] == 0.0:
        top -= 1
    row = window[top]
    head = window[0]
    n = float(1 << (top - 1))
    total = row[1]
    head[WIDTH] -= n
    head[TOTAL] -= total
    gap = total / n - head[TOTAL] / head[WIDTH]
    between = n * head[WIDTH] * gap * gap / (n + head[WIDTH])
    head[VARIANCE] -= row[1 + row.shape[0] // 2] + between
    _shift(row, 1)


@njit(cache=True)
def insert(window: NDArray[np.float64], x: float) -> None:
    """Take a value into the window; merge the two oldest buckets of each row that is full."""
    head = window[0]
    slots = window.shape[1] // 2
    head[WIDTH] += 1.0
    if head[WIDTH] > 1.0:
        gap = x - head[TOTAL] / (head[WIDTH] - 1.0)
        head[VARIANCE] += (head[WIDTH] - 1.0) * gap * gap / head[WIDTH]
    head[TOTAL] += x
    row = window[1]
    row[1 + int(row[COUNT])] = x
    row[COUNT] += 1.0
    r = 1
    while window[r, COUNT] == slots:
        if r == window.shape[0] - 1:
            drop_oldest(window)
            return
        row = window[r]
        above = window[r + 1]
        n = float(1 << (r - 1))
        gap = row[1] / n - row[2] / n
        k = 1 + int(above[COUNT])
        above[k] = row[1] + row[2]
        above[k + slots] = row[1 + slots] + row[2 + slots] + n * 0.5 * gap * gap
        above[COUNT] += 1.0
        _shift(row, 2)
        r += 1


@njit(cache=True)
def parts_differ(
    window: NDArray[np.float64], shortest: float, delta: float, allowance: float
) -> bool:
    """Try every cut from the oldest on; return whether the means differ at one."""
    head = window[0]
    confidence = log(2.0 * log(head[WIDTH]) / delta)
    variance = head[VARIANCE] / head[WIDTH]
    least = _CLEARLY * 2.0 * variance * confidence
    n0 = 0.0
    n1 = head[WIDTH]
    total0 = 0.0
    total1 = head[TOTAL]
    top = 1
    # A row of the largest buckets that could be there: those above need not be looked at.
    while top < window.shape[0] - 1 and 1 << top <= head[WIDTH]:
        top += 1
    for r in range(top, 0, -1):
        n = float(1 << (r - 1))
        for k in range(int(window[r, COUNT])):
            n0 += n
            n1 -= n
            total0 += window[r, 1 + k]
            total1 -= window[r, 1 + k]
            if n0 < shortest or n1 < shortest:
                continue
            room0, room1, both = n0 - shortest + 1.0, n1 - shortest + 1.0, n0 * n1
            a, b = total0 * n1, total1 * n0
            # Without a division or a root: clearly below the root's part of the bound.
            gap = abs(a - b) + _DOUBT * (abs(a) + abs(b))
            if gap * gap * room0 * room1 + _TINY < least * (room0 + room1) * both * both:
                continue
            m = 1.0 / room0 + 1.0 / room1
            # Rounding can leave a constant window a variance just below 0: no cut then.
            square = 2.0 * m * variance * confidence
            if square >= 0.0:
                bound = math.sqrt(square) + 2.0 / 3.0 * confidence * m
                if abs(total0 / n0 - total1 / n1) > bound + allowance:
                    return True
    return False
