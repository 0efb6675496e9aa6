"""Events of one bucket that are in no slice and weigh 1 each, counted channel by channel.

The same sums as one event at a time gives, since integers commute; but the loops over a block of
one channel's values have no branches, so processors do several values in one step.
"""

from typing import Any

import numpy as np
from numba import njit

from detectors.layout import STEPS, STEPS_A_SCALE

__all__ = ["add_plain"]

_BLOCK = 256


@njit(cache=True, error_model="numpy")
def _add_block(x: Any, channel: Any, sums: Any, work: Any) -> Any:
    """Count a block of one channel's values, none missing; give (clipped, sum q, sum q squared)."""
    edges, centre, scale, guesses, limit, unit = channel
    z, steps = work
    clipped = 0
    total = squares = np.int64(0)
    for i in range(x.shape[0]):
        z[i] = (x[i] - centre) / scale
    for i in range(x.shape[0]):
        clipped += z[i] > limit or z[i] < -limit
        z[i] = min(max(z[i], -limit), limit)
    for i in range(x.shape[0]):
        q = np.int64(np.rint(unit * z[i]))
        total += q
        squares += q * q
    for i in range(x.shape[0]):
        steps[i] = np.int64(np.floor(z[i] * STEPS_A_SCALE)) + STEPS // 2
    for i in range(x.shape[0]):
        edge = np.int64(guesses[min(max(steps[i], 0), STEPS - 1)])
        while edge < edges.shape[0] and edges[edge] < x[i]:
            edge += 1
        sums[edge] += 1
    return clipped, total, squares


@njit(cache=True, error_model="numpy")
def add_plain(columns: Any, layout: Any, dense: Any, bounds: Any) -> None:
    """Add events to the sums of one bucket and of the slice of all events.

    `columns` is (values, codes); `dense` (counts, missing, clipped, sum q, sum q squared), by bin
    the first, by channel the others; `bounds` the largest |z| and the unit of q.
    """
    values, codes = columns
    first_bin, all_edges, edge_start, centre, scale, guesses = layout
    counts, missing, clipped, total, squares = dense
    n, numeric = values.shape
    present = np.empty(_BLOCK)
    work = np.empty(_BLOCK), np.empty(_BLOCK, np.int64)
    for first in range(0, n, _BLOCK):
        block = min(_BLOCK, n - first)
        for c in range(numeric):
            known = 0
            for i in range(first, first + block):
                x = values[i, c]
                present[known] = x
                known += x == x
            missing[c] += block - known
            edges = all_edges[edge_start[c] : edge_start[c + 1]]
            channel = (edges, centre[c], scale[c], guesses[c], *bounds)
            sums = counts[first_bin[c] : first_bin[c + 1]]
            found = _add_block(present[:known], channel, sums, work)
            clipped[c] += found[0]
            total[c] += found[1]
            squares[c] += found[2]
    for c in range(codes.shape[1]):
        for i in range(n):
            if codes[i, c] >= 0:
                counts[first_bin[numeric + c] + codes[i, c]] += 1
            else:
                missing[numeric + c] += 1
