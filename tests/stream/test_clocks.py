"""Without ticks: time passes up to where the log's end is known to have been seen."""

import asyncio

from detectors.observe import Observer, Pane
from detectors.panes import UNSET
from detectors.profile import ProfileBook
from stream.connection import Connection
from stream.observe import ObserveRole
from stream.role import Partition
from tests.simulation.world import NAMES, PANE_SECONDS, Plan

TP = Partition(NAMES.events, 0)
PANE_MS = PANE_SECONDS * 1_000
START_MS = 100 * PANE_MS


class Told(ObserveRole):
    """Note the panes that would be sent."""

    def __init__(self) -> None:
        super().__init__(Plan(0, ticks=False).config, Connection("nowhere"), (3, 2))
        self._observers[TP] = Observer((*TP, 3), ProfileBook(), PANE_MS)
        self.panes: list[Pane] = []

    async def _deliver(self, tp: Partition, pane: Pane) -> None:
        assert tp == TP
        self.panes.append(pane)


def ended(*polled_ms: int | None) -> list[int]:
    """Look at the clock after each of these fetches; give R of the panes that it ended."""

    async def look() -> list[int]:
        role = Told()
        for at_ms in polled_ms:
            await role._tick(TP, at_ms)
        return [pane.header.r_after for pane in role.panes]

    return asyncio.run(look())


def test_a_pane_ends_at_the_fetch_before_the_last_one() -> None:
    first, second, third = START_MS, START_MS + 400, START_MS + PANE_MS
    assert ended(first) == []
    assert ended(first, second) == [first]
    assert ended(first, first, first, second) == [first]
    assert ended(first, second, third) == [first]
    assert ended(first, second, third, third + 400) == [first, third]


def test_time_stands_still_where_the_log_cannot_be_read() -> None:
    assert ended(*[None] * 5) == []
    assert ended(*[START_MS] * 500) == []
    # An answer that lay about for an hour, in a process that was frozen, is old.
    late = START_MS + 3_600_000
    assert ended(START_MS, START_MS + 400, late) == [START_MS]


def test_a_clock_that_goes_back_ends_nothing() -> None:
    assert ended(START_MS, START_MS + 400, START_MS - 9 * PANE_MS, START_MS) == [START_MS]


def test_without_any_event_time_passes_and_w_stays_unset() -> None:
    async def look() -> list[Pane]:
        role = Told()
        for n in range(4):
            await role._tick(TP, START_MS + n * PANE_MS)
        return role.panes

    panes = asyncio.run(look())
    assert [pane.header.o for pane in panes] == [-1] * 3
    assert {pane.clock.w for pane in panes} == {UNSET}
