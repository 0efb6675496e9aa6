"""The clients of a simulated Kafka, as `stream.connection` makes them of a real one.

What a producer has sent and not heard of may be in the log or not; what it is told is there, is.
Order within a partition holds, and a retried request is in the log once, as with an idempotent
producer, unless the plan says that the broker forgets.
"""

import asyncio
import zlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError

from stream.connection import Connection
from tests.simulation.cluster import Cluster, Host, Offset, Record

__all__ = ["SimulatedConnection"]

# How long a client waits before it asks again what was not taken.
_BACKOFF_SECONDS = 0.2
_BATCH_RECORDS_MAX = 3


class SimulatedConnection(Connection):
    """Make the clients of one host."""

    def __init__(self, host: Host) -> None:
        super().__init__("simulated")
        self._host = host

    async def producer(self, **_: Any) -> Any:
        await self._host.cluster.travel()
        made = _Producer(self._host)
        self._host.producers.append(made)
        return made

    async def consumer(self) -> Any:
        await self._host.cluster.travel()
        return _Consumer(self._host.cluster)

    async def reach(self, timeout_seconds: float) -> None:
        """Do nothing: it answers."""


class _Sent(NamedTuple):
    tp: TopicPartition
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    future: "asyncio.Future[Record]"


class _Batch(list[tuple[bytes, bytes]]):
    """Be a batch that is being packed; a few fill it."""

    def append(self, *, key: bytes, value: bytes, **_: Any) -> object | None:
        if len(self) == _BATCH_RECORDS_MAX:
            return None
        super().append((key, value))
        return self

    def close(self) -> None:
        """Take no more."""

    def record_count(self) -> int:
        return len(self)


class _Producer:
    """Be an idempotent producer: the order holds within a partition, and nowhere else."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._cluster = host.cluster
        self._queues: dict[TopicPartition, deque[_Sent]] = {}
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._deliver())

    async def send(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> "asyncio.Future[Record]":
        future: asyncio.Future[Record] = asyncio.get_running_loop().create_future()
        if self._host.alive:
            number = zlib.crc32(key or b"") % self._cluster.partitions[topic]
            tp = TopicPartition(topic, number if partition is None else partition)
            self._queues.setdefault(tp, deque()).append(_Sent(tp, key, value, headers, future))
            self._wake.set()
            self._host.note_sent(topic)
        return future

    async def partitions_for(self, topic: str) -> set[int]:
        return set(range(self._cluster.partitions[topic]))

    def create_batch(self) -> "_Batch":
        return _Batch()

    async def send_batch(
        self, batch: "_Batch", topic: str, *, partition: int
    ) -> "asyncio.Future[list[Record]]":
        """Send records that were packed; here they arrive one by one."""
        sent = [await self.send(topic, value, key, partition) for key, value in batch]
        return asyncio.gather(*sent)

    async def send_and_wait(self, topic: str, **what: Any) -> Record:
        return await (await self.send(topic, **what))

    async def flush(self) -> None:
        while any(self._queues.values()):  # noqa: ASYNC110  as a client would poll
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        await self.flush()
        self._task.cancel()

    def die(self) -> None:
        """Let a part of what is under way arrive, in order; nobody hears of it."""
        self._task.cancel()
        for tp, queue in self._queues.items():
            arriving = 0 if tp.topic in self._cluster.failing else len(queue)
            for sent in list(queue)[: self._cluster.draw.randint(0, arriving)]:
                self._cluster.append(*sent[:4])
        self._queues.clear()

    async def _deliver(self) -> None:
        while True:
            while not any(self._queues.values()):
                self._wake.clear()
                await self._wake.wait()
            await self._cluster.travel()
            answers = [one for tp in list(self._queues) for one in self._request(tp)]
            await self._cluster.travel()
            if not answers:
                await asyncio.sleep(_BACKOFF_SECONDS)
            for sent, record in answers:
                lost = self._cluster.draw.random() < self._cluster.losing_acks
                self._cluster.faults["acknowledgement lost"] += lost
                _settle(sent.future, KafkaTimeoutError() if lost or record is None else record)

    def _request(self, tp: TopicPartition) -> Iterator[tuple[_Sent, Record | None]]:
        """Write some of what waits for a partition; a failing one refuses, in the end for good."""
        queue, cluster = self._queues[tp], self._cluster
        expired = cluster.failing.get(tp.topic)
        refused = tp.topic in cluster.refused
        if queue and (refused or expired is not None):
            if refused or cluster.draw.random() < (expired or 0.0):
                cluster.refused.discard(tp.topic)
                name = "snapshot failed" if refused else "produce failed"
                cluster.faults[name] += 1
                yield queue.popleft(), None
            return
        sending = [queue.popleft() for _ in range(cluster.draw.randint(0, len(queue)))]
        written = [cluster.append(*sent[:4]) for sent in sending]
        if sending and cluster.draw.random() < cluster.repeating:
            cluster.faults["delivery repeated"] += 1
            written = [cluster.append(*sent[:4]) for sent in sending]
        yield from zip(sending, written, strict=True)


def _settle(future: "asyncio.Future[Record]", outcome: Record | Exception) -> None:
    if not future.done():
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
            future.exception()  # a crash may be quicker than whoever waits for it
        else:
            future.set_result(outcome)


class _Consumer:
    """Be a consumer without a group."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._positions: dict[TopicPartition, int] = {}

    def assign(self, tps: Sequence[TopicPartition]) -> None:
        self._positions = dict.fromkeys(tps, 0)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self._positions[tp] = offset

    def pause(self, *tps: TopicPartition) -> None:
        """Fetch nothing between calls; here nothing is fetched without one."""

    def resume(self, *tps: TopicPartition) -> None:
        """Fetch again."""

    async def seek_to_beginning(self, *tps: TopicPartition) -> None:
        self._positions.update(dict.fromkeys(tps, 0))

    async def beginning_offsets(self, tps: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        await self._cluster.travel()
        return dict.fromkeys(tps, 0)

    async def end_offsets(self, tps: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        await self._cluster.travel()
        return {tp: self._cluster.end(tp) for tp in tps}

    async def offsets_for_times(
        self, times: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, Offset | None]:
        await self._cluster.travel()
        return {tp: self._first_since(tp, at) for tp, at in times.items()}

    def _first_since(self, tp: TopicPartition, at_ms: int) -> Offset | None:
        later = (
            Offset(r.offset, r.timestamp) for r in self._cluster.log(tp) if r.timestamp >= at_ms
        )
        return next(later, None)

    async def position(self, tp: TopicPartition) -> int:
        return self._positions[tp]

    async def getmany(
        self, *wanted: TopicPartition, timeout_ms: int = 0
    ) -> dict[TopicPartition, list[Record]]:
        await self._cluster.travel()
        found = dict(self._fetched(wanted or tuple(self._positions)))
        if not found:
            await asyncio.sleep(timeout_ms / 1000)
        return found

    def _fetched(
        self, wanted: Sequence[TopicPartition]
    ) -> Iterator[tuple[TopicPartition, list[Record]]]:
        for tp in wanted:
            count = self._cluster.draw.randint(1, 200)
            records = self._cluster.read(tp, self._positions[tp], count)
            if records:
                self._positions[tp] = records[-1].offset + 1
                yield tp, records
            else:
                self._positions[tp] = self._cluster.end(tp)

    async def stop(self) -> None:
        """Disconnect."""
