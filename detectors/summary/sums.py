"""Events to sums: one pass that counts the events of a pane, bucket by bucket.

Sums are dense and of a bounded size.  Events of more buckets than there is room for are held
back until the pane ends, and are counted then: integers commute, so the cells are the same.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import njit

from detectors.columns import Columns
from detectors.layout import STEPS, STEPS_A_SCALE, Layout
from detectors.summary.cells import UNIT, Cell, encoded
from detectors.summary.plain import add_plain

__all__ = ["Sums", "summarise"]

LIMIT = 64.0
_BYTES_MAX = 16 << 20
_BUCKETS_MAX = 64


@njit(cache=True, error_model="numpy")
def _measure(i: int, columns: Any, layout: Any, event: Any) -> bool:
    """Write an event's bin (-1 where it has no value), w q and w q^2 of each channel.

    Says whether any value was clipped; `over` then holds the weights of those that were.  The bin
    is the number of edges below x: rounding keeps order, so the edges that a guess counts are.
    """
    values, codes, weights = columns
    first_bin, edges, edge_start, centre, scale, guesses = layout
    bins, sums, squares, over = event
    w = weights[i]
    numeric = values.shape[1]
    clipped = False
    for c in range(numeric):
        x = values[i, c]
        over[c] = 0
        if x != x:
            bins[c], sums[c], squares[c] = -1, 0, 0
            continue
        z = (x - centre[c]) / scale[c]
        if not -LIMIT <= z <= LIMIT:
            z = LIMIT if z > LIMIT else -LIMIT
            over[c] = w
            clipped = True
        step = np.int64(np.floor(z * STEPS_A_SCALE)) + STEPS // 2
        low, end = edge_start[c], edge_start[c + 1]
        edge = low + np.int64(guesses[c, min(max(step, 0), STEPS - 1)])
        while edge < end and edges[edge] < x:
            edge += 1
        bins[c] = first_bin[c] + edge - low
        q = np.int64(np.rint(UNIT * z))
        sums[c] = w * q
        squares[c] = w * q * q
    for c in range(codes.shape[1]):
        code = codes[i, c]
        bins[numeric + c] = first_bin[numeric + c] + code if code >= 0 else -1
    return clipped


@njit(cache=True, error_model="numpy")
def _add(columns: Any, layout: Any, known: Any, dense: Any) -> Any:
    """Add events to dense sums; give the buckets in use, and the events that found no room.

    `known` is (buckets int64[room], events int64[room], buckets in use).
    """
    of_bucket, values, codes, slices, weights = columns
    buckets, events, used = known
    counts, missing, clipped, total, squares = dense
    channels = layout[0].shape[0] - 1
    numeric = values.shape[1]
    event = (
        np.zeros(channels, np.int64),
        np.zeros(channels, np.int64),
        np.zeros(channels, np.int64),
        np.zeros(channels, np.int64),
    )
    bins, event_sums, event_squares, over = event
    left = np.empty(of_bucket.shape[0], np.int64)
    none_left = 0
    slot = -1
    for i in range(of_bucket.shape[0]):
        if slot < 0 or buckets[slot] != of_bucket[i]:
            slot = -1
            for k in range(used):
                if buckets[k] == of_bucket[i]:
                    slot = k
            if slot < 0 and used < buckets.shape[0]:
                slot = used
                buckets[slot] = of_bucket[i]
                used += 1
            if slot < 0:
                left[none_left] = i
                none_left += 1
                continue
        events[slot] += 1
        w = weights[i]
        any_over = _measure(i, (values, codes, weights), layout, event)
        for g in range(slices.shape[1] + 1):
            s = 0 if g == 0 else slices[i, g - 1]
            if s < 0:
                continue
            for c in range(numeric):
                total[slot, s, c] += event_sums[c]
                squares[slot, s, c] += event_squares[c]
            if any_over:
                for c in range(numeric):
                    clipped[slot, s, c] += over[c]
            for c in range(channels):
                if bins[c] >= 0:
                    counts[slot, s, bins[c]] += w
                else:
                    missing[slot, s, c] += w
    return used, left[:none_left]


class Sums:
    """Count one profile's events of one pane."""

    def __init__(self, layout: Layout) -> None:
        """Start empty; memory is taken as buckets turn up."""
        channels = (layout.slices, layout.channels)
        each = 8 * layout.slices * (layout.width + 4 * layout.channels)
        room = max(1, min(_BUCKETS_MAX, _BYTES_MAX // max(each, 1)))
        self._layout = layout
        self._arrays = (
            layout.first_bin,
            layout.edges,
            layout.edge_start,
            layout.centre,
            layout.scale,
            layout.guesses,
        )
        self._dense = (
            np.zeros((room, layout.slices, layout.width), np.int64),
            *(np.zeros((room, *channels), np.int64) for _ in range(4)),
        )
        self._buckets = np.zeros(room, np.int64)
        self._events = np.zeros(room, np.int64)
        self._used = 0
        self._held: list[Columns] = []

    @property
    def nbytes(self) -> int:
        """Count the bytes of the dense sums: fixed, however many events are added."""
        return sum(array.nbytes for array in self._dense)

    def add(self, columns: Columns) -> None:
        """Count events."""
        arrays = (
            columns.buckets,
            columns.values,
            columns.codes,
            columns.slices,
            columns.weights,
        )
        known = (self._buckets, self._events, self._used)
        used = add_plain(arrays, self._arrays, (known, self._dense), (LIMIT, float(UNIT)))
        if used >= 0:
            self._used = used
            return
        self._used, left = _add(arrays, self._arrays, known, self._dense)
        if len(left):
            self._held.append(columns.take(left))

    def cells(self) -> list[Cell]:
        """Give what was counted, buckets ascending; nothing is left."""
        cells = list(self._drained())
        if self._held:
            columns = Columns.joined(self._held)
            self._held = []
            columns = columns.take(np.argsort(columns.buckets, kind="stable"))
            starts = np.unique(columns.buckets, return_index=True)[1].tolist()
            room = len(self._buckets)
            for first, end in zip(starts[::room], [*starts[room::room], len(columns)], strict=True):
                self.add(columns.part(first, end))
                cells += self._drained()
        return sorted(cells, key=lambda cell: cell.bucket)

    def _drained(self) -> Iterator[Cell]:
        """Encode all dense sums, and set them back to zero."""
        for slot in range(self._used):
            sums = tuple(array[slot] for array in self._dense)
            bucket, events = int(self._buckets[slot]), int(self._events[slot])
            yield from encoded(bucket, events, self._layout, sums)
        self._events[:] = 0
        self._used = 0


def summarise(columns: Columns, layout: Layout) -> list[Cell]:
    """Count events of one profile into cells, buckets ascending.

    A bucket is one cell, or several (the first counts the events) above CELL_BYTES_MAX.
    """
    sums = Sums(layout)
    sums.add(columns)
    return sums.cells()
