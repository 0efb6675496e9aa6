"""The last pane of every partition of an input topic, read from the pane headers in summaries.

Whether a partition may go on, and where to go on without a commit, both follow from it.
"""

import asyncio
import math
from collections.abc import Collection, Iterable
from typing import NamedTuple

from aiokafka import TopicPartition

from detectors.panes import UNSET, Header, decode_header
from stream.connection import Connection
from stream.reader import read_up_to
from stream.role import Partition

__all__ = ["Extent", "PaneTail", "last_in_all"]

_WINDOW_RECORDS = 2_000
_AGE_SECONDS = 1.0


class PaneTail:
    """Follow one partition of the summaries, from its end: backwards at first, then onwards."""

    def __init__(self, connection: Connection, summaries: str, partition: int) -> None:
        """Prepare; the first `sync` connects."""
        self.last: dict[Partition, Header] = {}
        self.begun: dict[Partition, Header] = {}
        self.first_number = UNSET
        self._connection = connection
        self._partition = TopicPartition(summaries, partition)
        self._synced_at = -math.inf
        self._next = UNSET

    async def sync(self, wanted: Iterable[Partition]) -> None:
        """Read what has come; at first back until each wanted partition's last pane is found.

        A call within a second of the last one changes nothing.
        """
        now = asyncio.get_running_loop().time()
        if now - self._synced_at < _AGE_SECONDS:
            return
        self._synced_at = now
        if self._next == UNSET:
            self._consumer = await self._connection.consumer()
            self._consumer.assign([self._partition])
            self._consumer.pause(self._partition)
        end = (await self._consumer.end_offsets([self._partition]))[self._partition]
        if self._next == UNSET:
            await self._search(set(wanted), end)
        else:
            self._take(await self._headers(self._next, end))
        self._next = end

    async def _search(self, wanted: Collection[Partition], end: int) -> None:
        """Read backwards; note also the number of the first pane that is still there."""
        at = self._partition
        start = (await self._consumer.beginning_offsets([at]))[at]
        first = await self._headers(start, min(start + 1, end))
        self.first_number = first[0].number if first else UNSET
        high = end
        while high > start and not self.last.keys() >= set(wanted):
            low = max(start, high - _WINDOW_RECORDS)
            self._take(await self._headers(low, high))
            high = low

    async def _headers(self, low: int, high: int) -> list[Header]:
        """Read the headers at offsets low to high (excluded); holes in the log are no matter."""
        if low >= high:
            return []
        self._consumer.seek(self._partition, low)
        records = read_up_to(self._consumer, self._partition, high)
        return [decode_header(r.value or b"") async for r in records if r.offset < high]

    def _take(self, headers: Iterable[Header]) -> None:
        """Keep what is the furthest: a worker that comes late may repeat older panes.

        A pane whose last part is there is there whole: parts are written in their order.
        """
        for header in headers:
            tp = Partition(header.topic, header.partition)
            self.begun[tp] = max(header, self.begun.get(tp, header), key=_reach)
            if header.part == header.parts - 1:
                self.last[tp] = max(header, self.last.get(tp, header), key=_reach)

    async def stop(self) -> None:
        """Disconnect."""
        if self._next != UNSET:
            await self._consumer.stop()


class Extent(NamedTuple):
    """Hold the last pane that every partition of the summaries holds, and the last in any."""

    whole: Header | None
    begun: Header


async def last_in_all(
    connection: Connection, summaries: tuple[str, int], wanted: Collection[Partition]
) -> dict[Partition, Extent]:
    """Say how far the summaries reach for each wanted partition of which they hold something.

    A worker may have died when a pane was in some of them only: that pane has to come again.
    """
    topic, count = summaries
    tails: list[PaneTail] = []
    for number in range(count):
        tail = PaneTail(connection, topic, number)
        try:
            await tail.sync(wanted)
        finally:
            await tail.stop()
        tails.append(tail)
    found = {}
    for tp in wanted:
        whole = [tail.last[tp] for tail in tails if tp in tail.last]
        begun = [tail.begun[tp] for tail in tails if tp in tail.begun]
        if begun:
            everywhere = len(whole) == count
            found[tp] = Extent(
                min(whole, key=_reach) if everywhere else None, max(begun, key=_reach)
            )
    return found


def _reach(header: Header) -> tuple[int, int]:
    """Order the panes of a partition; empty ones differ in R alone."""
    return header.o, header.r_after
