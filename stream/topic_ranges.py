"""Parts of topics: by time or by offsets, read privately, in step with each other.

A private consumer belongs to no group and commits nothing.  Control records and ticks are
records like all others here.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any, NamedTuple, Self

import numpy as np
from aiokafka import TopicPartition

from detectors.errors import ConfigError
from stream.connection import Connection
from stream.fetching import chunks_of, read_in_place
from stream.records import Records
from stream.topics import partition_count

__all__ = ["Bound", "OffsetRange", "TopicRanges", "parse_bound"]

_POLL_MS = 500
# How far one partition may be read ahead of another, in record time.
_STEP_MS = 60_000

# A moment, in milliseconds of record time, or an offset for each partition; None: everything.
Bound = int | Mapping[int, int] | None


class OffsetRange(NamedTuple):
    """Name the offsets `first` to `end` (excluded) of one partition."""

    first: int
    end: int


def parse_bound(text: str) -> Mapping[int, int]:
    """Read `PARTITION:OFFSET,PARTITION:OFFSET`.

    >>> parse_bound("0:120,1:98")
    {0: 120, 1: 98}
    """
    try:
        pairs = [one.split(":") for one in text.split(",")]
        return {int(partition): int(offset) for partition, offset in pairs}
    except ValueError as error:
        raise ConfigError(
            f"{text!r} is neither a time (2026-11-23T12:00:00Z) nor a list of offsets "
            "(PARTITION:OFFSET,PARTITION:OFFSET)."
        ) from error


class TopicRanges:
    """Read a range of every partition of a topic to its end, the one furthest behind first."""

    def __init__(self, connection: Connection, topic: str, *, in_place: bool = True) -> None:
        """Prepare; `async with` connects.  `in_place`: see `stream.fetching`."""
        self._connection = connection
        self._topic = topic
        self._in_place = in_place
        self._next: dict[TopicPartition, int] = {}
        self._beyond: dict[TopicPartition, list[Records]] = {}

    async def __aenter__(self) -> Self:
        """Connect; raise ServiceUnreachable if there is no such topic, or no Kafka."""
        count = await asyncio.to_thread(partition_count, self._connection, self._topic)
        self._partitions = [TopicPartition(self._topic, number) for number in range(count)]
        self._consumer = await self._connection.consumer()
        if self._in_place:
            read_in_place(self._consumer, len(self._partitions))
        self._consumer.assign(self._partitions)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        await self._consumer.stop()

    @property
    def count(self) -> int:
        """Give the number of the topic's partitions."""
        return len(self._partitions)

    async def find(self, start: Bound, end: Bound) -> list[OffsetRange]:
        """Give the range of each partition, within what the log still holds.

        Raises
        ------
        ConfigError
            If an offset is asked for that the log no longer, or not yet, holds.
        """
        first = await self._consumer.beginning_offsets(self._partitions)
        last = await self._consumer.end_offsets(self._partitions)
        starts = await self._offsets(start, first, last)
        ends = await self._offsets(end, last, last)
        for tp in self._partitions:
            for name, asked in (("--from", starts[tp]), ("--to", ends[tp])):
                if not first[tp] <= asked <= last[tp]:
                    raise ConfigError(
                        f"{name}: {tp.topic}/{tp.partition} holds offsets {first[tp]} to "
                        f"{last[tp] - 1}, and {asked} was asked for."
                    )
        return [OffsetRange(starts[tp], max(starts[tp], ends[tp])) for tp in self._partitions]

    async def _offsets(
        self, bound: Bound, usual: Mapping[Any, int], last: Mapping[Any, int]
    ) -> dict[Any, int]:
        """Find the offsets of a bound; a time behind the last record is the log's end."""
        if bound is None:
            return dict(usual)
        if not isinstance(bound, int):
            return {tp: bound.get(tp.partition, usual[tp]) for tp in self._partitions}
        found = await self._consumer.offsets_for_times(dict.fromkeys(self._partitions, bound))
        return {tp: last[tp] if at is None else at.offset for tp, at in found.items()}

    async def read(self, ranges: Collection[OffsetRange]) -> AsyncIterator[tuple[int, Records]]:
        """Yield (partition, records) until every range is read.

        Holes in a log count as read.
        """
        ends = {tp: one.end for tp, one in zip(self._partitions, ranges, strict=True)}
        for tp, one in zip(self._partitions, ranges, strict=True):
            self._consumer.seek(tp, one.first)
        open_ = {tp: -1 for tp, one in zip(self._partitions, ranges, strict=True) if any(one)}
        while open_ := {
            tp: at for tp, at in open_.items() if await self._consumer.position(tp) < ends[tp]
        }:
            behind = min(open_.values()) + _STEP_MS
            wanted = [tp for tp, at in open_.items() if at <= behind]
            batches = await self._consumer.getmany(*wanted, timeout_ms=_POLL_MS)
            for tp, drained in batches.items():
                for records in chunks_of(drained, gathered=True):
                    open_[tp] = max(open_[tp], int(records.times_ms[-1]))
                    kept = records[: int(np.searchsorted(records.offsets, ends[tp]))]
                    if len(kept):
                        yield tp.partition, kept

    async def between(self, partition: int, one: OffsetRange) -> AsyncIterator[Records]:
        """Yield a partition's records in a range, as far as the log still holds them.

        What was fetched beyond it is kept for the range that follows.
        """
        tp = self._partitions[partition]
        if self._next.get(tp) != one.first:
            self._beyond[tp] = []
            start = (await self._consumer.beginning_offsets([tp]))[tp]
            self._consumer.seek(tp, max(start, one.first))
        self._next[tp] = one.end
        beyond = self._beyond[tp]
        while beyond or await self._consumer.position(tp) < one.end:
            if not beyond:
                for drained in (await self._consumer.getmany(tp, timeout_ms=_POLL_MS)).values():
                    beyond += chunks_of(drained, gathered=True)
                continue
            records = beyond.pop(0)
            within = int(np.searchsorted(records.offsets, one.end))
            if within:
                yield records[:within]
            if within < len(records):
                beyond.insert(0, records[within:])
                break
