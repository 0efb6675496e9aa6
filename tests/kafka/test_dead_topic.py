"""A topic whose broker is dead, or stands still, under a worker on a real Kafka of two brokers."""

import asyncio
import os
import re
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

import pytest
from kafka import KafkaConsumer
from kafka.admin import KafkaAdminClient
from live import (
    as_json,
    config_file,
    driftline,
    eventually,
    poisoned,
    records,
    worker,
    write_lines,
)
from logs import Shift, events, profile

from detectors.alert import Alert
from detectors.profile import render
from stream.config import Config
from stream.config_file import load_config
from stream.localkafka import free_port
from stream.outbox import IN_FLIGHT_MAX
from stream.replay import Replay
from stream.topics import specs
from tests.accounts import snapshots, verified
from tests.chaos.fleet import Worker
from tests.chaos.gauge import Gauge
from tests.chaos.stage import broker_of_its_own
from tests.second_broker import NODE, SecondBroker, second_broker
from tests.verifier import Account, applied_of

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

EVENTS = 9_000
QUIET = 3_000
# Ticks move W on between the two halves of the log.
GAP = 300


class Brokers(NamedTuple):
    """Say where the first broker answers, and hold the second one."""

    bootstrap: str
    second: SecondBroker


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    """Give a cluster of two; the groups' offsets lie on the first, which was there alone."""
    place = tmp_path_factory.mktemp("brokers")
    with broker_of_its_own(place) as bootstrap:
        with closing(KafkaConsumer(bootstrap_servers=bootstrap, group_id="first")) as consumer:
            consumer.subscribe(["none"])
            consumer.poll(100)
        with second_broker(place / "second") as second:
            yield Brokers(bootstrap, second)


def create_topics(bootstrap: str, prefix: str, on_second: str) -> None:
    """Create every topic as a worker would, on the first broker; one on the second."""
    request = {
        spec.name: {
            "assignments": {
                n: [NODE if spec.name == on_second else 1] for n in range(spec.partitions)
            },
            "configs": dict(spec.config),
        }
        for spec in specs(prefix)
    }
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        admin.create_topics(request, wait_for_metadata=True)


@dataclass
class Seen:
    """Hold what the judge's pages said during an outage."""

    port: int
    reasons: list[str] = field(default_factory=list)
    in_flight: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)

    def look(self) -> bool:
        """Look once; say whether it is ready.  A judge that is starting again has no pages."""
        try:
            ready, why = self._page("readyz")
            series = self._page("metrics")[1]
        except OSError:
            return False
        if not ready:
            self.reasons.append(why)
        self.in_flight += _values(series, r"driftline_deliveries_in_flight")
        self.lags += _values(series, r"driftline_consumer_lag_records\{.*summaries.*\}")
        return ready

    def _page(self, name: str) -> tuple[bool, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{name}", timeout=5) as page:
                return True, page.read().decode()
        except urllib.error.HTTPError as refused:
            if refused.code != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            with refused:
                return False, refused.read().decode()

    def until(self, look: Callable[[bool], bool], what: str) -> None:
        """Look until it is so."""
        deadline = time.monotonic() + 120
        while not look(self.look()):
            assert time.monotonic() < deadline, f"{what}: {self.reasons[-3:]}"
            time.sleep(0.5)

    def during(self, seconds: float) -> None:
        """Look for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
            time.sleep(0.5)


def _values(series: str, name: str) -> list[float]:
    return [float(value) for value in re.findall(rf"^{name} (\S+)$", series, re.MULTILINE)]


def emit(path: Path, first: int, last: int) -> None:
    """Emit a part of the log, in which the amounts rise in one country after the quiet part."""
    log = events(EVENTS, seed=5, shifts=(Shift(at=QUIET + GAP, sigma=2.0, country="DE"),))
    values = poisoned([as_json(event) for event in log[first:last]])
    emitted = write_lines(path.with_name("values.jsonl"), values)
    driftline("emit", emitted, "-c", path, "--rate", "3000")


async def alerts_before_snapshots(config: Config) -> list[Alert]:
    """Say which alerts the snapshots have passed, by an undisturbed run up to where they are."""
    states = [one.state for one in await snapshots(config)]
    assert sum(model.counts.judged for state in states for model in state.models.values()) > 0
    replay = Replay(config, f"{config.kafka.prefix}.events")
    return [e async for e in replay.run(applied=applied_of(states)) if isinstance(e, Alert)]


class Stage(NamedTuple):
    """Hold a worker that has judged the quiet part, and has one topic on the second broker."""

    config: Config
    path: Path
    worker: Worker
    seen: Seen
    away: str

    def drift(self) -> None:
        """Emit the part with the drift while the topic is away, until the judge waits for it."""
        emit(self.path, QUIET + GAP, EVENTS)
        waits = f"for {self.away} to accept"
        self.seen.until(lambda _: waits in "".join(self.seen.reasons), "it says what is away")

    def alerts(self) -> int:
        kafka = self.config.kafka
        return len(records(kafka.bootstrap, f"{kafka.prefix}.alerts"))

    def role_ends(self) -> list[object]:
        """Give the codes with which roles ended by themselves."""
        return [one["code"] for one in self.worker.lines() if one["event"] == "role ended"]

    def judge_all(self) -> None:
        """Wait until all is as it was, and everything is judged."""
        self.seen.until(lambda ready: ready, "it is ready again")
        with Gauge(self.config.kafka.bootstrap, self.config.kafka.prefix) as gauge:
            gauge.until_progress()


@contextmanager
def stage(brokers: Brokers, prefix: str, topic: str, place: Path) -> Iterator[Stage]:
    """Judge the quiet part; stop the worker at the end, and compare with an undisturbed run."""
    bootstrap, away = brokers.bootstrap, f"{prefix}.{topic}"
    create_topics(bootstrap, prefix, away)
    path = config_file(place, bootstrap, prefix, snapshot_seconds=1)
    (place / "profile.json").write_text(render(profile()))
    log, port = place / "worker.log", free_port()
    with worker(path, log, "--metrics-port", str(port)) as process:
        driftline("profile", "push", place / "profile.json", "-c", path)
        emit(path, 0, QUIET)
        with Gauge(bootstrap, prefix) as gauge:
            gauge.until_progress()
            gauge.until(lambda sample: sample.state_end > 0, "a snapshot is written")
        # The judge's pages are on the port behind observe's.
        set_up = Stage(load_config(path, {}), path, Worker(process, log), Seen(port + 1), away)
        assert set_up.alerts() == 0
        yield set_up
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def reckoning(config: Config) -> Account:
    """Compare all that was said with an undisturbed run; an alert that came twice is the same."""
    told, verdict = verified(config)
    assert verdict.differences == [], verdict.first
    assert (verdict.lost, verdict.doubled) == (0, 0)
    assert verdict.compared["alerts"] > 0
    return told


def test_alerts_wait_for_a_dead_broker_for_a_minute_and_arrive_once(
    brokers: Brokers, topic_prefix: str, tmp_path: Path
) -> None:
    with stage(brokers, topic_prefix, "alerts", tmp_path) as on:
        brokers.second.kill()
        began = time.monotonic()
        on.drift()
        # Longer than aiokafka waits for a leader: the judge crashes, and starts again.
        on.seen.during(began + 60 - time.monotonic())
        assert max(on.seen.lags) > 0
        assert 0 < max(on.seen.in_flight) <= IN_FLIGHT_MAX
        assert asyncio.run(alerts_before_snapshots(on.config)) == []
        brokers.second.start()
        on.judge_all()
        assert set(on.role_ends()) <= {70}
    assert reckoning(on.config).repeats["alerts"] == 0


def test_while_the_state_topic_stands_still_alerts_go_on_and_a_new_judge_waits_for_it(
    brokers: Brokers, topic_prefix: str, tmp_path: Path
) -> None:
    with stage(brokers, topic_prefix, "state", tmp_path) as on:
        brokers.second.freeze()
        on.drift()
        eventually(lambda: on.alerts() > 0, "alerts do not wait for snapshots")
        assert 0 < max(on.seen.in_flight) <= IN_FLIGHT_MAX
        os.kill(on.worker.roles()["judge"], signal.SIGKILL)
        waits = f"snapshot in {on.away}"
        on.seen.until(lambda _: waits in "".join(on.seen.reasons), "it says what it waits for")
        brokers.second.thaw()
        on.judge_all()
        assert on.role_ends() == [-9]
    reckoning(on.config)
