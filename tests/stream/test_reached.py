"""A push waits for W to go on no faster than its margin, and takes it from the last panes."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from aiokafka import TopicPartition

from detectors.errors import ConfigError
from detectors.panes import UNSET, Header, Part
from stream import reached
from stream.config import Config
from stream.names import TopicNames
from stream.reached import Reached
from tests.simulation.clients import SimulatedConnection
from tests.simulation.clock import VirtualLoop
from tests.simulation.cluster import Cluster, Host

CONFIG = Config()
NAMES = TopicNames(CONFIG.kafka.prefix)


class Prefix:
    """Hold a simulated prefix of two events partitions, and who looks at it."""

    def __init__(self) -> None:
        counts = {NAMES.events: 2, NAMES.summaries: 1}
        self.cluster = Cluster(random.Random(3), 0, counts)
        self.reached = Reached(CONFIG, SimulatedConnection(Host(self.cluster)))

    def event(self) -> None:
        self.cluster.append(TopicPartition(NAMES.events, 0), None, b"{}")

    def pane(self, partition: int, w_ms: int) -> None:
        number = self.cluster.end(TopicPartition(NAMES.summaries, 0))
        header = Header(
            topic=NAMES.events, partition=partition, partitions=2, a=number, o=number,
            number=number, w_before=0, w_after=w_ms, read=1, accepted=1,
        )  # fmt: skip
        self.cluster.append(TopicPartition(NAMES.summaries, 0), None, Part(header, ()).encode())


def played(
    monkeypatch: pytest.MonkeyPatch, scene: Callable[[Prefix], Awaitable[int]]
) -> tuple[int, float]:
    """Play a scene; give what it gives, and the seconds that it took."""
    monkeypatch.setattr(reached, "partition_count", lambda *_: 2)

    async def play() -> tuple[int, float]:
        prefix = Prefix()
        await prefix.reached.start()
        try:
            return await scene(prefix), asyncio.get_running_loop().time()
        finally:
            await prefix.reached.stop()

    loop = VirtualLoop()
    try:
        return loop.run_until_complete(play())
    finally:
        loop.close()


def test_where_nothing_was_ever_written_nothing_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    latest, seconds = played(monkeypatch, lambda prefix: prefix.reached.calm_ms(60))
    assert latest == UNSET
    assert seconds < 1


def test_events_that_are_in_no_pane_yet_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(prefix: Prefix) -> int:
        prefix.event()
        asyncio.get_running_loop().call_later(2.0, prefix.pane, 1, 5_000)
        return await prefix.reached.calm_ms(60)

    latest, seconds = played(monkeypatch, scene)
    assert latest == 5_000
    assert seconds >= prefix_seconds()


def test_a_backfill_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(prefix: Prefix) -> int:
        loop = asyncio.get_running_loop()
        prefix.pane(0, 1_000)
        for second in range(9):  # a hundred seconds of events each
            loop.call_later(second, prefix.pane, 0, 100_000 * (second + 1))
        loop.call_later(9, prefix.pane, 1, 910_000)
        return await prefix.reached.calm_ms(60)

    latest, seconds = played(monkeypatch, scene)
    assert latest == 910_000
    assert seconds > 9


def test_a_backfill_that_does_not_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(prefix: Prefix) -> int:
        for second in range(100):
            asyncio.get_running_loop().call_later(second, prefix.pane, 0, 60_000 * second)
        return await prefix.reached.calm_ms(20)

    with pytest.raises(ConfigError, match=r"180 s of them in 3 s\).*Push again"):
        played(monkeypatch, scene)


def prefix_seconds() -> float:
    """Give how long a push looks at W at least."""
    return Reached(CONFIG, SimulatedConnection(Host(Prefix().cluster))).settle_seconds
