"""The producer of a role: idempotent, in order, and every delivery awaited before it counts."""

import asyncio
from collections.abc import Sequence

from aiokafka.structs import RecordMetadata

from stream.connection import Connection

__all__ = ["Outbox"]

_LINGER_MS = 5
_HEADERS_TICK = [("driftline", b"tick")]


class Outbox:
    """Send records and wait until the broker has them."""

    def __init__(self, connection: Connection) -> None:
        """Prepare a producer; `start` connects it."""
        self._connection = connection
        self._pending: list[asyncio.Future[RecordMetadata]] = []

    async def start(self) -> None:
        """Connect.

        Raises
        ------
        ServiceUnreachable
            If Kafka does not answer.
        """
        self._producer = await self._connection.producer(linger_ms=_LINGER_MS)

    async def send(
        self, topic: str, key: bytes | None, value: bytes | None, partition: int | None = None
    ) -> None:
        """Hand over one record; `delivered` waits for it."""
        self._pending.append(
            await self._producer.send(topic, value=value, key=key, partition=partition)
        )

    async def delivered(self) -> Sequence[RecordMetadata]:
        """Wait until everything handed over has been delivered; a failure is an exception."""
        pending, self._pending = self._pending, []
        return await asyncio.gather(*pending)

    async def tick(self, topic: str, partition: int) -> None:
        """Write a tick into an idle partition of an input topic."""
        await self._producer.send_and_wait(
            topic, value=b"", partition=partition, headers=_HEADERS_TICK
        )

    async def stop(self) -> None:
        """Close the connection, after what was handed over has gone."""
        await self._producer.stop()
