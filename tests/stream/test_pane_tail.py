"""The last panes are found at the summaries' end, whatever lies between, and in all partitions."""

import asyncio
import random

import pytest
from aiokafka import TopicPartition

from detectors.errors import StateRefused
from detectors.panes import Clock, End, Header, Part
from stream import pane_tail
from stream.pane_tail import Extent, PaneTail, last_in_all
from stream.resuming import resumed
from stream.role import Commit, Partition
from tests.simulation.clients import SimulatedConnection
from tests.simulation.clock import VirtualLoop
from tests.simulation.cluster import Cluster, Host

EVERY = [Partition("events", p) for p in range(3)]
SUMMARIES = ("summaries", 2)


def header(partition: int, number: int, *, r_ms: int | None = None, **more: int) -> Header:
    r_ms = 2_000 * number if r_ms is None else r_ms
    place = {"a": 10 * number, "o": 10 * number + 9, "number": number}
    clocks = {"w_before": 0, "w_after": number, "a_after": number, "r_after": r_ms}
    counts = {"read": 10, "accepted": 10}
    return Header(
        topic="events", partition=partition, partitions=3, **(place | clocks | counts | more)
    )


class Summaries:
    """Hold a simulated summaries topic."""

    def __init__(self, *each: list[Header]) -> None:
        self.cluster = Cluster(random.Random(3), 0, dict([SUMMARIES]))
        self.connection = SimulatedConnection(Host(self.cluster))
        self.each = each

    async def fill(self, headers: list[Header], number: int = 0) -> None:
        for one in headers:
            tp = TopicPartition(SUMMARIES[0], number)
            self.cluster.append(tp, None, Part(one, ()).encode())

    def run(self, look):  # noqa: ANN001, ANN201  a coroutine function, and what it gives
        async def play() -> object:
            for number, headers in enumerate(self.each):
                await self.fill(headers, number)
            return await look(self)

        loop = VirtualLoop()
        try:
            return loop.run_until_complete(play())
        finally:
            loop.close()


LONG_AGO = [header(2, 1), *(header(n % 2, n) for n in range(2, 300))]


@pytest.mark.parametrize("window", [1, 7, 5_000])
def test_one_that_stopped_long_ago_is_found_and_then_only_news_are_read(
    window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pane_tail, "_WINDOW_RECORDS", window)

    async def look(summaries: Summaries) -> list[tuple[list[int], int]]:
        tail = PaneTail(summaries.connection, SUMMARIES[0], 0)
        found = []
        for more in ([], [header(2, 2), header(0, 400), header(0, 300)]):
            await summaries.fill(more)
            await tail.sync(EVERY)
            found.append(([tail.last[tp].number for tp in EVERY], tail.first_number))
            await asyncio.sleep(2.0)
        await tail.stop()
        return found

    assert Summaries(LONG_AGO).run(look) == [([298, 299, 1], 1), ([400, 299, 2], 1)]


def test_a_pane_of_which_a_part_is_missing_is_not_there() -> None:
    torn = [header(0, 5), header(0, 6, part=0, parts=2)]

    async def look(summaries: Summaries) -> int:
        tail = PaneTail(summaries.connection, SUMMARIES[0], 0)
        await tail.sync(EVERY)
        return tail.last[EVERY[0]].number

    assert Summaries(torn).run(look) == 5


def test_a_pane_that_is_in_some_of_the_summaries_only_comes_again() -> None:
    first, second = [header(0, 5), header(1, 7), header(0, 6)], [header(0, 5)]

    async def look(summaries: Summaries) -> dict[Partition, Extent]:
        return await last_in_all(summaries.connection, SUMMARIES, EVERY)

    assert Summaries(first, second).run(look) == {
        EVERY[0]: Extent(header(0, 5), header(0, 6)),
        EVERY[1]: Extent(None, header(1, 7)),
    }


def test_only_what_has_no_commit_goes_on_behind_its_last_pane() -> None:
    async def look(summaries: Summaries) -> dict[Partition, Commit | None]:
        commits = {EVERY[0]: None, EVERY[1]: Commit(3, Clock(1, 2, 3).render()), EVERY[2]: None}
        return await resumed(commits, summaries.connection, SUMMARIES)

    panes = [header(0, 5), header(1, 7)]
    assert Summaries(panes, panes).run(look) == {
        EVERY[0]: Commit(60, Clock(5, 5, 10_000).render()),
        EVERY[1]: Commit(3, Clock(1, 2, 3).render()),
        EVERY[2]: None,
    }


def test_a_pane_that_was_begun_ends_again_where_it_did() -> None:
    empty = header(0, 7, a=60, o=59)
    torn = header(0, 8, a=60, o=64, part=0, parts=2)
    first = header(1, 2, a=0, o=-1, w_before=-1)

    async def look(summaries: Summaries) -> dict[Partition, Commit | None]:
        return await resumed(dict.fromkeys(EVERY), summaries.connection, SUMMARIES)

    behind = Clock(5, 5, 10_000)
    for more, of_events_0 in (
        ([empty], Commit(60, behind.render(End(59, 14_000)))),
        ([torn], Commit(60, behind.render(End(64, 16_000)))),
    ):
        # A late repeat of an older pane says nothing.
        both = [header(0, 5)], [header(0, 5), *more, header(0, 4), first]
        assert Summaries(*both).run(look) == {
            EVERY[0]: of_events_0,
            EVERY[1]: Commit(0, Clock().render(End(-1, 4_000))),
            EVERY[2]: None,
        }


def test_a_last_pane_without_its_clock_is_refused() -> None:
    async def look(summaries: Summaries) -> object:
        return await resumed({EVERY[0]: None}, summaries.connection, SUMMARIES)

    with pytest.raises(StateRefused, match=r"up to offset 59"):
        Summaries([header(0, 5, r_ms=-1)], [header(0, 5, r_ms=-1)]).run(look)
