"""The producer of a role: idempotent, in order, and every delivery awaited before it counts.

A topic that takes nothing makes the role wait, for as long as it lasts: aiokafka asks the broker
again and again, the group's heartbeats go on in a thread of their own, and nothing is committed.
So nothing is lost, nothing is sent twice, and no process dies of an outage.  What a topic takes
in the end is what was sent, in order.  Meanwhile `why_waiting` says for what, `in_flight` how
much, and the log repeats it.  Only a partition without a leader is given up by aiokafka, after
40 seconds: then the process crashes, starts again from what is durable, and waits anew.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple

import structlog
from aiokafka.errors import KafkaTimeoutError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import RecordMetadata

from stream.connection import Connection

__all__ = ["IN_FLIGHT_MAX", "Outbox"]

IN_FLIGHT_MAX = 5_000
_BATCH_BYTES = 128 << 10
_HEADERS_TICK = [("driftline", b"tick")]
_PATIENCE_SECONDS = 5.0
_TELL_SECONDS = 10.0

log = structlog.get_logger()


class _Sent(NamedTuple):
    """Be one record on its way, or some that travel together."""

    topic: str
    since: float
    future: asyncio.Future[RecordMetadata]
    records: int = 1


class Outbox:
    """Send records and wait until the broker has them."""

    def __init__(self, connection: Connection) -> None:
        """Prepare a producer; `start` connects it."""
        self._connection = connection
        self._pending: list[_Sent] = []
        self._handed = 0
        self._partition = DefaultPartitioner()
        self._places: dict[tuple[str, int, bytes], int] = {}
        self._waits_for: tuple[str, float] | None = None

    async def start(self) -> None:
        """Connect.

        Raises
        ------
        ServiceUnreachable
            If Kafka does not answer.
        """
        self._producer = await self._connection.producer(max_batch_size=_BATCH_BYTES)

    async def send(
        self, topic: str, key: bytes | None, value: bytes | None, partition: int | None = None
    ) -> None:
        """Hand over one record; `delivered` waits for it.

        Waits itself while IN_FLIGHT_MAX records are on their way.
        """
        producer = self._producer
        await self._hand_over(
            topic, lambda: producer.send(topic, value=value, key=key, partition=partition)
        )

    async def send_all(self, topic: str, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Hand over (key, value) of many records, packed here; `delivered` waits for them.

        They go where `send` would send them, in a third of the time.
        """
        partitions = sorted(await self._producer.partitions_for(topic))
        batches: dict[int, Any] = {}
        for key, value in records:
            place = topic, len(partitions), key
            if place not in self._places:
                self._places[place] = self._partition(key, partitions, partitions)
            partition = self._places[place]
            record = {"key": key, "value": value, "timestamp": None}
            if partition in batches and batches[partition].append(**record):
                continue
            if partition in batches:
                await self._send_batch(topic, partition, batches[partition])
            batches[partition] = self._producer.create_batch()
            batches[partition].append(**record)
        for partition, batch in batches.items():
            await self._send_batch(topic, partition, batch)

    async def _send_batch(self, topic: str, partition: int, batch: Any) -> None:
        batch.close()
        producer = self._producer
        await self._hand_over(
            topic,
            lambda: producer.send_batch(batch, topic, partition=partition),
            batch.record_count(),
        )

    async def _hand_over(
        self,
        topic: str,
        send: Callable[[], Awaitable[asyncio.Future[RecordMetadata]]],
        records: int = 1,
    ) -> None:
        """Give records to the producer; wait while there are too many on their way."""
        if self._handed >= IN_FLIGHT_MAX:
            await self.delivered()
        now = asyncio.get_running_loop().time()
        self._waits_for = (topic, now)
        while True:
            try:
                future = await send()
                break
            except KafkaTimeoutError:  # no room has become free: nothing has been taken
                self._tell()
        self._waits_for = None
        self._handed += records
        self._pending.append(_Sent(topic, now, future, records))

    async def delivered(self) -> Sequence[RecordMetadata]:
        """Wait until everything handed over has been delivered; a failure is an exception."""
        mine = [sent.future for sent in self._pending]
        waiting = set(mine)
        while waiting:
            done, waiting = await asyncio.wait(
                waiting, timeout=_TELL_SECONDS, return_when=asyncio.FIRST_EXCEPTION
            )
            for future in done:
                future.result()
            if waiting:
                self._tell()
        taken = set(mine)
        self._pending = [sent for sent in self._pending if sent.future not in taken]
        self._handed = sum(sent.records for sent in self._pending)
        return [future.result() for future in mine]

    async def tick(self, topic: str, partition: int) -> None:
        """Write a tick into an idle partition of an input topic."""
        await self._producer.send_and_wait(
            topic, value=b"", partition=partition, headers=_HEADERS_TICK
        )

    @property
    def in_flight(self) -> int:
        """Count the records that were handed over and are not known to be delivered."""
        return sum(sent.records for sent in self._pending if not sent.future.done())

    def why_waiting(self) -> str:
        """Say for what a delivery has waited for more than five seconds, if so."""
        waiting = [
            (sent.topic, sent.since, sent.records)
            for sent in self._pending
            if not sent.future.done()
        ]
        waiting += [(*self._waits_for, 1)] if self._waits_for else []
        now = asyncio.get_running_loop().time()
        topic, since, _ = min(waiting, key=lambda one: one[1], default=("", now, 0))
        if now - since < _PATIENCE_SECONDS:
            return ""
        count = sum(records for name, _, records in waiting if name == topic)
        return f"waiting {now - since:.0f} s for {topic} to accept {count:,} records"

    def _tell(self) -> None:
        if why := self.why_waiting():
            log.warning(why)

    async def stop(self) -> None:
        """Close the connection, after what was handed over has gone."""
        await self._producer.stop()
