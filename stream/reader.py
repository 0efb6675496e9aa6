"""A private reader of one partition: no group, nothing committed, from the start to the end."""

import asyncio
from types import TracebackType
from typing import Self

from aiokafka import TopicPartition

from stream.connection import Connection
from stream.topics import partition_count

__all__ = ["PrivateReader", "read_topic"]

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

    async def drain(self) -> list[tuple[bytes, bytes]]:
        """Give (key, value) of every record between the last call and the present end.

        It fetches only meanwhile: a broker answers a connection's requests one after the other,
        and a fetch at the end of the log, which waits half a second for more, would hold up the
        next call.
        """
        end = (await self._consumer.end_offsets([self._partition]))[self._partition]
        found: list[tuple[bytes, bytes]] = []
        while await self._consumer.position(self._partition) < end:
            self._consumer.resume(self._partition)
            for records in (await self._consumer.getmany(timeout_ms=_POLL_MS)).values():
                found += [(record.key or b"", record.value or b"") for record in records]
        self._consumer.pause(self._partition)
        return found

    async def stop(self) -> None:
        """Disconnect."""
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
