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
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> Record:
        """Append a record; now and then a hole (a transaction's marker) comes before it."""
        number = self.partitions[topic]
        tp = TopicPartition(topic, zlib.crc32(key or b"") % number if partition is None else partition)
        if self.draw.random() < 0.01:
            self._ends[tp] += 1
        timestamp = self.now_ms - (self.draw.randrange(50) if self.draw.random() < 0.01 else 0)
        record = Record(*tp, self._ends[tp], timestamp, 1, key, value, headers)
        self._ends[tp] += 1
        self.log(tp).append(record)
        return record

    async def travel(self) -> None:
        """Let a request or an answer take its time."""
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(self.draw.uniform(0.001, 0.02) * self.slow)
        while clock() < self.silent_until:
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
    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    future: "asyncio.Future[Record]"


class _Producer:
    """Be an idempotent producer: one request at a time, so that the order holds."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._cluster = host.cluster
        self._queue: deque[_Sent] = deque()
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
            self._queue.append(_Sent(topic, partition, key, value, headers, future))
            self._wake.set()
        return future

    async def send_and_wait(self, topic: str, **what: Any) -> Record:
        return await (await self.send(topic, **what))

    async def flush(self) -> None:
        while self._queue:
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        await self.flush()
        self._task.cancel()

    def die(self) -> None:
        """Let a part of what is under way arrive, in order; nobody hears of it."""
        self._task.cancel()
        arriving = self._cluster.draw.randint(0, len(self._queue))
        for sent in list(self._queue)[:arriving]:
            if sent.topic not in self._cluster.failing:
                self._cluster.append(*sent[:5])
        self._queue.clear()

    async def _deliver(self) -> None:
        cluster = self._cluster
        while True:
            while not self._queue:
                self._wake.clear()
                await self._wake.wait()
            await cluster.travel()
            count = cluster.draw.randint(1, len(self._queue))
            answers = []
            while count and self._queue:
                count -= 1
                sent = self._queue[0]
                if sent.topic in cluster.failing:
                    if cluster.draw.random() < 0.02:
                        cluster.faults["produce failed"] += 1
                        self._queue.popleft()
                        answers.append((sent, None))
                    break
                self._queue.popleft()
                answers.append((sent, cluster.append(*sent[:5])))
            await cluster.travel()
            for sent, record in answers:
                if record is None or cluster.draw.random() < cluster.losing_acks:
                    cluster.faults["acknowledgement lost"] += record is not None
                    _settle(sent.future, KafkaTimeoutError())
                else:
                    _settle(sent.future, record)


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
        later = (Offset(r.offset, r.timestamp) for r in self._cluster.log(tp) if r.timestamp >= at_ms)
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
