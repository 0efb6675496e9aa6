"""A stage: a prefix with workers, a load and a gauge; faults happen on it, and are recovered from.

Every fault needs a load that is running, and is followed by recovery and progress of both roles.
"""

import contextlib
import os
import random
import secrets
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from detectors.profile import render
from stream import localkafka
from stream.config import Config
from stream.config_file import load_config
from stream.connection import connection_of
from stream.routing import summaries_partition
from tests import live
from tests.accounts import verified
from tests.chaos.errors import errors_of
from tests.chaos.fleet import Fleet
from tests.chaos.gauge import Gauge
from tests.chaos.load import Load, profile, traffic

__all__ = ["Outcome", "Scenario", "Stage", "broker_of_its_own", "run"]


class Scenario(NamedTuple):
    """Name what happens, under how many events at which rate, to which workers (roles).

    `panes_again_max` limits the panes that may be read and told again.
    """

    name: str
    act: "Callable[[Stage], None]"
    events: int
    rate: int = 600
    workers: Sequence[str] = ("", "", "")
    panes_again_max: int | None = None


@dataclass
class Outcome:
    """Say what a scenario did, and what the verifier and the logs say about it."""

    name: str
    events: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    recoveries: list[tuple[float, str]] = field(default_factory=list)
    lost: int = 0
    doubled: int = 0
    state_equal: bool = False
    alerts: int = 0
    panes_again: int = 0
    stops_seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def worst(self) -> tuple[float, str]:
        """Give the slowest recovery, and from what."""
        return max(self.recoveries, default=(0.0, ""))


@dataclass
class Stage:
    """Hold everything that a scenario acts upon, and what it has measured."""

    fleet: Fleet
    gauge: Gauge
    load: Load
    draw: random.Random
    prefix: str
    tell: Callable[[str], None]
    outcome: Outcome

    def fault(self, name: str, act: Callable[[], object], *, kills: int = 0) -> None:
        """Let something happen under load; wait for recovery, and for progress."""
        before = self.load.sent
        deadline = time.monotonic() + 10
        while self.load.sent == before:
            assert self.load.running, f"no load is running when it comes to: {name}"
            assert time.monotonic() < deadline, f"the load stands still before: {name}"
            time.sleep(0.05)
        killed_at = time.monotonic()
        act()
        began = killed_at if kills else time.monotonic()
        self.outcome.faults[name] += 1
        self.outcome.kills += kills
        seconds = self.gauge.recovered(began)
        self.gauge.until_progress()
        self.outcome.recoveries.append((seconds, name))
        self.tell(f"  {name}: one pane of lag after {seconds:.1f} s; {self.load.sent:,} sent")

    @property
    def home(self) -> str:
        """Name the partition of summaries that the load's model is judged in."""
        return f"{self.prefix}.summaries/{summaries_partition('shop', 4)}"

    def kill_after_snapshot(self) -> None:
        """Kill the judge that has something to judge, right after a snapshot was written."""
        written = self.gauge.now().state_end
        self.gauge.until(lambda sample: sample.state_end > written, "a snapshot is written")
        os.kill(self.fleet.owner("judge", self.home), signal.SIGKILL)

    def stop_broker(self, seconds: float) -> None:
        """Let the broker stand still, connections and all."""
        pid = _broker().pid
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)

    def kill_broker(self) -> None:
        """Kill the broker, and start it again on its port and its data."""
        broker = _broker()
        os.kill(broker.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(broker.pid, 0)
        while localkafka.status() is not None:
            time.sleep(0.05)
        localkafka.start(broker.port)

    def zombie(self, role: str) -> None:
        """Let a role fall asleep until the group has gone on without it; then wake it up."""
        owned = self.home if role == "judge" else f"{self.prefix}.events/0"
        pid = self.fleet.owner(role, owned)
        self.fault(f"zombie {role} falls asleep", lambda: os.kill(pid, signal.SIGSTOP))
        self.fault(f"zombie {role} wakes up", lambda: os.kill(pid, signal.SIGCONT))


def _broker() -> localkafka.Broker:
    broker = localkafka.status()
    assert broker is not None, "the broker has ended by itself"
    return broker


@contextlib.contextmanager
def broker_of_its_own(directory: Path) -> Iterator[str]:
    """Run a Kafka that may be broken; put the environment back afterwards."""
    jars = os.environ.get("DRIFTLINE_JARS") or str(localkafka.driftline_home() / "jars")
    before = {name: os.environ.get(name) for name in ("DRIFTLINE_JARS", "DRIFTLINE_HOME")}
    os.environ |= {"DRIFTLINE_JARS": jars, "DRIFTLINE_HOME": str(directory / "home")}
    try:
        yield localkafka.start(localkafka.free_port()).bootstrap
    finally:
        localkafka.stop()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def run(
    scenario: Scenario,
    place: tuple[str, Path],
    seed: int = 0,
    tell: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Run one scenario on a prefix of its own: warm-up, faults, and the reckoning."""
    bootstrap, directory = place
    prefix = f"chaos-{scenario.name}-{secrets.token_hex(3)}"
    here = directory / prefix
    here.mkdir()
    path = live.config_file(here, bootstrap, prefix, snapshot_seconds=3)
    config = load_config(path, {})
    (here / "profile.json").write_text(render(profile()))
    values = traffic(2 * scenario.events)
    draw = random.Random(seed)
    outcome = Outcome(scenario.name)
    try:
        with Fleet(here, path, draw) as fleet, Gauge(bootstrap, prefix) as gauge:
            for only in scenario.workers:
                fleet.start(only)
            live.driftline("profile", "push", here / "profile.json", "-c", path)
            fleet.until_assigned()
            load = Load(connection_of(config.kafka), f"{prefix}.events", values, scenario.rate)
            stage = Stage(fleet, gauge, load, draw, prefix, tell, outcome)
            gauge.recovered(time.monotonic())
            gauge.until_progress()
            tell(f"  warm: {load.sent:,} events sent")
            scenario.act(stage)
            load.stop(scenario.events)
            _stop_all(stage)
            outcome.events, outcome.stops_seconds = load.sent, fleet.stops_seconds
    except (AssertionError, subprocess.TimeoutExpired) as error:
        outcome.wrong.append(f"it did not come to its end: {error}")
    outcome.wrong += errors_of([worker.log for worker in fleet.all], outcome.faults)
    if outcome.events:
        _compare(outcome, config)
        if scenario.panes_again_max is not None and outcome.panes_again > scenario.panes_again_max:
            outcome.wrong.append(f"{outcome.panes_again} panes were told again")
    return outcome


def _compare(outcome: Outcome, config: Config) -> None:
    """Let the verifier compare with the undisturbed run."""
    told, verdict = verified(config)
    outcome.lost, outcome.doubled = verdict.lost, verdict.doubled
    outcome.state_equal = not verdict.state_differs
    outcome.alerts = verdict.compared["alerts"]
    outcome.panes_again = told.repeats["parts"] // config.kafka.summaries_partitions
    outcome.wrong += verdict.first.splitlines()
    compared = verdict.compared["events"] + verdict.compared["rejects"]
    if compared != outcome.events:
        outcome.wrong.append(f"{outcome.events:,} records were sent, {compared:,} were compared")


def _stop_all(stage: Stage) -> None:
    """Wait until everything is judged; then stop the workers, the last one when it has it all."""
    stage.gauge.until_progress()
    kept: dict[str, object] = {}
    for worker in list(stage.fleet.workers):
        if kept.setdefault(worker.only, worker) is not worker:
            stage.fleet.stop(worker)
    # Whoever is left has every partition once new ticks are in each.
    ends = stage.gauge.now().events_end
    stage.gauge.until(
        lambda s: all(s.events_end[p] > n for p, n in ends.items()), "time goes on everywhere"
    )
    stage.gauge.until_progress()
    # Observe first, where it has a worker of its own: its last panes are still judged.
    for worker in sorted(stage.fleet.workers, key=lambda one: one.only, reverse=True):
        stage.fleet.stop(worker)
