"""How far the observe role has come in event time, as the panes in the summaries say it."""

import asyncio

from aiokafka import TopicPartition

from detectors.errors import ConfigError
from detectors.panes import UNSET
from stream.config import Config
from stream.connection import Connection
from stream.control import MARGIN_MS
from stream.names import TopicNames
from stream.pane_tail import PaneTail
from stream.role import Partition
from stream.topics import partition_count

__all__ = ["Reached"]

_DELIVERY_SECONDS = 1.0


class Reached:
    """Follow the largest W of a prefix.

    Events are in a pane as soon as a record of another one follows, or a tick (without ticks, a
    fetch later).  So what has been read shows here after `settle_seconds`, unless the workers are
    far behind.
    """

    def __init__(self, config: Config, connection: Connection) -> None:
        """Prepare; `start` connects."""
        names = TopicNames(config.kafka.prefix)
        longest = max(config.time.pane_seconds, config.time.tick_seconds)
        self.settle_seconds = longest + _DELIVERY_SECONDS * (1 if config.time.ticks else 2)
        self._events = names.events
        self._connection = connection
        # A pane's parts are written in the order of the partitions: the first is the furthest.
        self._tail = PaneTail(connection, names.summaries, 0)

    async def start(self) -> None:
        """Count the events partitions."""
        count = await asyncio.to_thread(partition_count, self._connection, self._events)
        self._every = [Partition(self._events, number) for number in range(count)]

    async def stop(self) -> None:
        """Disconnect."""
        await self._tail.stop()

    async def latest_ms(self) -> int:
        """Give the largest W in milliseconds; UNSET where there is no pane with an event."""
        await self._tail.sync(self._every)
        return max((header.w_after for header in self._tail.last.values()), default=UNSET)

    async def calm_ms(self, patience_seconds: float) -> int:
        """Wait until W goes on slowly enough for a push; give it.

        A push is in force a minute of event time behind W, and a backfill may do that in no time.

        Raises
        ------
        ConfigError
            If that is not so after `patience_seconds`.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + patience_seconds
        before = await self.latest_ms()
        if before == UNSET and not await self._written():
            return UNSET
        while True:
            await asyncio.sleep(self.settle_seconds)
            latest = await self.latest_ms()
            if latest - before < MARGIN_MS // 2:
                return latest
            if clock() > deadline:
                raise ConfigError(
                    f"Events are read so fast just now ({(latest - before) / 1000:,.0f} s of them "
                    f"in {self.settle_seconds:.0f} s) that nothing can be put in force before "
                    "every worker knows of it. Push again once they have caught up."
                )
            before = latest

    async def _written(self) -> bool:
        """Say whether there ever was an event."""
        consumer = await self._connection.consumer()
        try:
            ends = await consumer.end_offsets([TopicPartition(*tp) for tp in self._every])
        finally:
            await consumer.stop()
        return any(ends.values())
