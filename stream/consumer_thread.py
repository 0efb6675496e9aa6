"""The half of the consumer that runs in aiokafka's own thread.

There, code between two awaits is atomic: what was drained, the lease that it belongs to and the
positions behind it are of one moment.
"""

# ruff: noqa: SLF001  the private parts of Faust and aiokafka are what this module is about
# ruff: noqa: ASYNC109  `timeout` is the name in the signatures that it calls

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from aiokafka import errors
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service

from stream.fetching import UNREADABLE, chunks_of, read_in_place, unreadable
from stream.lease import Lease, Owner
from stream.loops import watch_loop
from stream.membership import Membership
from stream.role import Commit, Partition, takes_records

__all__ = ["BatchConsumerThread", "Fetched"]

# The lease at the time, the chunks of each partition, and the position behind them.
Fetched = tuple[Lease | None, Mapping[Partition, Sequence[Any]], Mapping[Partition, int]]

# Kafka's codes for: illegal generation, unknown member, rebalance in progress.
_REBALANCED = (22, 25, 27)
_NO_POSITION = (errors.OffsetOutOfRangeError, errors.NoOffsetForPartitionError)


class _Consumer(Protocol):
    owner: Owner


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's thread around aiokafka's consumer, with our leases, commits and fetches."""

    consumer: "_Consumer"
    _lease: Lease | None = None

    def _create_worker_consumer(self, transport: Any) -> Any:
        """Shorten Faust's fixed fetch_max_wait_ms of 1,500, and limit an answer's size.

        A partition that was full waits that long behind an empty fetch of idle neighbours; and
        the answer of many partitions at once would be held in several copies.
        """
        consumer = super()._create_worker_consumer(transport)
        settings = self.consumer.owner.settings
        consumer._fetch_max_wait_ms = int(settings.fetch_wait_seconds * 1000)
        consumer._fetch_max_bytes = settings.request_bytes_max
        return consumer

    async def on_start(self) -> None:
        """Change what is changed in the objects of aiokafka's consumer, before it has joined."""
        await super().on_start()
        watch_loop(self.thread_loop)
        consumer, owner = self._ensure_consumer(), self.consumer.owner
        settings = owner.settings
        if settings.in_place and takes_records(owner.role):
            read_in_place(consumer, settings.envelopes_max)
        if settings.instance_id:
            Membership(consumer._coordinator, owner)

    def on_crash(self, msg: str, *fmt: Any, **_: Any) -> None:  # noqa: ARG002
        """End the process; mode would print to stderr and leave the rest running."""
        self.consumer.owner.fail(fmt[-1])

    @Service.task
    async def _watch(self) -> None:
        """Notice what aiokafka's background tasks died of: Faust fetches around its checks."""
        consumer = self._ensure_consumer()
        while not self.should_stop and not consumer._closed:
            await self.sleep(1.0)
            try:
                consumer._coordinator.check_errors()
                if consumer._fetcher.error_future.done():
                    consumer._fetcher.error_future.result()
            except errors.KafkaError as error:
                if not error.retriable:
                    self.consumer.owner.fail(error)

    async def survey(self, generation: int) -> Lease | None:
        """Ask for the group's commits *with* metadata and the ends of the logs.

        Faust's seek_to_committed drops the metadata.  Give None if a rebalance came between.
        """
        consumer, coordinator = self._ensure_consumer(), self._ensure_consumer()._coordinator
        assignment = consumer._subscription.subscription.assignment
        tps = list(assignment.tps)
        while coordinator.generation == generation and assignment.active:
            try:
                known = await coordinator.fetch_committed_offsets(tps)
                first = await consumer.beginning_offsets(tps)
                end = await consumer.end_offsets(tps)
            except errors.KafkaError as error:
                if not error.retriable and not isinstance(error, errors.KafkaTimeoutError):
                    raise
                continue
            commits = {Partition(*tp): Commit(*known[tp]) if tp in known else None for tp in tps}
            firsts, ends = ({Partition(*tp): at[tp] for tp in tps} for at in (first, end))
            return Lease(generation, assignment, commits, firsts, ends)
        return None

    async def begin(self, lease: Lease) -> None:
        """Seek; from here on a drained record belongs to this lease."""
        consumer = self._ensure_consumer()
        if lease.assignment is not consumer._subscription.subscription.assignment:
            return
        for tp in lease.assignment.tps:
            consumer.seek(tp, lease.position[Partition(*tp)])
        self._lease = lease

    async def fetch(self, wanted: set[TP], timeout: float) -> Fetched:
        """Drain what was fetched, with the lease it belongs to and the positions after it.

        All three are of one moment: aiokafka awaits nothing between draining and returning.
        """
        consumer, owner = self._ensure_consumer(), self.consumer.owner
        try:
            records = await self._fetch_records(
                consumer, wanted, timeout=timeout, max_records=consumer._max_poll_records
            )
        except _NO_POSITION:
            if self._current_lease() is None:
                return None, {}, {}
            raise
        except UNREADABLE as error:
            raise unreadable(error, ", ".join(owner.role.topics)) from error
        gathered = takes_records(owner.role)
        chunks = {tp: chunks_of(drained, gathered=gathered) for tp, drained in records.items()}
        lease = self._current_lease()
        states = ((tp, lease.assignment.state_value(tp)) for tp in lease.position) if lease else ()
        return lease, chunks, {tp: state.position for tp, state in states}

    def _current_lease(self) -> Lease | None:
        """Give the lease whose seek set the positions that aiokafka reads from now."""
        subscription = self._ensure_consumer()._subscription.subscription
        lease = self._lease
        return lease if lease and lease.assignment is subscription.assignment else None

    async def commit_in(self, lease: Lease, due: Mapping[Partition, Commit]) -> bool:
        """Commit offsets with metadata, but only as the member and generation of the lease.

        Faust writes "" as metadata; aiokafka's own commit retries under whatever generation it
        then has, and one of -1 (a zombie's) is accepted for a group that is empty.
        """
        coordinator = self._ensure_consumer()._coordinator
        if coordinator.generation != lease.generation or not lease.assignment.active:
            return False
        offsets = {TopicPartition(*tp): OffsetAndMetadata(*due[tp]) for tp in due}
        try:
            await coordinator._do_commit_offsets(lease.assignment, offsets)
        except errors.KafkaError as error:
            if not error.retriable and getattr(error, "errno", 0) not in _REBALANCED:
                raise
            return False
        return True
