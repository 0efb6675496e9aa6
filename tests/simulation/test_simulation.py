"""Whatever breaks, whenever: the alerts, metrics and state of an undisturbed run; nothing else."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from unittest import mock

import pytest
from aiokafka import ConsumerRecord
from aiokafka.structs import RecordMetadata

from detectors.errors import DriftlineError
from detectors.observe import Pane
from detectors.panes import Clock
from stream.judge import JudgeRole
from stream.observe import ObserveRole
from stream.outbox import Outbox
from stream.role import Commit, Partition
from tests.simulation import world
from tests.simulation.campaign import seeds
from tests.simulation.faults import KINDS
from tests.simulation.oracle import differences
from tests.simulation.world import CONFIG, Plan, run

SEEDS = 300
# Of batches taken; idle calls are counted apart.
STEPS_MIN = 500
# A judge may not write a snapshot before the events end.
MISSING_MAX = 1
# What the network does by itself, at the rates that the faults set.
BY_CHANCE = ("produce failed", "delivery repeated", "acknowledgement lost")


@pytest.mark.parametrize("first", range(0, SEEDS, 20))
def test_a_disturbed_run_gives_what_an_undisturbed_one_gives(first: int) -> None:
    faults: Counter[str] = Counter()
    for seed in seeds(range(first, first + 20)):
        assert not seed.found, f"seed {seed.number}: {seed.found[:5]}"
        assert seed.steps >= STEPS_MIN
        missing = {kind for kind in KINDS if not seed.faults[kind]}
        assert len(missing) <= MISSING_MAX, f"seed {seed.number}: {missing}"
        faults.update(seed.faults)
    assert all(faults[kind] >= 5 for kind in (*KINDS, *BY_CHANCE)), faults


@pytest.mark.parametrize("ticks", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_without_faults_nothing_differs_and_the_lag_is_one_pane(seed: int, ticks: bool) -> None:
    outcome = run(Plan(seed, faults=False, ticks=ticks))
    assert differences(outcome) == []
    assert outcome.lag_panes <= 1
    assert not outcome.deaths


class CommitsLate(JudgeRole):
    """Commit behind the pane before the last one of each partition."""

    def durable(self) -> Mapping[Partition, Commit]:
        late = 2 * CONFIG.kafka.events_partitions
        done = super().durable()
        return {tp: Commit(max(0, c.offset - late), c.metadata) for tp, c in done.items()}


def test_two_panes_of_lag_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "SETTLE_SECONDS", 60.0)
    assert run(Plan(0, faults=False, judge=CommitsLate)).lag_panes >= 2


def test_a_seed_gives_the_same_run_twice() -> None:
    first, second = (next(seeds([7])) for _ in range(2))
    assert first == second


class NotesSnapshots(JudgeRole):
    """Count the batches that are applied while a snapshot is being written."""

    meanwhile = 0

    async def process(self, tp: Partition, records: Sequence[ConsumerRecord]) -> None:
        before = [bench.writing for bench in self._benches.values()]
        await super().process(tp, records)
        NotesSnapshots.meanwhile += any(one is not None and not one.done() for one in before)


def test_panes_are_applied_while_a_snapshot_is_being_written() -> None:
    for seed in range(3):
        assert differences(run(Plan(seed, judge=NotesSnapshots))) == []
    assert NotesSnapshots.meanwhile > 0


class CommitsBeforeDelivery(ObserveRole):
    """Say that a pane is durable while it is still on its way."""

    async def _deliver(self, tp: Partition, pane: Pane) -> None:
        self._durable[tp] = Commit(pane.header.o + 1, pane.clock.render())
        await super()._deliver(tp, pane)


class ForgetsItsClock(ObserveRole):
    """Begin with a fresh clock after a restart."""

    async def assigned(
        self, commits: Mapping[Partition, Commit | None]
    ) -> Mapping[Partition, int | None]:
        plain = {tp: c and Commit(c.offset, Clock().render()) for tp, c in commits.items()}
        return await super().assigned(plain)


class KeepsItsOpenPane(ObserveRole):
    """Go on with the pane that was open before the rebalance."""

    async def assigned(
        self, commits: Mapping[Partition, Commit | None]
    ) -> Mapping[Partition, int | None]:
        before = dict(self._observers)
        starts = await super().assigned(commits)
        self._observers.update({tp: one for tp, one in before.items() if tp in commits})
        return starts

    async def revoked(self, tps: object) -> None:
        """Forget nothing."""


class SendsBeforeItCommits(ObserveRole):
    """Send a pane that a clock ended, and tell nobody where it ends."""

    async def _begin(self, tp: Partition, pane: Pane) -> bool:  # noqa: ARG002
        return True


class SendsWhatIsNotItsOwn(ObserveRole):
    """Send a pane though another worker has the partition by now."""

    async def _begin(self, tp: Partition, pane: Pane) -> bool:
        await super()._begin(tp, pane)
        return True


class ForgetsWhatWasBegun(ObserveRole):
    """Begin with the clock of the commit, and end its pane anew."""

    async def assigned(
        self, commits: Mapping[Partition, Commit | None]
    ) -> Mapping[Partition, int | None]:
        plain = {
            tp: c and Commit(c.offset, Clock.read(c.metadata).render()) for tp, c in commits.items()
        }
        return await super().assigned(plain)


class ReadsFromTheCommit(JudgeRole):
    """Restore the snapshot, but read on from the group's commit."""

    async def assigned(
        self, commits: Mapping[Partition, Commit | None]
    ) -> Mapping[Partition, int | None]:
        starts = await super().assigned(commits)
        moved = {tp: c.offset if c else starts[tp] for tp, c in commits.items()}
        for tp, offset in moved.items():
            self._benches[tp].next = offset or 0
        return moved


class HearsNoFailure(Outbox):
    """Take every delivery for done."""

    async def delivered(self) -> Sequence[RecordMetadata]:
        self._pending.clear()
        return []


BROKEN = {
    "commit before delivery": Plan(0, observe=CommitsBeforeDelivery),
    "clock forgotten": Plan(0, observe=ForgetsItsClock),
    "open pane kept": Plan(0, observe=KeepsItsOpenPane),
    "judge reads from the commit": Plan(0, judge=ReadsFromTheCommit),
    "end not committed": Plan(0, ticks=False, observe=SendsBeforeItCommits),
    "not fenced": Plan(0, ticks=False, observe=SendsWhatIsNotItsOwn),
    "end forgotten": Plan(0, ticks=False, observe=ForgetsWhatWasBegun),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_role_is_caught(name: str) -> None:
    assert any(_differs(replace(BROKEN[name], seed=seed)) for seed in range(40))


def test_a_failure_that_is_not_heard_is_caught() -> None:
    with (
        mock.patch("stream.observe.Outbox", HearsNoFailure),
        mock.patch("stream.judge.Outbox", HearsNoFailure),
    ):
        assert any(_differs(Plan(seed)) for seed in range(40))


def _differs(plan: Plan) -> bool:
    try:
        return bool(differences(run(plan)))
    except (DriftlineError, AssertionError):
        return True
