"""Batches through Faust: one envelope per partition and fetch, offsets and seeks of our own.

Only this module and `stream.consumer_thread` subclass Faust's internals (faust-streaming 0.15.3,
aiokafka 0.14; tests/stream/test_transport_contract.py fails when they change).  Faust takes
150 us a record, and its acknowledgements, gap list and seek to the commit lose some; so its
stream carries *envelopes* here, and a `Lease` says what may be delivered and committed:

    rebalance -> survey (commits, log's ends) -> role.assigned -> seek -> flow -> revoked

Only records drained from aiokafka after the seek of the lease that is still held reach the
role.  A commit goes out only in the generation in which that lease was granted.
"""

# ruff: noqa: ASYNC109  `timeout` is the name in the signatures that it overrides

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, cast

from aiokafka import errors
from faust.serializers.schemas import Schema
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from detectors.errors import StateRefused
from stream.consumer_thread import BatchConsumerThread, Fetched
from stream.lease import Envelope, Lease, Owner, no_lease, out_of_range
from stream.role import Partition

__all__ = ["BatchConsumer", "BatchSchema", "BatchTransport"]

_ALL_HELD_SECONDS = 0.05


class BatchSchema(Schema):
    """Pass an envelope through undecoded: decoding a batch at once is the role's work."""

    def compile(self, app: Any, **_: Any) -> Callable[..., Awaitable[Any]]:
        """Return a decoder that only makes the event which Faust's stream expects."""
        create_event = app.create_event

        async def decode(message: Any, *, propagate: bool = False) -> Any:  # noqa: ARG001
            return create_event(None, message.value, None, message)

        return decode


class BatchConsumer(driver.Consumer):
    """Faust's consumer with its delivery, its seek and its choice of offsets replaced."""

    _thread: BatchConsumerThread
    lease: Lease = no_lease()
    room: asyncio.Event
    _committing: asyncio.Lock

    @property
    def owner(self) -> Owner:
        """Give the shell around the role."""
        return cast("Owner", self.app.owner)

    def _new_consumer_thread(self) -> BatchConsumerThread:
        self.room = asyncio.Event()
        self._committing = asyncio.Lock()
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Yield one message per partition and fetch; Faust's yields one per record.

        What was drained under the lease, but before the flow resumed, waits: no seek follows.
        """
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        self.room.clear()
        if self.lease.undone > self.owner.settings.envelopes_max:
            await self.wait(self.room)
            return
        wanted = {tp for tp in self._get_active_partitions() if tp not in self.lease.held}
        if not wanted:
            await self.sleep(_ALL_HELD_SECONDS)
            return
        lease, records, reached = await self._fetch(wanted, timeout)
        if lease is self.lease and not self.flow_active:
            await self.wait(self.can_resume_flow)
        if lease is None or lease is not self.lease:
            return
        for envelope in lease.envelopes(records, reached):
            if lease.ended or self.should_stop:
                return
            yield _message(envelope)

    async def _fetch(self, wanted: set[TP], timeout: float) -> Fetched:
        """Fetch in the thread; an offset that left the log is a refusal, never a reset."""
        thread = self._thread
        try:
            fetched: Fetched = await thread.call_thread(thread.fetch, wanted, timeout)
        except errors.OffsetOutOfRangeError as error:
            tp, offset = next(iter(error.args[0].items()))
            first, end = await self.earliest_offsets(tp), await self.highwaters(tp)
            message = out_of_range(Partition(*tp), offset, first[tp], end[tp])
            self.owner.fail(StateRefused(message))
        return fetched

    async def begin_lease(self) -> None:
        """Let the role take over its partitions, then seek; Faust resumes the flow after it."""
        thread = self._thread
        generation = self.app.consumer_generation_id
        lease = await thread.call_thread(thread.survey, generation)
        if lease is None or not await self.owner.take_over(lease):
            return
        self.lease = lease
        self._read_offset.clear()
        await thread.call_thread(thread.begin, lease)

    async def start_lease(self, lease: Lease, starts: Mapping[Partition, int | None]) -> None:
        """Begin where the role says; ask anew for an end that the log had when it was surveyed."""
        if outdated := lease.beyond(starts):
            lease.log_end.update(await self.highwaters(*outdated))
        lease.begin(starts)

    async def perform_seek(self) -> None:
        """Do nothing: Faust would overwrite the positions of `begin_lease` by the commits."""

    def stop_flow(self) -> None:
        """End the lease with the flow: what is in queues now is dropped, and read again."""
        self.lease.ended = True
        self.room.set()
        super().stop_flow()

    def resume_flow(self) -> None:
        """Resume only under a lease: Faust also resumes for a rebalance already overtaken."""
        if not self.lease.ended:
            super().resume_flow()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Hand over while the partitions are still ours: the broker waits for this."""
        try:
            self.stop_flow()
            self.app.flow_control.suspend()
            await self.owner.hand_over()
            await self.commit_now()
            self.lease = no_lease()
            await super().on_partitions_revoked(revoked)
        except Exception as error:  # noqa: BLE001  aiokafka would only log it
            self.owner.fail(error)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Let nothing that goes wrong in Faust here end in aiokafka's log."""
        try:
            await super().on_partitions_assigned(assigned, generation_id)
        except Exception as error:  # noqa: BLE001  the same
            self.owner.fail(error)

    async def commit_now(self) -> None:
        """Commit what is durable by now; Faust's commit skips if another is under way."""
        await self.maybe_wait_for_commit_to_finish()
        await self.commit()

    def on_buffer_full(self, tp: TP) -> None:
        """Do nothing: under a lasting backlog Faust lets an unlucky partition wait for ever."""

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Ignore holes: Faust keeps every missing offset, and acknowledges one by one."""

    def _filter_committable_offsets(self, tps: Iterable[TP]) -> dict[TP, int]:
        """Choose the role's durable offsets; Faust's acknowledgements are thrown away."""
        for tp in list(tps):
            self._acked[tp].clear()
            self._acked_index[tp].clear()
        due = self.lease.due(self.owner.durable())
        return {TP(*partition): commit.offset for partition, commit in due.items()}

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit with metadata what is durable at the moment when it is sent."""
        return await self.commit_in(self.lease, [Partition(*tp) for tp in offsets])

    async def commit_in(self, lease: Lease, partitions: Collection[Partition]) -> bool:
        """Commit what is durable of these, and one after the other: no older one comes last.

        Only what the broker took is remembered, so that the rest is due.
        """
        thread = self._thread
        async with self._committing:
            due = lease.due(self.owner.durable())
            due = {tp: commit for tp, commit in due.items() if tp in partitions}
            done: bool = await thread.call_thread(thread.commit_in, lease, due)
            lease.commits.update(due if done else {})
            return done


class BatchTransport(driver.Transport):
    """Faust's Kafka transport with the batch consumer."""

    Consumer = BatchConsumer


def _message(envelope: Envelope) -> tuple[TP, ConsumerMessage]:
    """Make the message that Faust's conductor and stream carry; they look at its offset."""
    tp = TP(*envelope.partition)
    when = (envelope.next_offset - 1, 0.0, 0)
    generation = envelope.lease.generation
    return tp, ConsumerMessage(
        *tp, *when, (), None, envelope, None, 0, 0, tp, generation_id=generation
    )
