"""A simulated consumer group, and the member that drives a role as the shell does."""

import asyncio
import random
from collections.abc import Collection, Mapping
from typing import NamedTuple

from aiokafka import TopicPartition

from stream.fetching import chunks_of
from stream.lease import Lease, LeaseFlow, no_lease
from stream.role import Commit, Partition, Role, takes_records
from tests.simulation.cluster import Cluster, Host

__all__ = ["Group", "Member"]

COMMIT_SECONDS = 1.0
IDLE_SECONDS = 2.0
SESSION_SECONDS = 6.0
FETCH_RECORDS_MAX = 300
# How wrong the clock of a machine may be.
CLOCK_OFF_MS = 2_000


class Group:
    """Hold members, generations and commits of one group."""

    def __init__(self, cluster: Cluster, topic: str) -> None:
        self.cluster = cluster
        self.partitions = [Partition(topic, p) for p in range(cluster.partitions[topic])]
        self.commits: dict[Partition, Commit] = {}
        self.generation = 0
        # Partitions that nobody is given: as if their worker hung and kept its place.
        self.orphans: frozenset[Partition] = frozenset()
        self.members: list[Member] = []

    def join(self, member: "Member") -> None:
        self.members.append(member)
        self.rebalance()

    def leave(self, member: "Member") -> None:
        """Take a member out; at once if it says so, after the session timeout if it died."""
        if member in self.members:
            self.members.remove(member)
            self.rebalance()

    def rebalance(self) -> None:
        """Begin a new generation: each member owns what the draw gives it."""
        self.generation += 1
        order = self.cluster.draw.sample(self.members, len(self.members))
        for member in order:
            member.owned = ()
        for number, tp in enumerate(self.partitions):
            if order and tp not in self.orphans:
                owner = order[number % len(order)]
                owner.owned = (*owner.owned, tp)

    def lease(self, member: "Member") -> Lease:
        """Give what a member holds now."""
        ends = {tp: self.cluster.end(TopicPartition(*tp)) for tp in member.owned}
        commits = {tp: self.commits.get(tp) for tp in member.owned}
        starts = dict.fromkeys(member.owned, 0)
        return Lease(self.generation, _Assignment(), commits, starts, ends)

    def commit(self, lease: Lease, due: Mapping[Partition, Commit]) -> bool:
        """Take commits of the present generation; refuse those of a zombie."""
        if lease.generation != self.generation:
            return False
        self.commits.update(due)
        return True


class _Fetched(NamedTuple):
    """Say where the log ended at the last fetch, and when that was."""

    highwater: int | None = None
    timestamp: int | None = None


class _Assignment:
    def __init__(self) -> None:
        self.fetched: dict[Partition, _Fetched] = {}

    def state_value(self, tp: Partition) -> _Fetched:
        return self.fetched.get(tp, _Fetched())


class Member:
    """Run a role: one coroutine of it at a time, offsets by lease, as `stream.app.Shell`."""

    def __init__(self, host: Host, group: Group, role: Role) -> None:
        self.host = host
        self.group = group
        self.role = role
        self.owned: tuple[Partition, ...] = ()
        self.lease = no_lease()
        # Batches taken, and calls without one.
        self.steps = 0
        self.idle_steps = 0
        self.deaf_until = 0.0
        self.leaving = False
        self._gate = asyncio.Lock()
        self._committing = asyncio.Lock()
        self._draw = random.Random(host.cluster.draw.random())
        self._clock_off_ms = self._draw.randint(-CLOCK_OFF_MS, CLOCK_OFF_MS)

    async def run(self) -> None:
        """Run until told to leave; whatever the role raises, wherever, ends it."""
        await self.role.start(LeaseFlow(self))
        self.group.join(self)
        loops = (self._main(), self._commit_now_and_then(), self._idle())
        tasks = [asyncio.create_task(one) for one in loops]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            self.lease.ended = True

    def rejoin(self) -> None:
        """Come back to the group after having been a zombie."""
        if self.host.alive and not self.leaving:
            self.group.join(self)

    async def _main(self) -> None:
        while not self.leaving:
            await self._hold()
            await self._read()
            await self._hand_over()
        async with self._gate:
            await self.role.stop()
        self._commit()
        self.group.leave(self)

    async def _hold(self) -> None:
        """Take over what this generation gives."""
        lease = self.group.lease(self)
        async with self._gate:
            self.lease = lease
            starts = await self.role.assigned(lease.commits)
            for tp in lease.beyond(starts):
                lease.log_end[tp] = self.host.cluster.end(TopicPartition(*tp))
            lease.begin(starts)

    def _stands(self) -> bool:
        """Say whether this member believes that it holds its partitions."""
        deaf = asyncio.get_running_loop().time() < self.deaf_until
        return deaf or (self.lease.generation == self.group.generation and not self.leaving)

    async def _read(self) -> None:
        cluster = self.host.cluster
        while self._stands():
            await cluster.travel()
            readable = [tp for tp in self.lease.position if tp not in self.lease.held]
            self._draw.shuffle(readable)
            for tp in readable:
                count = self._draw.randint(1, FETCH_RECORDS_MAX)
                records = cluster.read(TopicPartition(*tp), self.lease.given[tp], count)
                highwater = cluster.end(TopicPartition(*tp))
                end = records[-1].offset + 1 if records else highwater
                now_ms = cluster.now_ms + self._clock_off_ms
                self.lease.assignment.fetched[tp] = _Fetched(highwater, now_ms)
                chunks = chunks_of(records, gathered=takes_records(self.role)) if records else []
                for envelope in self.lease.envelopes({tp: chunks}, {tp: end}):
                    async with self._gate:
                        if not self._stands():
                            return
                        await self.role.process(tp, envelope.records)
                        self.lease.done(envelope)
                        self.steps += 1
            await asyncio.sleep(self._draw.uniform(0.1, 6.0))

    async def _hand_over(self) -> None:
        """Give up the partitions between two envelopes."""
        async with self._gate:
            if not self.leaving:
                await self.role.revoked(frozenset(self.lease.position))
            self._commit()
            if not self.leaving:
                self.lease = no_lease()

    def _commit(self) -> None:
        due = self.lease.due(self.role.durable())
        if due and self.group.commit(self.lease, due):
            self.lease.commits.update(due)

    async def _commit_now_and_then(self) -> None:
        """Commit at intervals, at any await of the role."""
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            lease = self.lease
            if lease.due(self.role.durable()):
                await self.commit_in(lease, lease.position)

    @property
    def consumer(self) -> "Member":
        """Give what commits: here, this."""
        return self

    async def commit_in(self, lease: Lease, partitions: Collection[Partition]) -> bool:
        """Commit; the broker may take it, and its answer be lost."""
        cluster = self.host.cluster
        async with self._committing:
            due = lease.due(self.role.durable())
            due = {tp: commit for tp, commit in due.items() if tp in partitions}
            await cluster.travel()
            done = not lease.ended and self.group.commit(lease, due)
            await cluster.travel()
            lease.ended |= not self._stands()
            if not done or self._draw.random() < cluster.losing_acks:
                return False
            lease.commits.update(due)
            return True

    async def _idle(self) -> None:
        while True:
            await asyncio.sleep(IDLE_SECONDS)
            async with self._gate:
                if self.lease.position and not self.leaving:
                    await self.role.idle()
                    self.idle_steps += 1
