"""One run: an emitter, workers, faults at any await, and what all of it published."""

import asyncio
import gc
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from unittest import mock

import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from live import as_json
from logs import START_MS, Shift, events, profile

from detectors.monitor import MonitorState
from simulation.clock import VirtualLoop
from simulation.cluster import Cluster, Host, Record, SimulatedConnection
from simulation.group import SESSION_SECONDS, Group, Member
from stream.checkpoint import Checkpoints
from stream.config import Config, DetectConfig, JudgeConfig, KafkaConfig, TimeConfig
from stream.control import config_record, profile_record
from stream.judge import JudgeRole
from stream.names import TopicNames
from stream.observe import ObserveRole
from stream.role import Role

__all__ = ["CONFIG", "NAMES", "Outcome", "Plan", "run"]

EVENTS = 1_200
PANE_SECONDS = 15
QUIET_SECONDS = 400.0
SETTLE_SECONDS = 4_000.0
CONFIG = Config(
    kafka=KafkaConfig(prefix="s", events_partitions=3, summaries_partitions=2),
    time=TimeConfig(pane_seconds=PANE_SECONDS, tick_seconds=10),
    detect=DetectConfig(learn_days=0.0, learn_blocks=30),
    judge=JudgeConfig(snapshot_seconds=45),
)
NAMES = TopicNames("s")
_POISON = (b"{", b"\xff", b"[]", b'{"time": 1e999, "model": "shop"}')


@dataclass(frozen=True)
class Plan:
    """Say what a seed does: how many workers of each role, and whether there are faults."""

    seed: int
    faults: bool = True
    observe: type[ObserveRole] = ObserveRole
    judge: type[JudgeRole] = JudgeRole


@dataclass
class Outcome:
    """Hold what is in the log at the end, what became of the group, and how it came to it."""

    cluster: Cluster
    states: list[MonitorState]
    lag_panes: int
    steps: int
    deaths: Counter[str] = field(default_factory=Counter)

    def records(self, topic: str) -> list[Record]:
        """Give a topic's records, partition by partition."""
        count = self.cluster.partitions[topic]
        return [r for p in range(count) for r in self.cluster.log(TopicPartition(topic, p))]


@cache
def _log() -> tuple[tuple[int, bytes], ...]:
    """Draw the events, each with the second at which it is sent; some are late, some are none."""
    drawn = random.Random(1)
    shifts = (Shift(at=400, sigma=2.5), Shift(at=800, sigma=2.5, country="DE"))
    sent = []
    for number, event in enumerate(events(EVENTS, seed=3, shifts=shifts)):
        delay = drawn.choice((0, 0, 0, 1, 2, 3)) + 40 * (drawn.random() < 0.01)
        sent.append((number + delay, as_json(event)))
        if drawn.random() < 0.01:
            sent.append((number, drawn.choice(_POISON)))
    return tuple(sorted(sent, key=lambda one: one[0]))


def run(plan: Plan) -> Outcome:
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
            return loop.run_until_complete(_World(plan).run())
        finally:
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()


class _World:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._draw = random.Random(plan.seed)
        kafka = CONFIG.kafka
        summaries, events_count = kafka.summaries_partitions, kafka.events_partitions
        partitions = dict.fromkeys((NAMES.alerts, NAMES.incidents, NAMES.rejects, NAMES.control), 1)
        partitions |= dict.fromkeys((NAMES.summaries, NAMES.state, NAMES.metrics), summaries)
        self._cluster = Cluster(self._draw, START_MS, partitions | {NAMES.events: events_count})
        self._groups = {
            "observe": Group(self._cluster, NAMES.events),
            "judge": Group(self._cluster, NAMES.summaries),
        }
        self._running: dict[asyncio.Task[None], tuple[str, Member]] = {}
        self._deaths: Counter[str] = Counter()
        self._steps = 0
        self._over = False

    async def run(self) -> Outcome:
        for record in (config_record(CONFIG), profile_record(profile(), 0)):
            control = TopicPartition(NAMES.control, 0)
            self._cluster.append(control, record.key, msgspec.json.encode(record))
        for kind, count in (("observe", 3), ("judge", 2)):
            for _ in range(self._draw.randint(1, count)):
                self._start(kind)
        looking = asyncio.create_task(self._look_after())
        emitting = asyncio.create_task(self._emit())
        if self._plan.faults:
            await self._break_things(emitting)
        await emitting
        await asyncio.sleep(QUIET_SECONDS)
        lag = await self._settle(looking)
        self._over = True
        await self._stop_all()
        looking.cancel()
        return Outcome(self._cluster, await self._states(), lag, self._steps, self._deaths)

    def _start(self, kind: str) -> None:
        """Start a process that runs one role."""
        host = Host(self._cluster)
        connection = SimulatedConnection(host)
        role: Role
        if kind == "observe":
            counts = CONFIG.kafka.events_partitions, CONFIG.kafka.summaries_partitions
            role = self._plan.observe(CONFIG, connection, counts)
        else:
            role = self._plan.judge(CONFIG, connection)
        member = Member(host, self._groups[kind], role)
        self._running[asyncio.create_task(member.run())] = (kind, member)

    async def _look_after(self) -> None:
        """Restart what died; the group notices after the session timeout."""
        while True:
            await asyncio.sleep(0.5)
            for task in [task for task in self._running if task.done()]:
                kind, member = self._running.pop(task)
                self._steps += member.steps
                if member.leaving and not task.cancelled() and task.exception() is None:
                    continue
                error = None if task.cancelled() else task.exception()
                if error is not None and not isinstance(error, KafkaError):
                    raise error
                self._deaths["killed" if error is None else type(error).__name__] += 1
                member.host.die()
                loop = asyncio.get_running_loop()
                loop.call_later(SESSION_SECONDS, self._groups[kind].leave, member)
                if not self._over:
                    loop.call_later(self._draw.uniform(0.5, 5.0), self._start, kind)

    async def _emit(self) -> None:
        """Append the events at their time, spread unevenly over the partitions."""
        count = CONFIG.kafka.events_partitions
        started = asyncio.get_running_loop().time()
        for second, value in _log():
            await asyncio.sleep(max(0.0, started + second - asyncio.get_running_loop().time()))
            partition = min(self._draw.randrange(count), self._draw.randrange(count))
            self._cluster.append(TopicPartition(NAMES.events, partition), None, value)

    async def _break_things(self, emitting: "asyncio.Task[None]") -> None:
        """Inject faults, one after the other, for as long as events come."""
        faults: Sequence[Callable[[], None]] = (
            self._kill,
            self._kill,
            self._kill,
            self._deafen,
            self._roll,
            self._silence,
            self._fail_topic,
            self._lose_acknowledgements,
            self._slow_down,
            self._jump,
            self._rebalance,
        )
        while not emitting.done():
            await asyncio.sleep(self._draw.expovariate(1 / 25.0))
            self._draw.choice(faults)()
        self._cluster.failing.clear()
        self._cluster.losing_acks, self._cluster.slow = 0.0, 1.0

    def _victim(self) -> tuple[asyncio.Task[None], Member] | None:
        living = [(t, m) for t, (_, m) in self._running.items() if not t.done() and not m.leaving]
        return self._draw.choice(living) if living else None

    def _count(self, fault: str) -> None:
        self._cluster.faults[fault] += 1

    def _kill(self) -> None:
        """Kill a process at whatever await it is; sometimes all of them."""
        victims = list(self._running) if self._draw.random() < 0.1 else []
        chosen = self._victim()
        for task in victims or ([chosen[0]] if chosen else []):
            if not task.done():
                self._running[task][1].host.die()
                task.cancel()
                self._count("killed")

    def _deafen(self) -> None:
        """Make a zombie: the group goes on without it, and it does not know for a while."""
        if chosen := self._victim():
            _, member = chosen
            seconds = self._draw.uniform(1.0, 30.0)
            member.deaf_until = asyncio.get_running_loop().time() + seconds
            group = next(g for g in self._groups.values() if member in g.members or g)
            if member in group.members:
                group.leave(member)
                asyncio.get_running_loop().call_later(seconds, self._rejoin, group, member)
                self._count("zombie")

    def _rejoin(self, group: Group, member: Member) -> None:
        if member.host.alive and not member.leaving:
            group.join(member)

    def _roll(self) -> None:
        """Start one more, and ask another to leave."""
        kind = self._draw.choice(("observe", "judge"))
        self._start(kind)
        others = [m for _, (k, m) in self._running.items() if k == kind and m.host.alive]
        others[0].leaving = True
        self._count("rolled")

    def _silence(self) -> None:
        """Let the broker be silent for a while."""
        seconds = self._draw.choice((1.0, 6.0, 30.0))
        self._cluster.silent_until = asyncio.get_running_loop().time() + seconds
        self._count("broker silent")

    def _fail_topic(self) -> None:
        """Let a topic take nothing for a while."""
        topics = (NAMES.summaries, NAMES.state, NAMES.alerts, NAMES.metrics, NAMES.rejects)
        topic = self._draw.choice(topics)
        self._cluster.failing.add(topic)
        seconds = self._draw.uniform(1.0, 20.0)
        asyncio.get_running_loop().call_later(seconds, self._cluster.failing.discard, topic)
        self._count("topic failing")

    def _lose_acknowledgements(self) -> None:
        self._cluster.losing_acks = self._draw.choice((0.0, 0.001, 0.02))
        self._count("acknowledgements at risk")

    def _slow_down(self) -> None:
        self._cluster.slow = self._draw.choice((1.0, 1.0, 10.0, 50.0))
        self._count("network slow")

    def _jump(self) -> None:
        self._cluster.jump(self._draw.randrange(20_000))
        self._count("clock jumped")

    def _rebalance(self) -> None:
        self._draw.choice(list(self._groups.values())).rebalance()
        self._count("rebalance")

    async def _settle(self, looking: "asyncio.Task[None]") -> int:
        """Wait until everything is observed and judged; give the lag in panes."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + SETTLE_SECONDS
        while clock() < deadline and (lag := self._lag_panes()) > 1:
            if looking.done():
                looking.result()
            await asyncio.sleep(5.0)
        return lag

    def _lag_panes(self) -> int:
        """Give how many panes the slowest observe partition, or judge, is behind the log."""
        now = self._cluster.now_ms // 1000 // PANE_SECONDS
        behind = 0
        for tp in self._groups["observe"].partitions:
            commit = self._groups["observe"].commits.get(tp)
            r_ms = int(commit.metadata.split()[3]) if commit else START_MS
            behind = max(behind, now - r_ms // 1000 // PANE_SECONDS)
        for tp in self._groups["judge"].partitions:
            commit = self._groups["judge"].commits.get(tp)
            left = self._cluster.read(TopicPartition(*tp), commit.offset if commit else 0, 10)
            behind = max(behind, 2 * (len(left) > 2 * CONFIG.kafka.events_partitions))
        return behind

    async def _stop_all(self) -> None:
        """Stop observe, let the judges finish, stop them: each leaves a snapshot."""
        for kind in ("observe", "judge"):
            chosen = {t: m for t, (k, m) in self._running.items() if k == kind}
            for member in chosen.values():
                member.leaving = True
            await asyncio.sleep(60.0)
            self._steps += sum(member.steps for member in chosen.values())

    async def _states(self) -> list[MonitorState]:
        """Read the snapshots that were left."""
        checkpoints = Checkpoints(SimulatedConnection(Host(self._cluster)), NAMES.state)
        count = CONFIG.kafka.summaries_partitions
        found = [await checkpoints.read(p) for p in range(count)]
        return [one.state for one in found if one is not None]
