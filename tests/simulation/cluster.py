"""A simulated Kafka: logs with holes, append times, and a network that delays, fails and repeats.

Its clients are in `tests.simulation.clients`.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from aiokafka import TopicPartition

__all__ = ["Cluster", "Host", "Offset", "Record"]

# How often an offset is a hole, or the broker's clock steps back (at a change of leader).
_HOLES_SHARE = 0.01


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
        # Topics that take nothing now, and how often a request to each is given up for good.
        self.failing: dict[str, float] = {}
        self.refused: set[str] = set()
        self.heal()
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

    def heal(self) -> None:
        """Let everything be taken, at once, and heard of."""
        self.failing.clear()
        self.refused.clear()
        self.slow, self.losing_acks, self.repeating = 1.0, 0.0, 0.0

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


class Dying(Protocol):
    """Be what a host takes with it."""

    def die(self) -> None: ...


class Host:
    """Be one machine: it lives or is dead, and with it what it sends."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.alive = True
        # Die when so many records of a topic have been sent: what to call then.
        self.dies_when: tuple[str, int, Callable[[Host], None]] | None = None
        self.producers: list[Dying] = []

    def note_sent(self, topic: str) -> None:
        """Count down to the death that was planned for this topic's records."""
        if self.dies_when is not None and self.dies_when[0] == topic:
            _, left, die = self.dies_when
            self.dies_when = (topic, left - 1, die)
            if left == 1:
                self.dies_when = None
                die(self)

    def die(self) -> None:
        """Stop at once; of what is on its way, some arrives."""
        self.alive = False
        for producer in self.producers:
            producer.die()
