"""A topic whose broker is dead, or stands still, under a worker on a real Kafka of two brokers."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
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
from tests.pages import Look, Seen, lag_of, stuck_of
from tests.second_broker import NODE, SecondBroker, second_broker
from tests.verifier import Account, applied_of

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

EVENTS = 9_000
QUIET = 3_000
# Ticks move W on between the two halves of the log.
GAP = 300
# So many after the log has been judged; the lag is shown anew every five seconds.
HEALTHY_LOOKS = 50


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
    """Hold a worker that has judged the quiet part, and has one topic on the second broker.

    `healthy` is what its judge's pages said meanwhile.
    """

    config: Config
    path: Path
    worker: Worker
    seen: Seen
    away: str
    healthy: list[Look]

    def drift(self) -> None:
        """Emit the part with the drift while the topic is away, until the judge waits for it."""
        emit(self.path, QUIET + GAP, EVENTS)
        self.until_said(f"for {self.away} to accept")

    def until_said(self, why: str) -> None:
        """Wait until the judge says why it is not ready."""
        self.seen.until(lambda looks: any(why in one.why for one in looks), why)

    def until_stuck(self) -> None:
        """Wait until deliveries have been under way for longer than ever before."""
        assert min(one.in_flight for one in self.healthy) == 0
        longest = stuck_of(self.healthy)
        self.seen.until(lambda looks: stuck_of(looks) > longest, f"longer than {longest} looks")
        assert max(one.in_flight for one in self.seen.looks) <= IN_FLIGHT_MAX

    def until_behind(self) -> None:
        """Wait until more is still to be judged than ever before."""
        largest = lag_of(self.healthy)
        self.seen.until(lambda looks: lag_of(looks) > largest, f"a lag of more than {largest}")

    def alerts(self) -> int:
        kafka = self.config.kafka
        return len(records(kafka.bootstrap, f"{kafka.prefix}.alerts"))

    def role_ends(self) -> list[object]:
        """Give the codes with which roles ended by themselves."""
        return [one["code"] for one in self.worker.lines() if one["event"] == "role ended"]

    def judge_all(self) -> None:
        """Wait until all is as it was, and everything is judged."""
        self.seen.begin_anew()
        self.seen.until(lambda looks: any(one.ready for one in looks), "it is ready again")
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
    # The judge's pages are on the port behind observe's.
    with worker(path, log, "--metrics-port", str(port)) as process, Seen(port + 1) as seen:
        driftline("profile", "push", place / "profile.json", "-c", path)
        emit(path, 0, QUIET)
        with Gauge(bootstrap, prefix) as gauge:
            gauge.until_progress()
            gauge.until(lambda sample: sample.state_end > 0, "a snapshot is written")
        shown = len(seen.looks) + HEALTHY_LOOKS
        seen.until(lambda looks: len(looks) > shown, "its pages are there")
        config = load_config(path, {})
        set_up = Stage(config, path, Worker(process, log), seen, away, seen.begin_anew())
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
        on.until_stuck()
        on.until_behind()
        # Longer than aiokafka waits for a leader: the judge crashes, and starts again.
        time.sleep(max(0.0, began + 60 - time.monotonic()))
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
        on.until_stuck()
        os.kill(on.worker.roles()["judge"], signal.SIGKILL)
        on.until_said(f"snapshot in {on.away}")
        on.seen.begin_anew()
        on.until_behind()
        brokers.second.thaw()
        on.judge_all()
        assert on.role_ends() == [-9]
    reckoning(on.config)
