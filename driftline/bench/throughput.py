"""Throughput: driftline's worker against a naive one, on the same events, core and broker.

One topic of a real broker is filled once.  Each round then runs the naive worker on its
first events and the driftline worker on all of them, each pinned to the same one core (the
broker is not); so what else the machine does meets both.

    naive      from its first event taken to its last one done
    driftline  from the log line with which observe takes its partitions, before its first
               fetch, to the last commit of observe *and* judge, asked for every 10 ms
"""

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec

from detectors.errors import DriftlineError
from detectors.fit import fit
from detectors.profile import Profile
from driftline.bench.events import START, events
from driftline.bench.log import EventLog, event_log
from driftline.bench.processes import Bench, Process, core_to_pin, running
from stream.config import Config
from stream.config_file import load_config
from stream.connection import connection_of
from stream.decode.json_events import decode
from stream.fitting import fit_options
from stream.names import TopicNames
from stream.pushing import push_profile
from stream.worker import prepare_topics

__all__ = ["Measured", "Plan", "Round", "measure"]

_REFERENCE_EVENTS = 60_000
_REFERENCE_PER_SECOND = 100
_START_SECONDS = 120.0
_SILENT_SECONDS = 120.0
_POLL_SECONDS = 0.05


class Plan(NamedTuple):
    """Say what to measure: events for each worker, rounds, the seed, and naive seconds at most."""

    events: int
    naive_events: int
    rounds: int
    seed: int = 1
    naive_seconds: float = 30.0


class Measured(msgspec.Struct, frozen=True):
    """Hold one worker's result: events, and the seconds that they took."""

    events: int
    seconds: float

    @property
    def rate(self) -> float:
        """Give events a second."""
        return self.events / self.seconds


class Round(NamedTuple):
    """Hold both workers' results of one round."""

    naive: Measured
    driftline: Measured

    @property
    def ratio(self) -> float:
        """Say how many times faster driftline was."""
        return self.driftline.rate / self.naive.rate


class _Place(NamedTuple):
    """Hold what every round needs."""

    plan: Plan
    config: Config
    config_path: Path | None
    bench: Bench
    log: EventLog
    profile: Profile


def measure(
    plan: Plan, config_path: Path | None, bootstrap: str, tell: Callable[[str], None]
) -> Iterator[Round]:
    """Fill a topic, and give one round after the other; nothing stays on the broker.

    Raises
    ------
    DriftlineError
        If a worker ends, hangs, or counts other events than it was given.
    """
    prefix = f"bench-{secrets.token_hex(4)}"
    environ = {"DRIFTLINE_KAFKA_BOOTSTRAP": bootstrap, "DRIFTLINE_KAFKA_PREFIX": prefix}
    config = load_config(config_path, os.environ | environ)
    tell(f"Fitting a profile on {_REFERENCE_EVENTS:,} reference events")
    profile = _profile(plan, config)
    connection = connection_of(config.kafka)
    partitions = prepare_topics(config.kafka, connection)
    with (
        event_log(connection, TopicNames(prefix), partitions) as log,
        TemporaryDirectory(prefix="driftline-bench-") as directory,
    ):
        _fill(plan, log, tell)
        bench = Bench(core_to_pin(), Path(directory), environ)
        place = _Place(plan, config, config_path, bench, log, profile)
        for number in range(1, plan.rounds + 1):
            tell(f"Round {number} of {plan.rounds}: the naive worker")
            naive = _run_naive(place, bootstrap, number)
            tell(f"Round {number} of {plan.rounds}: the driftline worker")
            yield Round(naive, _run_driftline(place))
            log.clear(keep_events=True)


def _profile(plan: Plan, config: Config) -> Profile:
    """Fit the profile on events of the same kind, drawn with another seed, from a day before."""
    chunks = events(
        _REFERENCE_EVENTS,
        plan.seed + 1,
        start=START - timedelta(days=1),
        events_per_second=_REFERENCE_PER_SECOND,
    )
    reference = [e for c in chunks for e in decode(c, None, config.limits).events]
    return fit(reference, fit_options(config, reference), config.policy)


def _fill(plan: Plan, log: EventLog, tell: Callable[[str], None]) -> None:
    written = 0

    def show(more: int) -> None:
        nonlocal written
        written += more
        tell(f"Writing events: {written:,} of {plan.events:,}")

    log.fill(events(plan.events, plan.seed), show)


def _run_naive(place: _Place, bootstrap: str, number: int) -> Measured:
    """Let the naive worker measure itself on the topic's first events."""
    plan, names = place.plan, place.log.names
    arguments = ["driftline.bench.naive", "--bootstrap", bootstrap, "--topic", names.events]
    arguments += ["--group", f"{names.prefix}.naive-{number}"]
    arguments += ["--partitions", str(place.config.kafka.events_partitions)]
    arguments += ["--events", str(plan.naive_events), "--seconds", str(plan.naive_seconds)]
    result = place.bench.directory / f"naive-{number}.json"
    arguments += ["--result", str(result)]
    with running(place.bench, "naive", arguments) as process:
        line = process.result(result, _START_SECONDS + plan.naive_seconds)
    return msgspec.json.decode(line, type=Measured)


def _run_driftline(place: _Place) -> Measured:
    """Run judge and observe, as `driftline worker` does, until both have committed it all."""
    prepare_topics(place.config.kafka, connection_of(place.config.kafka))
    asyncio.run(push_profile(place.config, place.profile))
    arguments = ["driftline", "worker"]
    if place.config_path is not None:
        arguments += ["--config", str(place.config_path.absolute())]
    with running(place.bench, "judge", [*arguments, "--only", "judge"]) as judge:
        judge.logged("assigned", _START_SECONDS)
        with running(place.bench, "observe", [*arguments, "--only", "observe"]) as observe:
            started = observe.logged("assigned", _START_SECONDS)
            _await_commits(place, (observe, judge))
            seconds = time.time() - started
    _check(place.plan, place.log)
    return Measured(place.plan.events, seconds)


def _await_commits(place: _Place, processes: Sequence[Process]) -> None:
    """Wait until observe has committed every event, and then judge every summary."""
    log, names = place.log, place.log.names
    deadline = time.monotonic() + _SILENT_SECONDS + place.plan.events / 1000
    for group, topic in (
        (names.observe_group, names.events),
        (names.judge_group, names.summaries),
    ):
        while not log.committed(group, topic):
            for process in processes:
                process.check_alive()
            if time.monotonic() > deadline:
                raise DriftlineError(f"The group {group} does not get to the end of {topic}.")
            time.sleep(_POLL_SECONDS)


def _check(plan: Plan, log: EventLog) -> None:
    """Refuse a run whose summaries do not hold every event once."""
    counted = log.counted()
    ticks = counted.read - counted.accepted
    if counted.accepted != plan.events or counted.summarised != plan.events:
        raise DriftlineError(
            f"The topic holds {plan.events:,} events, but the summaries say that "
            f"{counted.accepted:,} were accepted and {counted.summarised:,} summarised "
            f"({ticks:,} other records): this is a bug, and the rate means nothing."
        )
