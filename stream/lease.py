"""What a worker may deliver and commit between two rebalances.

A `Lease` is made for each rebalance, from what the group has committed and what the logs
hold; it ends before the partitions go.  Offsets count holes in the log as read: after a
transaction marker no record comes, and yet there is nothing left to read.
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn, Protocol

from detectors.errors import StateRefused
from stream.role import METADATA_BYTES_MAX, Commit, KafkaSettings, Partition, Role

__all__ = ["Envelope", "Lease", "LeaseFlow", "Owner", "no_lease", "out_of_range"]

_COMMIT_AGAIN_SECONDS = 0.2


@dataclass(slots=True, eq=False)
class Lease:
    """One uninterrupted hold on partitions: from a rebalance to the next.

    `assignment` is the client's object for that rebalance: its identity tells fetches apart.
    `given` is the offset after what was put into an envelope, `position` after what the role
    has processed; both count holes in the log as read.  Nothing is read from `held` ones;
    `undone` counts the envelopes that were given and not processed yet.
    """

    generation: int
    assignment: Any
    commits: dict[Partition, Commit | None]
    log_start: dict[Partition, int]
    log_end: dict[Partition, int]
    given: dict[Partition, int] = field(default_factory=dict)
    position: dict[Partition, int] = field(default_factory=dict)
    held: frozenset[Partition] = frozenset()
    undone: int = 0
    ended: bool = False

    def beyond(self, starts: Mapping[Partition, int | None]) -> list[Partition]:
        """Name the partitions whose start lies behind the log's end as it was.

        A worker that was taken for dead may have gone on since, and the role have seen its panes.
        """
        ends = self.log_end
        return [tp for tp, start in starts.items() if start is not None and start > ends[tp]]

    def begin(self, starts: Mapping[Partition, int | None]) -> None:
        """Take the role's choice of where to read from; refuse what the log does not hold."""
        for partition in self.commits:
            start = starts[partition]
            first, end = self.log_start[partition], self.log_end[partition]
            if start is not None and not first <= start <= end:
                raise StateRefused(out_of_range(partition, start, first, end))
            self.position[partition] = first if start is None else start
        self.given.update(self.position)

    def envelopes(
        self, chunks: Mapping[Partition, Sequence[Any]], reached: Mapping[Partition, int]
    ) -> Iterator["Envelope"]:
        """Wrap the chunks that one fetch returned; `reached` is aiokafka's position after it."""
        for partition, offset in reached.items():
            *before, last = chunks.get(partition) or [None]
            given = [(chunk, int(chunk.offsets[-1]) + 1) for chunk in before] + [(last, offset)]
            if last is not None:
                self.given[partition] = offset
                self.undone += len(given)
                for chunk, next_offset in given:
                    yield Envelope(self, partition, chunk, next_offset)
            elif self.given[partition] == self.position[partition]:
                self.given[partition] = self.position[partition] = offset

    def done(self, envelope: "Envelope") -> None:
        """Note that the role has processed an envelope."""
        self.position[envelope.partition] = envelope.next_offset
        self.undone -= 1

    def due(self, durable: Mapping[Partition, Commit]) -> dict[Partition, Commit]:
        """Choose what is durable and not committed yet, among the partitions of this lease."""
        ours = {tp: commit for tp, commit in durable.items() if tp in self.position}
        for tp, commit in ours.items():
            _check(tp, commit, self.given[tp])
        return {tp: commit for tp, commit in ours.items() if _advances(commit, self.commits[tp])}


class Envelope(NamedTuple):
    """Consecutive records of one partition, and the offset to read on from after them."""

    lease: Lease
    partition: Partition
    records: Any
    next_offset: int


class Owner(Protocol):
    """What the transport asks of the app around the role."""

    role: Role
    settings: KafkaSettings

    def durable(self) -> Mapping[Partition, Commit]:
        """Give the role's durable commits."""

    async def take_over(self, lease: Lease) -> bool:
        """Let the role choose where to read from; tell whether the lease still stands."""

    async def hand_over(self) -> None:
        """End the lease between two envelopes, and tell the role."""

    def fail(self, error: BaseException) -> NoReturn:
        """End the process."""


class _Consumer(Protocol):
    async def commit_in(self, lease: Lease, partitions: Collection[Partition]) -> bool: ...


class _Holder(Protocol):
    lease: Lease

    @property
    def consumer(self) -> _Consumer: ...


class LeaseFlow:
    """Answer `stream.role.Flow` from the lease that a holder has now."""

    def __init__(self, holder: _Holder) -> None:
        """Ask `holder` anew at each question."""
        self._holder = holder

    @property
    def assignment(self) -> frozenset[Partition]:
        """Give the partitions that are this role's now."""
        return frozenset(self._holder.lease.position)

    @property
    def progress(self) -> Mapping[Partition, int]:
        """Give how far each partition is, also of those that the role is still taking over."""
        lease = self._holder.lease
        begun = {tp: at.offset if at else lease.log_start[tp] for tp, at in lease.commits.items()}
        return begun | lease.position

    def position(self, partition: Partition) -> int:
        """Give the offset after everything the role has processed."""
        return self._holder.lease.position[partition]

    def highwater(self, partition: Partition) -> int | None:
        """Give the log's end as of the last fetch."""
        state = self._state(partition)
        return None if state is None else state.highwater

    def polled_ms(self, partition: Partition) -> int | None:
        """Give this machine's time at the last fetch."""
        state = self._state(partition)
        return None if state is None else state.timestamp

    def _state(self, partition: Partition) -> Any:
        assignment = self._holder.lease.assignment
        return assignment and assignment.state_value(partition)

    def lag(self, partition: Partition) -> int | None:
        """Give the number of offsets between position and highwater."""
        position, highwater = self.position(partition), self.highwater(partition)
        return None if highwater is None else max(0, highwater - position)

    def caught_up(self, partition: Partition) -> bool:
        """Tell whether the role has processed all that the last fetch saw."""
        return self.lag(partition) == 0

    def log_start(self, partition: Partition) -> int:
        """Give the first offset that the log still had when the partition was assigned."""
        return self._holder.lease.log_start[partition]

    async def commit(self, partition: Partition) -> bool:
        """Commit what is durable, however often it has to be asked while the lease stands."""
        lease, consumer = self._holder.lease, self._holder.consumer
        while not lease.ended:
            if await consumer.commit_in(lease, [partition]):
                return True
            await asyncio.sleep(_COMMIT_AGAIN_SECONDS)
        return False

    def hold(self, partitions: Collection[Partition]) -> None:
        """Read nothing more from exactly these partitions for now."""
        self._holder.lease.held = frozenset(partitions)


def no_lease() -> Lease:
    """Make the lease of a worker that holds nothing."""
    return Lease(-1, None, {}, {}, {}, ended=True)


def out_of_range(partition: Partition, offset: int, first: int, end: int) -> str:
    """Word the refusal to read from an offset that the log does not hold."""
    name = f"{partition.topic}/{partition.partition}"
    what = (
        f"offset {offset} is to be read next, but its log now begins at offset {first}: "
        f"{first - offset} offsets were deleted before they were processed. Raise the topic's "
        f"retention"
        if offset < first
        else f"offset {offset} is to be read next, but its log ends at offset {end}: the topic "
        f"was truncated or created anew. Use the log the state belongs to"
    )
    return f"{name}: {what}, or begin anew with another kafka.prefix."


def _advances(commit: Commit, before: Commit | None) -> bool:
    return before is None or (commit != before and commit.offset >= before.offset)


def _check(partition: Partition, commit: Commit, given: int) -> None:
    """Refuse a commit that cannot be: a bug in a role must not become a loss."""
    if commit.offset > given:
        message = f"{partition}: {commit} is said to be durable, but only {given} was reached."
        raise ValueError(message)
    if len(commit.metadata.encode()) > METADATA_BYTES_MAX:
        message = f"{partition}: the metadata of {commit} is over {METADATA_BYTES_MAX} bytes."
        raise ValueError(message)
