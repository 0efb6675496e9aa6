"""What a role is, and what it may ask of the log: the seam between our code and Kafka's.

A role (observe, judge, ...) reads topics, keeps state that is a function of their logs, and
says which offsets are durable.  Everything else (groups, seeks, commits, signals, crashes) is
`stream.app`.  Nothing here imports Faust or aiokafka at run time.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from stream.connection import Connection

__all__ = [
    "METADATA_BYTES_MAX",
    "Commit",
    "Flow",
    "KafkaSettings",
    "Partition",
    "Role",
    "takes_records",
]

METADATA_BYTES_MAX = 99


class Partition(NamedTuple):
    """Name one partition; equal to Faust's and aiokafka's own tuples of the same content."""

    topic: str
    partition: int


class Commit(NamedTuple):
    """Say that everything before `offset` is durable; `metadata` (< 100 bytes) comes back."""

    offset: int
    metadata: str


class KafkaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Say how a role talks to Kafka; every time in seconds.

    `in_place`: for a role that takes `Records`, fetched bytes are walked where they lie.
    `instance_id`: a name that stays when the process is started anew (static membership).
    """

    connection: "Connection"
    session_timeout_seconds: float = 10.0
    rebalance_timeout_seconds: float = 20.0
    commit_interval_seconds: float = 1.0
    idle_seconds: float = 0.2
    start_timeout_seconds: float = 20.0
    stop_timeout_seconds: float = 9.0
    fetch_wait_seconds: float = 0.25
    fetch_bytes_max: int = 4 << 20
    poll_records_max: int = 20_000
    envelopes_max: int = 4
    request_bytes_max: int = 16 << 20
    in_place: bool = True
    instance_id: str = ""


class Flow(Protocol):
    """Answer a role's questions about what it reads; nothing here waits for the broker.

    `position`, `log_start` and `lag` raise KeyError for a partition that is not assigned.
    """

    @property
    def assignment(self) -> frozenset[Partition]:
        """Give the partitions that are this role's now; empty during a rebalance."""

    @property
    def progress(self) -> Mapping[Partition, int]:
        """Give how far each partition is: by the group's commit, while the role takes it over."""

    def position(self, partition: Partition) -> int:
        """Give the offset after everything the role has processed, holes in the log included."""

    def highwater(self, partition: Partition) -> int | None:
        """Give the log's end as of the last fetch; None before the first."""

    def lag(self, partition: Partition) -> int | None:
        """Give the number of offsets between position and highwater; None before a fetch."""

    def caught_up(self, partition: Partition) -> bool:
        """Tell whether the role has processed all that the last fetch saw."""

    def polled_ms(self, partition: Partition) -> int | None:
        """Give this machine's time at the last fetch; None before the first."""

    def log_start(self, partition: Partition) -> int:
        """Give the first offset that the log still had when the partition was assigned."""

    async def commit(self, partition: Partition) -> bool:
        """Commit now what is durable; False if the partition has gone to another worker."""

    def hold(self, partitions: Collection[Partition]) -> None:
        """Read nothing more from exactly these partitions until told otherwise or reassigned."""


class Role(Protocol):
    """Turn records into durable effects, in the order of each partition's log.

    Its coroutines never run at the same time.  Whatever one raises ends the process: a
    DriftlineError with its own exit code, anything else with 70; nothing is committed then.
    """

    name: str
    topics: Sequence[str]
    group: str

    async def start(self, flow: Flow) -> None:
        """Start producers and compile, before the group is joined."""

    async def assigned(
        self, commits: Mapping[Partition, Commit | None]
    ) -> Mapping[Partition, int | None]:
        """Take over exactly these partitions; forget any others.

        Called after each rebalance, before the first record, with what the group has
        committed.  Return the offset to read from for each; None is the log's start.
        """

    async def process(self, partition: Partition, records: Any) -> None:
        """Process consecutive records of one partition: see `takes_records`."""

    def durable(self) -> Mapping[Partition, Commit]:
        """Say up to where each partition may be committed; asked at any await of the role.

        An offset below what is committed already is ignored; one that the role cannot have
        reached yet is a bug, and ends the process.
        """

    async def revoked(self, partitions: Collection[Partition]) -> None:
        """Finish what is cheap to finish; `durable` is asked, and committed, right after."""

    async def idle(self) -> None:
        """Do what time asks for: called about every `idle_seconds` while partitions are held."""

    async def stop(self) -> None:
        """Write what must outlive the process; `durable` is asked, and committed, after it."""


def takes_records(role: Role) -> bool:
    """Tell whether a role takes `Records`, by its attribute `records_in_place`.

    All others take a sequence of aiokafka's ConsumerRecord.
    """
    return getattr(role, "records_in_place", False)
