"""Events of one bucket that are in the same slices and weigh 1 each, counted channel by channel.

The same sums as one event at a time gives, since integers commute; but each event is counted once
for all its slices, and the loops over a block of one channel's values have no branches, so
processors do several values in one step.
"""

from typing import Any

import numpy as np
from numba import njit

from detectors.layout import STEPS, STEPS_A_SCALE

__all__ = ["add_plain"]

_BLOCK = 256
# In smaller groups, on average, each event by itself is as fast.
_GROUP = 16


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


@njit(cache=True)
def _alike(buckets: Any, slices: Any, i: int, j: int) -> bool:
    """Tell whether two events are of the same bucket and slices."""
    same = buckets[i] == buckets[j]
    for g in range(slices.shape[1]):
        same &= slices[i, g] == slices[j, g]
    return bool(same)


@njit(cache=True)
def _grouped(buckets: Any, slices: Any, weights: Any, groups: Any) -> Any:
    """Sort events by their bucket and slices: (groups, order of the events, the end of each group).

    `groups` int64[most], at least one, becomes an event of each.  -1 groups where there are more
    than that, or where an event does not weigh 1.  No order: there is one group.
    """
    n, most = buckets.shape[0], groups.shape[0]
    ends = np.zeros(most + 1, np.int64)
    alike = 0
    while alike < n and weights[alike] == 1 and _alike(buckets, slices, alike, 0):
        alike += 1
    if alike == n:
        groups[0], ends[1] = 0, n
        return 1, np.empty(0, np.int64), ends[1:2]
    order = np.empty(n, np.int64)
    of = np.empty(n, np.int32)
    table = np.full(4 * most, -1, np.int64)
    count = 0
    last: Any = 0
    for i in range(n):
        if weights[i] != 1:
            return -1, order, ends
        if count == 0 or not _alike(buckets, slices, i, groups[last]):
            mixed = np.uint64(buckets[i])
            for g in range(slices.shape[1]):
                mixed = (mixed ^ np.uint64(slices[i, g] + 1)) * np.uint64(0x9E3779B97F4A7C15)
            slot = np.int64(mixed >> np.uint64(32)) % table.shape[0]
            while table[slot] >= 0 and not _alike(buckets, slices, i, groups[table[slot]]):
                slot = slot + 1 if slot + 1 < table.shape[0] else 0
            if table[slot] < 0:
                if count == most:
                    return -1, order, ends
                groups[count] = i
                table[slot] = count
                count += 1
            last = table[slot]
        of[i] = last
        ends[last + 1] += 1
    for k in range(count):
        ends[k + 1] += ends[k]
    next_ = ends[:count].copy()
    for i in range(n):
        order[next_[of[i]]] = i
        next_[of[i]] += 1
    return count, order, ends[1 : count + 1]


@njit(cache=True, error_model="numpy")
def _add_group(columns: Any, layout: Any, dense: Any, bounds: Any) -> None:
    """Add events of one bucket that are in the same slices.

    `columns` is (values, codes, how many events, which ones, their slices besides that of all);
    without a list of them they are all.  `dense` as `add_plain` has it, of the bucket.
    """
    values, codes, n, events, slices = columns
    first_bin, all_edges, edge_start, centre, scale, guesses = layout
    listed, numeric = events.shape[0] > 0, values.shape[1]
    sums = np.zeros(first_bin[-1], np.int64)
    channels = np.zeros((first_bin.shape[0] - 1, 4), np.int64)
    present = np.empty((numeric, _BLOCK))
    known = np.empty(numeric, np.int64)
    work = np.empty(_BLOCK), np.empty(_BLOCK, np.int64)
    for first in range(0, n, _BLOCK):
        block = min(_BLOCK, n - first)
        known[:] = 0
        for i in range(first, first + block):
            event = events[i] if listed else i
            for c in range(numeric):
                x = values[event, c]
                present[c, known[c]] = x
                known[c] += x == x
        for c in range(numeric):
            edges = all_edges[edge_start[c] : edge_start[c + 1]]
            channel = (edges, centre[c], scale[c], guesses[c], *bounds)
            of = sums[first_bin[c] : first_bin[c + 1]]
            found = _add_block(present[c, : known[c]], channel, of, work)
            channels[c, 0] += block - known[c]
            for j in range(3):
                channels[c, j + 1] += found[j]
    for c in range(codes.shape[1]):
        for i in range(n):
            code = codes[events[i] if listed else i, c]
            if code >= 0:
                sums[first_bin[numeric + c] + code] += 1
            else:
                channels[numeric + c, 0] += 1
    _add_to(dense, sums, channels, 0)
    for g in range(slices.shape[0]):
        if slices[g] >= 0:
            _add_to(dense, sums, channels, slices[g])


@njit(cache=True)
def _add_to(dense: Any, sums: Any, channels: Any, s: int) -> None:
    """Add a group's sums to those of one slice."""
    counts, missing, clipped, total, squares = dense
    for k in range(sums.shape[0]):
        counts[s, k] += sums[k]
    for c in range(channels.shape[0]):
        missing[s, c] += channels[c, 0]
        clipped[s, c] += channels[c, 1]
        total[s, c] += channels[c, 2]
        squares[s, c] += channels[c, 3]


@njit(cache=True, error_model="numpy")
def add_plain(columns: Any, layout: Any, sums: Any, bounds: Any) -> Any:
    """Add events that fall into few groups; give the buckets in use, or -1 and do nothing.

    `columns` are the arrays of `Columns`; `sums` is (known, dense): `known` is (buckets
    int64[room], events int64[room], buckets in use), `dense` (counts, missing, clipped, sum q,
    sum q squared) by bucket and slice, by bin the first, by channel the others; `bounds` the
    largest |z| and the unit of q.
    """
    of_bucket, values, codes, slices, weights = columns
    (buckets, events, used), dense = sums
    if values.shape[0] < _GROUP:
        return -1
    groups = np.empty(values.shape[0] // _GROUP, np.int64)
    count, order, ends = _grouped(of_bucket, slices, weights, groups)
    if count < 0:
        return -1
    slots = np.empty(count, np.int64)
    for k in range(count):
        slots[k] = -1
        for slot in range(used):
            if buckets[slot] == of_bucket[groups[k]]:
                slots[k] = slot
        if slots[k] < 0:
            if used == buckets.shape[0]:
                return -1
            slots[k] = used
            buckets[used] = of_bucket[groups[k]]
            used += 1
    counts, missing, clipped, total, squares = dense
    first = 0
    for k in range(count):
        slot, end = slots[k], ends[k]
        events[slot] += end - first
        of = (counts[slot], missing[slot], clipped[slot], total[slot], squares[slot])
        mine = (values, codes, end - first, order[first:end], slices[groups[k]])
        _add_group(mine, layout, of, bounds)
        first = end
    return used
