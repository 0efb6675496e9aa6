"""A private reader of one partition: no group, nothing committed, from the start to the end."""

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

from aiokafka import TopicPartition

from stream.connection import Connection
from stream.topics import partition_count

__all__ = ["PrivateReader", "read_topic", "read_up_to"]

_POLL_MS = 200


class PrivateReader:
    """Read a partition up to its present end, as often as asked; each record once."""

    def __init__(
        self, connection: Connection, topic: str, partition: int, since_ms: int | None = None
    ) -> None:
        """Prepare; `start` connects.  `since_ms` leaves out records that were written before."""
        self._connection = connection
        self._partition = TopicPartition(topic, partition)
        self._since_ms = since_ms
        self._consumer: Any = None

    async def start(self) -> None:
        """Connect, and begin at the partition's first record."""
        self._consumer = await self._connection.consumer()
        self._consumer.assign([self._partition])
        self._consumer.pause(self._partition)
        await self._consumer.seek_to_beginning(self._partition)
        if self._since_ms is not None:
            found = await self._consumer.offsets_for_times({self._partition: self._since_ms})
            if (start := found[self._partition]) is not None:
                self._consumer.seek(self._partition, start.offset)

    async def records(self) -> AsyncIterator[tuple[bytes, bytes]]:
        """Give (key, value) of each record between the last call and the present end."""
        end = (await self._consumer.end_offsets([self._partition]))[self._partition]
        async for record in read_up_to(self._consumer, self._partition, end):
            yield record.key or b"", record.value or b""

    async def drain(self) -> list[tuple[bytes, bytes]]:
        """Give all that `records` gives."""
        return [record async for record in self.records()]

    async def stop(self) -> None:
        """Disconnect, if it ever came to a connection."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def __aenter__(self) -> Self:
        """Connect for the length of an `async with` block."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect."""
        await self.stop()


async def read_up_to(consumer: Any, partition: TopicPartition, end: int) -> AsyncIterator[Any]:
    """Give a paused partition's records from the position to `end` at least; leave it paused.

    It is fetched only meanwhile: a broker answers a connection's requests one after the other, and
    a fetch at the end of the log, which waits half a second for more, would hold up the next one.
    """
    while await consumer.position(partition) < end:
        consumer.resume(partition)
        for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
            for record in records:
                yield record
    consumer.pause(partition)


async def read_topic(connection: Connection, topic: str) -> list[tuple[bytes, bytes]]:
    """Give (key, value) of every record of a topic up to its present end.

    Raises
    ------
    ServiceUnreachable
        If there is no such topic, or Kafka does not answer.
    """
    found = []
    for partition in range(await asyncio.to_thread(partition_count, connection, topic)):
        async with PrivateReader(connection, topic, partition) as reader:
            found += await reader.drain()
    return found
