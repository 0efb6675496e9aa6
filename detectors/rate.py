"""Rate: how many events each slice had in each whole block of time, silence included."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SILENT_BLOCKS_MAX", "RateMeter"]

SILENT_BLOCKS_MAX = 1_440
_NONE = -1


class RateMeter:
    """Count events by slice over absolute blocks of `buckets` buckets each.

    The first block counts from its first bucket on: one that was joined in its middle would
    look like a fall.

    >>> meter = RateMeter(slices=1, buckets=6)
    >>> meter.add(0, np.array([10]))
    >>> [(block, counts.tolist()) for block, counts in meter.advance(13)]
    [(0, [10]), (1, [0])]
    """

    def __init__(self, slices: int, buckets: int) -> None:
        """Start before the first event."""
        self._buckets = buckets
        self.block = _NONE
        self.busy = _NONE
        self.counts = np.zeros(slices, np.int64)

    def add(self, bucket: int, events: NDArray[np.int64]) -> None:
        """Add one bucket's events by slice, after `advance` to that bucket."""
        if self.block == _NONE:
            self.block = self.busy = -(-bucket // self._buckets)
        if bucket // self._buckets < self.block:
            return
        self.busy = self.block
        self.counts += events

    def advance(self, bucket: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yield (block, events by slice) of every block that ends before `bucket` begins.

        A silence longer than SILENT_BLOCKS_MAX blocks is reported by its first blocks only.
        """
        if self.block == _NONE:
            return
        current = bucket // self._buckets
        for block in range(self.block, min(current, self.busy + SILENT_BLOCKS_MAX)):
            yield block, self.counts.copy()
            self.counts[:] = 0
        self.block = max(self.block, current)

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Give the state as named arrays."""
        return {"counts": self.counts, "at": np.array([self.block, self.busy], np.int64)}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Take the state from a snapshot."""
        self.counts[:] = state["counts"]
        self.block, self.busy = state["at"].tolist()
