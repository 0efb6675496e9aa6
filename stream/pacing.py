"""How far a partition may be ahead of the slowest one: what bounds the judge's memory.

The judge applies a pane when all partitions have come that far, and keeps what is ahead.  So a
partition whose last pane is more than `max_ahead_panes` numbers beyond the slowest partition's
is held.  That changes when its records are read, never what follows from them.

One that nobody reads counts, so it is looked for in the summaries.  One that never had a pane
counts as it stood at the first pane that summaries hold.  A partition that ticks is not slow.
What was fetched already is not held back: up to a few envelopes.
"""

from collections.abc import Collection

import structlog

from detectors.panes import UNSET
from stream.connection import Connection
from stream.pane_tail import PaneTail
from stream.role import Partition

__all__ = ["Pacing"]

log = structlog.get_logger()


class Pacing:
    """Say which partitions of a topic are to be held."""

    def __init__(self, connection: Connection, summaries: str, max_ahead_panes: int) -> None:
        """Hold what is more than so many numbers ahead of the slowest."""
        self.held: frozenset[Partition] = frozenset()
        self._tail = PaneTail(connection, summaries, 0)
        self._max_ahead = max_ahead_panes
        self._numbers: dict[Partition, int] = {}

    def note(self, tp: Partition, number: int) -> None:
        """Note the number of a partition's latest pane."""
        self._numbers[tp] = max(number, self._numbers.get(tp, UNSET))

    async def hold(self, mine: Collection[Partition], every: Collection[Partition]) -> bool:
        """Choose anew which of my partitions to hold; tell whether that has changed.

        Numbers only rise, so the summaries are read only if what is known asks for a hold.
        """
        ahead = self._ahead(mine, every)
        if ahead:
            await self._tail.sync(every)
            for tp, header in self._tail.last.items():
                self.note(tp, header.number)
            ahead = self._ahead(mine, every)
        before, self.held = self.held, ahead
        if ahead != before:
            log.info("held", partitions=sorted(tp.partition for tp in ahead))
        return ahead != before

    def _ahead(
        self, mine: Collection[Partition], every: Collection[Partition]
    ) -> frozenset[Partition]:
        numbers = [self._numbers.get(tp, UNSET) for tp in every]
        slowest = min(numbers)
        if slowest == UNSET:
            slowest = self._tail.first_number
        return frozenset(
            tp for tp in mine if self._numbers.get(tp, UNSET) > slowest + self._max_ahead
        )

    async def stop(self) -> None:
        """Disconnect."""
        await self._tail.stop()
