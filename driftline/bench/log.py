"""The bench's log on a real broker: filled once, read by every worker, removed at the end."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from kafka import TopicPartition
from kafka.admin import OffsetSpec

from detectors.panes import decode_part
from stream.connection import Connection
from stream.emitting import BatchProducer
from stream.names import TopicNames
from stream.outbox import Outbox
from stream.reader import PrivateReader
from stream.topics import TopicSpec, ensure_topics

__all__ = ["Counted", "EventLog", "event_log"]

_DELETE_TIMEOUT_MS = 20_000


class Counted(NamedTuple):
    """Hold what the summaries say was observed: records, events, and events in their cells."""

    read: int
    accepted: int
    summarised: int


class EventLog:
    """Fill, watch and empty the topics of one prefix; `event_log` makes and removes it."""

    def __init__(
        self, connection: Connection, admin: Any, names: TopicNames, partitions: tuple[int, int]
    ) -> None:
        """Work on a prefix whose events and summaries have so many partitions."""
        self.names = names
        self._connection = connection
        self._partitions = partitions
        self._admin = admin

    def fill(
        self,
        chunks: Iterable[list[bytes]],
        on_events: Callable[[int], None],
        compression: str | None = None,
    ) -> None:
        """Write events round the partitions, and a tick behind the last of each.

        A pane ends with a tick, so nothing is left open that only time would close.
        """
        asyncio.run(self._fill(chunks, on_events, compression))

    async def _fill(
        self,
        chunks: Iterable[list[bytes]],
        on_events: Callable[[int], None],
        compression: str | None,
    ) -> None:
        partitions, options = self._partitions[0], {"compression_type": compression}
        writing = BatchProducer(self._connection, self.names.events, partitions, **options)
        async with writing as producer:
            for chunk in chunks:
                await producer.send(chunk)
                on_events(len(chunk))
        outbox = Outbox(self._connection)
        await outbox.start()
        try:
            for partition in range(partitions):
                await outbox.tick(self.names.events, partition)
        finally:
            await outbox.stop()

    def committed(self, group: str, topic: str) -> bool:
        """Tell whether a group has committed everything that a topic holds."""
        ends = self._ends(topic)
        commits = self._admin.list_group_offsets(group).get(group, {})
        return all(tp in commits and commits[tp].offset == ends[tp] for tp in ends)

    def last_write(self) -> float:
        """Give when the last summary or metric was written, in seconds since the epoch."""
        partitions = range(self._partitions[1])
        asked = {
            TopicPartition(topic, p): OffsetSpec.MAX_TIMESTAMP
            for topic in (self.names.summaries, self.names.metrics)
            for p in partitions
        }
        found = self._admin.list_partition_offsets(asked).values()
        return max(one.timestamp for one in found) / 1000

    def create(self, topics: Iterable[str], partitions: int) -> None:
        """Create more topics of the prefix, for what other programs write."""
        wanted = [TopicSpec(topic, partitions, {}) for topic in topics]
        ensure_topics(self._connection, wanted)

    def _ends(self, topic: str) -> dict[TopicPartition, int]:
        count = self._partitions[topic == self.names.summaries]
        asked = {TopicPartition(topic, p): OffsetSpec.LATEST for p in range(count)}
        return {tp: end.offset for tp, end in self._admin.list_partition_offsets(asked).items()}

    def counted(self) -> Counted:
        """Add up the panes and the cells in the summaries."""
        return asyncio.run(self._counted())

    async def _counted(self) -> Counted:
        read = accepted = summarised = 0
        for partition in range(self._partitions[1]):
            async with PrivateReader(self._connection, self.names.summaries, partition) as reader:
                for _, value in await reader.drain():
                    part = decode_part(value)
                    summarised += sum(entry.events for entry in part.entries)
                    # Every summaries partition has each pane's header, and each of its parts.
                    if partition == 0 and part.header.part == 0:
                        read += part.header.read
                        accepted += part.header.accepted
        return Counted(read, accepted, summarised)

    def clear(self, *, keep_events: bool) -> None:
        """Delete the prefix's groups and its topics."""
        prefix = f"{self.names.prefix}."
        kept = {self.names.events} if keep_events else set()
        groups = [g["group_id"] for g in self._admin.list_groups()]
        self._admin.delete_groups([group for group in groups if group.startswith(prefix)])
        topics = [t for t in self._admin.list_topics() if t.startswith(prefix) and t not in kept]
        if topics:
            self._admin.delete_topics(topics, timeout_ms=_DELETE_TIMEOUT_MS, raise_errors=False)


@contextlib.contextmanager
def event_log(
    connection: Connection, names: TopicNames, partitions: tuple[int, int]
) -> Iterator[EventLog]:
    """Have a prefix's log for the length of a `with` block; ServiceUnreachable without Kafka."""
    with connection.admin() as admin:
        log = EventLog(connection, admin, names, partitions)
        try:
            yield log
        finally:
            log.clear(keep_events=False)
