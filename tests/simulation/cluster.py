"""A simulated Kafka: logs with holes, append times, and a network that delays, fails and repeats.

What a producer has sent and not heard of may be in the log or not; what it is told is there, is.
Order within a partition holds, and a retried request is in the log once: as with an idempotent
producer.
"""

import asyncio
import random
import zlib
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError

from stream.connection import Connection

__all__ = ["Cluster", "Host", "Record", "SimulatedConnection"]

# How often an offset is a hole, or the broker's clock steps back (at a change of leader).
_HOLES_SHARE = 0.01
# How often a request to a failing topic is given up, and not tried again.
_EXPIRED_SHARE = 0.02


class Record(NamedTuple):
    """Be what aiokafka's ConsumerRecord is to our code."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Offset(NamedTuple):
    offset: int
    timestamp: int


class Cluster:
    """Hold the logs, the clock of the broker, and the state of the network."""

    def __init__(self, draw: random.Random, start_ms: int, partitions: Mapping[str, int]) -> None:
        self.draw = draw
        self.partitions = dict(partitions)
        self.faults: Counter[str] = Counter()
        self.silent_until = 0.0
        self.slow = 1.0
        self.failing: set[str] = set()
        self.losing_acks = 0.0
        self._jumped_ms = start_ms
        self._logs: dict[TopicPartition, list[Record]] = {}
        self._ends: Counter[TopicPartition] = Counter()

    @property
    def now_ms(self) -> int:
        """Give the broker's clock."""
        return self._jumped_ms + int(asyncio.get_running_loop().time() * 1000)

    def jump(self, milliseconds: int) -> None:
        """Let the broker's clock jump."""
        self._jumped_ms += milliseconds

    def log(self, tp: TopicPartition) -> list[Record]:
        return self._logs.setdefault(tp, [])

    def end(self, tp: TopicPartition) -> int:
        """Give the offset after the last record, holes included."""
        return self._ends[tp]

    def read(self, tp: TopicPartition, offset: int, count: int) -> list[Record]:
        """Give the next records from an offset on."""
        log = self.log(tp)
        low, high = 0, len(log)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if log[middle].offset < offset else (low, middle)
        return log[low : low + count]

    def append(
        self,
        tp: TopicPartition,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> Record:
        """Append a record; now and then a hole (a transaction's marker) comes before it."""
        if self.draw.random() < _HOLES_SHARE:
            self._ends[tp] += 1
        back = self.draw.randrange(50) if self.draw.random() < _HOLES_SHARE else 0
        record = Record(*tp, self._ends[tp], self.now_ms - back, 1, key, value, headers)
        self._ends[tp] += 1
        self.log(tp).append(record)
        return record

    async def travel(self) -> None:
        """Let a request or an answer take its time."""
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(self.draw.uniform(0.001, 0.02) * self.slow)
        while clock() < self.silent_until:  # noqa: ASYNC110  it may be put off meanwhile
            await asyncio.sleep(self.silent_until - clock())


class Host:
    """Be one machine: it lives or is dead, and with it what it sends."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.alive = True
        self.producers: list[_Producer] = []

    def die(self) -> None:
        """Stop at once; of what is on its way, some arrives."""
        self.alive = False
        for producer in self.producers:
            producer.die()


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
        return future

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
            for sent, record in answers:
                lost = self._cluster.draw.random() < self._cluster.losing_acks
                self._cluster.faults["acknowledgement lost"] += lost
                _settle(sent.future, KafkaTimeoutError() if lost or record is None else record)

    def _request(self, tp: TopicPartition) -> Iterator[tuple[_Sent, Record | None]]:
        """Write some of what waits for a partition; a failing one refuses, in the end for good."""
        queue, draw = self._queues[tp], self._cluster.draw
        if queue and tp.topic in self._cluster.failing:
            if draw.random() < _EXPIRED_SHARE:
                self._cluster.faults["produce failed"] += 1
                yield queue.popleft(), None
            return
        for _ in range(draw.randint(0, len(queue))):
            sent = queue.popleft()
            yield sent, self._cluster.append(*sent[:4])


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
