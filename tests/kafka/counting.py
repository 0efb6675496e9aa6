"""A role for tests, run as a process: its state is a function of the log, kept in the commits.

    python counting.py BOOTSTRAP TOPIC GROUP [OPTION=VALUE ...]

The state of a partition is (count, checksum): the checksum depends on the order.  Each line on
stdout tells one call, as JSON.  Options: pause (seconds slept for each envelope), poison (a
value to crash at), refuse (a value to refuse), hang (1: do not stop), take (records: as the
observe role does), holes (1: offsets may be left out), and Kafka settings: session,
start_timeout, stop_timeout, commit_interval, fetch_bytes, in_place (1, or 0: record objects),
instance.
"""

import asyncio
import json
import sys
import zlib
from collections.abc import Collection, Mapping, Sequence

from aiokafka import ConsumerRecord

from detectors.errors import StateRefused
from stream.app import Commit, Flow, KafkaSettings, Partition, run_role
from stream.connection import Connection
from stream.records import Records

MODULUS = 2**61 - 1


def step(state: tuple[int, int], value: bytes) -> tuple[int, int]:
    """Count a value, and mix it into an order-dependent checksum."""
    count, checksum = state
    return count + 1, (checksum * 1_000_003 + zlib.crc32(value)) % MODULUS


def read_state(metadata: str) -> tuple[int, int]:
    """Read the state from a commit's metadata."""
    count, checksum = metadata.split()
    return int(count), int(checksum)


class CountingRole:
    """Count and check; refuse any record that does not follow the one before it."""

    name = "count"

    def __init__(self, topic: str, group: str, options: Mapping[str, str]) -> None:
        self.topics = [topic]
        self.group = group
        self.pause_seconds = float(options.get("pause", "0"))
        self.poison = options.get("poison", "").encode()
        self.refused = options.get("refuse", "").encode()
        self.hangs = "hang" in options
        self.holes = "holes" in options
        self.records_in_place = options.get("take") == "records"
        self.state: dict[Partition, tuple[int, int]] = {}
        self.next: dict[Partition, int] = {}
        self.ready: dict[Partition, Commit] = {}
        self.busy = ""

    def tell(self, call: str, **what: object) -> None:
        sys.stdout.write(json.dumps({"call": call, **what}) + "\n")
        sys.stdout.flush()

    async def start(self, flow: Flow) -> None:
        self.flow = flow
        self.tell("start")

    async def assigned(
        self, commits: Mapping[Partition, Commit | None]
    ) -> Mapping[Partition, int | None]:
        self.enter("assigned")
        self.state, self.next, self.ready = {}, {}, {}
        starts: dict[Partition, int | None] = {}
        for tp, commit in commits.items():
            self.state[tp] = read_state(commit.metadata) if commit else (0, 0)
            self.next[tp] = commit.offset if commit else self.flow.log_start(tp)
            starts[tp] = commit.offset if commit else None
        await asyncio.sleep(0)
        told = {tp.partition: [starts[tp], *self.state[tp]] for tp in commits}
        self.tell("assigned", commits=told)
        self.busy = ""
        return starts

    async def process(
        self, partition: Partition, records: Records | Sequence[ConsumerRecord]
    ) -> None:
        self.enter("process")
        state = self.state[partition]
        for offset, value in listed(records):
            following = offset > self.next[partition] and self.holes
            assert following or offset == self.next[partition], (partition, offset, self.next)
            if value == self.poison:
                raise RuntimeError("the deadly record")
            if value == self.refused:
                raise StateRefused("the deadly record")
            state = step(state, value)
            self.next[partition] = offset + 1
        await asyncio.sleep(self.pause_seconds)
        self.state[partition] = state
        self.ready[partition] = Commit(self.next[partition], f"{state[0]} {state[1]}")
        self.busy = ""

    def durable(self) -> Mapping[Partition, Commit]:
        return self.ready

    async def revoked(self, partitions: Collection[Partition]) -> None:
        self.enter("revoked")
        await asyncio.sleep(0)
        self.tell("revoked", partitions=sorted(tp.partition for tp in partitions))
        self.busy = ""

    async def idle(self) -> None:
        self.enter("idle")
        await asyncio.sleep(0)
        self.busy = ""
        if self.flow.assignment and all(map(self.flow.caught_up, self.flow.assignment)):
            assert all(
                self.flow.position(tp) == self.next[tp]
                or (self.holes and self.flow.position(tp) > self.next[tp])
                for tp in self.flow.assignment
            )
            self.tell("caught up")

    async def stop(self) -> None:
        self.enter("stop")
        self.tell("stop")
        await asyncio.sleep(60 if self.hangs else 0)

    def enter(self, call: str) -> None:
        assert not self.busy, f"{call} was called during {self.busy}"
        self.busy = call


def listed(records: Records | Sequence[ConsumerRecord]) -> list[tuple[int, bytes]]:
    if isinstance(records, Records):
        return [(at, records.value(row) or b"") for row, at in enumerate(records.offsets.tolist())]
    return [(record.offset, record.value) for record in records]


def main() -> int:
    bootstrap, topic, group, *pairs = sys.argv[1:]
    options = dict(pair.split("=", 1) for pair in pairs)
    settings = KafkaSettings(
        connection=Connection(bootstrap),
        session_timeout_seconds=float(options.get("session", "6")),
        start_timeout_seconds=float(options.get("start_timeout", "20")),
        stop_timeout_seconds=float(options.get("stop_timeout", "9")),
        commit_interval_seconds=float(options.get("commit_interval", "0.3")),
        fetch_bytes_max=int(options.get("fetch_bytes", str(4 << 20))),
        in_place=options.get("in_place", "1") == "1",
        instance_id=options.get("instance", ""),
    )
    return run_role(CountingRole(topic, group, options), settings)


if __name__ == "__main__":
    sys.exit(main())
