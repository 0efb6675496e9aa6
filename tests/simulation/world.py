"""One run: an emitter, workers, faults at any await, and what all of it published."""

import asyncio
import gc
import random
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from unittest import mock

import msgspec
from aiokafka import TopicPartition

from detectors.monitor import MonitorState
from detectors.panes import decode_header
from stream.checkpoint import Checkpoints, Restored
from stream.config import Config, DetectConfig, JudgeConfig, KafkaConfig, TimeConfig
from stream.control import config_record, profile_record
from stream.judge import JudgeRole
from stream.names import TopicNames
from stream.observe import ObserveRole
from stream.role import Role
from tests.live import as_json
from tests.logs import START_MS, Shift, events, profile
from tests.simulation.clients import SimulatedConnection
from tests.simulation.clock import VirtualLoop
from tests.simulation.cluster import Cluster, Host, Record
from tests.simulation.faults import Faults
from tests.simulation.group import Group
from tests.simulation.processes import Processes

__all__ = ["AHEAD_PANES", "CONFIG", "NAMES", "PANE_SECONDS", "Outcome", "Plan", "World", "run"]

EVENTS = 1_000
PANE_SECONDS = 15
AHEAD_PANES = 2
QUIET_SECONDS = 200.0
SETTLE_SECONDS = 4_000.0
CONFIG = Config(
    kafka=KafkaConfig(prefix="s", events_partitions=3, summaries_partitions=2),
    time=TimeConfig(pane_seconds=PANE_SECONDS, tick_seconds=10),
    detect=DetectConfig(learn_days=0.0, learn_blocks=30),
    judge=JudgeConfig(snapshot_seconds=45, max_ahead_panes=AHEAD_PANES),
)
NAMES = TopicNames("s")
_POISON = (b"{", b"\xff", b"[]", b'{"time": 1e999, "model": "shop"}')


@dataclass(frozen=True)
class Plan:
    """Say what a seed does: how many workers of each role, whether faults and ticks come."""

    seed: int
    faults: bool = True
    ticks: bool = True
    observe: type[ObserveRole] = ObserveRole
    judge: type[JudgeRole] = JudgeRole

    @property
    def config(self) -> Config:
        """Give the configuration of all workers."""
        time = msgspec.structs.replace(CONFIG.time, ticks=self.ticks)
        return msgspec.structs.replace(CONFIG, time=time)


@dataclass
class Outcome:
    """Hold what is in the log at the end, what became of the group, and how it came to it."""

    cluster: Cluster
    plan: Plan
    snapshots: list[Restored | None]
    lag_panes: int
    steps: int
    idle_steps: int
    deaths: Counter[str] = field(default_factory=Counter)

    @property
    def states(self) -> list[MonitorState]:
        """Give what the judges left."""
        return [one.state for one in self.snapshots if one is not None]

    def records(self, topic: str) -> list[Record]:
        """Give a topic's records, partition by partition."""
        count = self.cluster.partitions[topic]
        return [r for p in range(count) for r in self.cluster.log(TopicPartition(topic, p))]


@cache
def _log() -> tuple[tuple[int, bytes], ...]:
    """Draw the events, each with the second at which it is sent; some are late, some are none."""
    drawn = random.Random(1)
    shifts = (Shift(at=200, sigma=2.5), Shift(at=450, sigma=2.5, country="DE"))
    sent = []
    for number, event in enumerate(events(EVENTS, seed=3, shifts=shifts)):
        delay = drawn.choice((0, 0, 0, 1, 2, 3)) + 40 * (drawn.random() < 0.01)
        sent.append((number + delay, as_json(event)))
        if drawn.random() < 0.01:
            sent.append((number, drawn.choice(_POISON)))
    return tuple(sorted(sent, key=lambda one: one[0]))


def run(plan: Plan, world: "type[World] | None" = None) -> Outcome:
    """Run one seed to its end; the same seed gives the same run."""
    loop = VirtualLoop()
    never = "stream.observe.warm_observe", "stream.judge.warm_judge"
    with (
        mock.patch.object(gc, "freeze"),
        mock.patch.object(gc, "set_threshold"),
        mock.patch(never[0]),
        mock.patch(never[1]),
    ):
        try:
            return loop.run_until_complete(_run(plan, world or World))
        finally:
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()


async def _run(plan: Plan, world: "type[World]") -> Outcome:
    return await world(plan).run()


class World:
    """Set a run up, and play it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._draw = random.Random(plan.seed)
        kafka = CONFIG.kafka
        summaries, events_count = kafka.summaries_partitions, kafka.events_partitions
        partitions = dict.fromkeys((NAMES.alerts, NAMES.incidents, NAMES.rejects, NAMES.control), 1)
        partitions |= dict.fromkeys((NAMES.summaries, NAMES.state, NAMES.metrics), summaries)
        self.cluster = Cluster(self._draw, START_MS, partitions | {NAMES.events: events_count})
        groups = {
            "observe": Group(self.cluster, NAMES.events),
            "judge": Group(self.cluster, NAMES.summaries),
        }
        makers = {"observe": self._observe, "judge": self._judge}
        self.processes = Processes(self.cluster, groups, makers)

    async def run(self) -> Outcome:
        """Run to the end; whatever a role raises that is not the network's ends it at once."""
        for record in (config_record(self._plan.config), profile_record(profile(), 0)):
            control = TopicPartition(NAMES.control, 0)
            self.cluster.append(control, record.key, msgspec.json.encode(record))
        broken, playing = self.processes.broken, asyncio.create_task(self._play())
        await asyncio.wait((playing, broken), return_when=asyncio.FIRST_COMPLETED)
        if broken.done():
            broken.result()
        snapshots, processes = await self._snapshots(), self.processes
        return Outcome(
            self.cluster,
            self._plan,
            snapshots,
            playing.result(),
            processes.steps,
            processes.idle_steps,
            processes.deaths,
        )

    async def _play(self) -> int:
        for kind, count in (("observe", 3), ("judge", 2)):
            for _ in range(self._draw.randint(1, count)):
                self.processes.start(kind)
        emitting = asyncio.create_task(self._emit())
        await self.disturb(emitting)
        await emitting
        await asyncio.sleep(QUIET_SECONDS)
        lag = await self._settle()
        await self.processes.stop()
        return lag

    async def disturb(self, emitting: "asyncio.Task[None]") -> None:
        """Let things go wrong while events come."""
        if self._plan.faults:
            await Faults(self.processes, NAMES).inject(emitting)

    def _observe(self, host: Host) -> Role:
        counts = CONFIG.kafka.events_partitions, CONFIG.kafka.summaries_partitions
        return self._plan.observe(self._plan.config, SimulatedConnection(host), counts)

    def _judge(self, host: Host) -> Role:
        return self._plan.judge(self._plan.config, SimulatedConnection(host))

    async def _emit(self) -> None:
        """Append the events at their time, spread unevenly over the partitions."""
        count = CONFIG.kafka.events_partitions
        started = asyncio.get_running_loop().time()
        for second, value in _log():
            await asyncio.sleep(max(0.0, started + second - asyncio.get_running_loop().time()))
            partition = min(self._draw.randrange(count), self._draw.randrange(count))
            self.cluster.append(TopicPartition(NAMES.events, partition), None, value)

    async def _settle(self) -> int:
        """Wait until everything is observed and judged; give the lag in panes."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + SETTLE_SECONDS
        while (lag := self._lag_panes()) > 1 and clock() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(5.0)
        return lag

    def _lag_panes(self) -> int:
        """Give how many panes the slowest observe partition, or judge, is behind the log."""
        now = self.cluster.now_ms // 1000 // PANE_SECONDS
        observe, judge = (self.processes.groups[kind] for kind in ("observe", "judge"))
        behind = 0
        for tp in observe.partitions:
            commit = observe.commits.get(tp)
            r_ms = int(commit.metadata.split()[3]) if commit else START_MS
            behind = max(behind, now - r_ms // 1000 // PANE_SECONDS)
        for tp in judge.partitions:
            commit = judge.commits.get(tp)
            left = self.cluster.read(TopicPartition(*tp), commit.offset if commit else 0, 1_000)
            headers = [decode_header(record.value or b"") for record in left]
            panes = {(one.topic, one.partition, one.a, one.number) for one in headers}
            behind = max([behind, *Counter(pane[:2] for pane in panes).values()])
        return behind

    async def _snapshots(self) -> list[Restored | None]:
        """Read the snapshots that were left."""
        checkpoints = Checkpoints(SimulatedConnection(Host(self.cluster)), NAMES.state)
        count = CONFIG.kafka.summaries_partitions
        return [await checkpoints.read(p) for p in range(count)]
