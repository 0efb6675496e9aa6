"""Consumer lag: how much of each partition is still to be processed, also while a role waits."""

import asyncio
from collections.abc import Callable

from aiokafka.errors import KafkaError

from stream.connection import Connection
from stream.role import Flow, Partition

__all__ = ["watch_lag"]

_EVERY_SECONDS = 5.0


async def watch_lag(
    connection: Connection, flow: Flow, show: Callable[[Partition, int | None], None]
) -> None:
    """Show the lag of each assigned partition for ever, and None once it is not ours any more.

    The log's ends are asked for with a client of its own: a role that waits fetches nothing, and
    what it fetched last is all that its consumer knows.
    """
    consumer = await connection.consumer()
    shown: set[Partition] = set()
    try:
        while True:
            ours = flow.progress
            try:
                ends = await consumer.end_offsets(sorted(ours)) if ours else {}
            except KafkaError:  # the broker is away: what was shown last stands
                ends = {}
            reached = flow.progress
            for tp in ours.keys() & reached.keys() & ends.keys():
                show(tp, max(0, ends[tp] - reached[tp]))
                shown.add(tp)
            for tp in shown - reached.keys():
                show(tp, None)
                shown.discard(tp)
            await asyncio.sleep(_EVERY_SECONDS)
    finally:
        await consumer.stop()
