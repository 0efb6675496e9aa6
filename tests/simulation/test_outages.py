"""Long outages: what waits is bounded and told, nobody dies of it, and nothing is lost by it."""

import asyncio

import msgspec
import pytest
from scraped import samples

from stream.config import Config
from stream.connection import Connection
from stream.judge import JudgeRole
from stream.outbox import IN_FLIGHT_MAX, Outbox
from stream.pacing import Pacing
from tests.simulation.clients import SimulatedConnection
from tests.simulation.clock import VirtualLoop
from tests.simulation.cluster import Host
from tests.simulation.group import FETCH_RECORDS_MAX
from tests.simulation.oracle import differences
from tests.simulation.world import AHEAD_PANES, NAMES, PANE_SECONDS, Plan, World, run

HOUR_SECONDS = 3_600
OUTAGE_SECONDS = 600


class OneStops(World):
    """Let one partition of the events be read by nobody for hours."""

    hours = 6
    most_panes = 0
    most_bytes = 0

    async def disturb(self, emitting: "asyncio.Task[None]") -> None:
        group = self.processes.groups["observe"]
        await asyncio.sleep(100.0)
        group.orphans = frozenset(group.partitions[2:])
        group.rebalance()
        for _ in range(0, self.hours * HOUR_SECONDS, 60):
            await asyncio.sleep(60.0)
            self._look()
        group.orphans = frozenset()
        group.rebalance()
        self.heal()
        await emitting

    def heal(self) -> None:
        """Do what else has to be done."""

    def _look(self) -> None:
        for member in self.processes.living("judge"):
            for bench in member.role._benches.values():
                type(self).most_panes = max(self.most_panes, len(bench.monitor.order.pending()))
                type(self).most_bytes = max(self.most_bytes, bench.monitor.pending_bytes)


def stopped(world: type[OneStops]) -> type[OneStops]:
    outcome = run(Plan(5, faults=False), world)
    assert differences(outcome) == []
    assert not outcome.deaths
    return world


def test_a_partition_that_stops_for_six_hours_does_not_fill_the_judges_memory() -> None:
    world = stopped(type("Paced", (OneStops,), {}))
    # Two partitions that tick, each so far ahead, and by what a fetch had brought.
    assert 0 < world.most_panes <= 2 * (AHEAD_PANES + 3) < FETCH_RECORDS_MAX
    assert 0 < world.most_bytes < 200_000


def test_without_pacing_it_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pacing, "_ahead", lambda *_: frozenset())
    world = stopped(type("Unpaced", (OneStops,), {"hours": 1}))
    assert world.most_panes > HOUR_SECONDS // PANE_SECONDS


class NarrowJudge(JudgeRole):
    """Let little wait, until somebody raises the limit."""

    bytes_max = 8_000

    def __init__(self, config: Config, connection: Connection) -> None:
        judge = msgspec.structs.replace(config.judge, pending_bytes_max=self.bytes_max)
        super().__init__(msgspec.structs.replace(config, judge=judge), connection)


class Full(OneStops):
    """Look at what a full judge says; then raise its limit, as a person would."""

    hours = 1
    told: frozenset[str] = frozenset()
    gauged: frozenset[tuple[float, int]] = frozenset()

    def _look(self) -> None:
        super()._look()
        roles = [member.role for member in self.processes.living("judge")]
        type(self).told |= {role.why_not_ready() for role in roles} - {""}
        for role in roles:
            shown = samples(role.series.render(), "driftline_pending_bytes")
            full = [(str(tp.partition), role._benches[tp].monitor) for tp in role._full]
            type(self).gauged |= {(shown[where,], one.pending_bytes) for where, one in full}

    def heal(self) -> None:
        NarrowJudge.bytes_max = 1 << 30
        for member in self.processes.living("judge"):
            self.processes.kill(member)


def test_a_full_judge_holds_and_says_so_and_goes_on_where_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Pacing, "_ahead", lambda *_: frozenset())
    monkeypatch.setattr(NarrowJudge, "bytes_max", 8_000)
    outcome = run(Plan(5, faults=False, judge=NarrowJudge), Full)
    assert differences(outcome) == []
    assert any("s.summaries" in why and "for s.events[2]" in why for why in Full.told)
    assert all("judge.pending_bytes_max" in why for why in Full.told)
    # A judge that is full applies nothing, so the gauge shows what waits to the byte.
    assert Full.gauged
    assert all(shown == waits > 0 for shown, waits in Full.gauged)
    assert max(Full.gauged) == (Full.most_bytes, Full.most_bytes)
    # What one fetch had brought comes on top.
    assert Full.most_bytes < 20_000 < unbounded_bytes()


def unbounded_bytes() -> int:
    return stopped(type("Unbounded", (OneStops,), {"hours": 1})).most_bytes


class TopicDead(World):
    """Let one topic take nothing for ten minutes."""

    topic = ""
    told: frozenset[str] = frozenset()

    async def disturb(self, emitting: "asyncio.Task[None]") -> None:
        await asyncio.sleep(100.0)
        self.cluster.failing[self.topic] = 0.0
        for _ in range(0, OUTAGE_SECONDS, 10):
            await asyncio.sleep(10.0)
            roles = [member.role for member in self.processes.living()]
            assert all(role._outbox.in_flight <= IN_FLIGHT_MAX for role in roles)
            type(self).told |= {role.why_not_ready() for role in roles} - {""}
        self.cluster.heal()
        await emitting


@pytest.mark.parametrize(
    "topic", [NAMES.alerts, NAMES.metrics, NAMES.state, NAMES.summaries, NAMES.rejects]
)
def test_a_dead_topic_is_waited_for_and_told_and_gets_every_record_once(topic: str) -> None:
    world = type("Dead", (TopicDead,), {"topic": topic})
    outcome = run(Plan(4, faults=False), world)
    assert differences(outcome) == []
    assert not outcome.deaths
    assert any(f"s for {topic} to accept" in why for why in world.told)
    keys = [record.key for record in outcome.records(NAMES.alerts)]
    assert len(keys) == len(set(keys)) > 0


def test_what_is_in_flight_is_bounded_and_arrives_once_and_in_order() -> None:
    sent = [b"%d" % n for n in range(3 * IN_FLIGHT_MAX)]

    class Sending(World):
        async def run(self) -> list[bytes]:  # type: ignore[override]
            outbox = Outbox(SimulatedConnection(Host(self.cluster)))
            await outbox.start()
            self.cluster.failing[NAMES.alerts] = 0.0

            async def give() -> None:
                for value in sent:
                    await outbox.send(NAMES.alerts, b"key", value)
                await outbox.delivered()

            giving = asyncio.create_task(give())
            await asyncio.sleep(90.0)
            assert outbox.in_flight == IN_FLIGHT_MAX
            assert (
                outbox.why_waiting() == f"waiting 90 s for {NAMES.alerts} to accept 5,000 records"
            )
            self.cluster.heal()
            await giving
            assert (outbox.in_flight, outbox.why_waiting()) == (0, "")
            return [r.value or b"" for r in self.cluster.log((NAMES.alerts, 0))]  # type: ignore[arg-type]

    async def play() -> list[bytes]:
        return await Sending(Plan(1)).run()

    loop = VirtualLoop()
    try:
        assert loop.run_until_complete(play()) == sent
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
