"""Buckets to blocks: consecutive finalised buckets of a stream, merged until they hold enough.

A block closes with the bucket that brings it to `block_events` events, or `block_seconds`
after its first bucket if it then has the few events that its statistics need.  Every stream
(slice, channel, values or missing) has its own block, since a slice or a label may be rare.
The rate of a slice steps with time alone: its blocks are whole spans of `block_seconds`, empty
ones included, and hold one count.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.layout import Layout
from detectors.profile import Profile
from detectors.rate import RateMeter
from detectors.summary.cells import Moments

__all__ = ["EVENTS_MIN", "Blocks", "Closed", "StreamTable", "stream_table"]

EVENTS_MIN = 20
_NONE = -1


@dataclass(frozen=True)
class StreamTable:
    """Hold a profile's streams as arrays; stream j's bins are `first[j]` to `first[j + 1]`.

    The first `binned` streams count values or missing ones; those behind them are rates.
    """

    binned: int
    slice: NDArray[np.int64]
    channel: NDArray[np.int64]
    missing: NDArray[np.bool_]
    first: NDArray[np.int64]


def stream_table(profile: Profile, layout: Layout) -> StreamTable:
    """Lay out the streams of a profile."""
    channels = profile.channels
    sizes = [2 if s.missing else channels[s.channel].bins for s in profile.streams]
    return StreamTable(
        binned=sum(s.channel < layout.channels for s in profile.streams),
        slice=np.array([s.slice for s in profile.streams], np.int64),
        channel=np.array([s.channel for s in profile.streams], np.int64),
        missing=np.array([s.missing for s in profile.streams], np.bool_),
        first=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
    )


@dataclass(frozen=True)
class Closed:
    """Name the streams whose block closed at the end of one bucket (excluded)."""

    end: int
    streams: NDArray[np.int64]


def _end(closing: tuple[int, NDArray[np.int64]]) -> int:
    return closing[0]


@njit(cache=True)
def _add(bucket: int, table: Any, moments: Any, state: Any) -> None:
    """Add one bucket's sums to the open blocks."""
    binned, slices, channels, is_missing, first, first_bin = table
    counts, missing, clipped, sums, high, low = moments
    acc, start, extra = state
    for j in range(binned):
        s, c = slices[j], channels[j]
        base = first_bin[c]
        width = first_bin[c + 1] - base
        n = 0
        for b in range(width):
            n += counts[s, base + b]
        if n == 0 and missing[s, c] == 0:
            continue
        if start[j] == _NONE:
            start[j] = bucket
        if is_missing[j]:
            acc[first[j]] += n
            acc[first[j] + 1] += missing[s, c]
            continue
        for b in range(width):
            acc[first[j] + b] += counts[s, base + b]
        extra[j, 0] += missing[s, c]
        extra[j, 1] += clipped[s, c]
        extra[j, 2] += sums[s, c]
        extra[j, 3] += high[s, c]
        extra[j, 4] += low[s, c]


@njit(cache=True)
def _sizes(first: Any, acc: Any, out: Any) -> None:
    """Count the events in each open block."""
    for j in range(first.shape[0] - 1):
        n = 0
        for b in range(first[j], first[j + 1]):
            n += acc[b]
        out[j] = n


@njit(cache=True)
def _clear(streams: Any, first: Any, acc: Any) -> None:
    """Empty the bins of these streams."""
    for j in streams:
        acc[first[j] : first[j + 1]] = 0


class Blocks:
    """Gather buckets into the open block of every stream of one model."""

    def __init__(self, table: StreamTable, layout: Layout, limits: tuple[int, int]) -> None:
        """Start with no open block; `limits` is (events, buckets) of a block."""
        streams = len(table.slice)
        self.table = table
        self.events, self.buckets = limits
        self._first_bin = layout.first_bin
        self._rates = np.arange(table.binned, streams)
        self.rate = RateMeter(layout.slices, limits[1])
        self.counts = np.zeros(int(table.first[-1]), np.int64)
        self.start = np.full(streams, _NONE, np.int64)
        self.extra = np.zeros((streams, 5), np.int64)
        self._n = np.zeros(streams, np.int64)

    def expire(self, bucket: int) -> Iterator[Closed]:
        """Close the blocks whose time is over before `bucket` begins, the oldest first."""
        for end, streams in heapq.merge(self._expired(bucket), self._rated(bucket), key=_end):
            yield Closed(end, streams)

    def _expired(self, bucket: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Find the open blocks whose time is over, by their end."""
        ends = self.start + self.buckets
        due = np.flatnonzero((self.start != _NONE) & (ends <= bucket))
        if not len(due):
            return
        _sizes(self.table.first, self.counts, self._n)
        due = due[self._n[due] >= EVENTS_MIN]
        for end in np.unique(ends[due]).tolist():
            yield end, due[ends[due] == end]

    def _rated(self, bucket: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Make a block of the rates of each span of time that is over."""
        if not len(self._rates):
            return
        for block, events in self.rate.advance(bucket):
            self.counts[self.table.first[self._rates]] = events[self.table.slice[self._rates]]
            self.start[self._rates] = block * self.buckets
            yield (block + 1) * self.buckets, self._rates

    def add(self, bucket: int, moments: Moments) -> Closed:
        """Add one finalised bucket; name the streams whose block it completes."""
        table = self.table
        names = (table.slice, table.channel, table.missing, table.first, self._first_bin)
        state = (self.counts, self.start, self.extra)
        _add(bucket, (table.binned, *names), moments.arrays, state)
        width = int(self._first_bin[1])
        self.rate.add(bucket, moments.counts[:, :width].sum(axis=1) + moments.missing[:, 0])
        _sizes(table.first, self.counts, self._n)
        over = (bucket + 1 - self.start >= self.buckets) & (self._n >= EVENTS_MIN)
        full = (self.start != _NONE) & ((self._n >= self.events) | over)
        return Closed(bucket + 1, np.flatnonzero(full))

    def bins(self, stream: int) -> NDArray[np.int64]:
        """Give the counts of one stream's open block."""
        first = self.table.first
        return self.counts[first[stream] : first[stream + 1]]

    def clear(self, streams: NDArray[np.int64]) -> None:
        """Forget the blocks of these streams: they have been judged."""
        _clear(streams, self.table.first, self.counts)
        self.start[streams] = _NONE
        self.extra[streams] = 0

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Give the state as named arrays."""
        own = {"counts": self.counts, "start": self.start, "extra": self.extra}
        return own | {f"rate.{name}": array for name, array in self.rate.snapshot().items()}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Take the state from a snapshot."""
        self.counts[:], self.start[:] = state["counts"], state["start"]
        self.extra[:] = state["extra"]
        self.rate.restore({name: state[f"rate.{name}"] for name in ("counts", "at")})
