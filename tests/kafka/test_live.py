"""A worker on a real Kafka says what a backtest of the same events says, byte for byte."""

import json
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition
from live import (
    DRIFTLINE,
    as_json,
    config_file,
    driftline,
    eventually,
    kill,
    records,
    worker,
    write_lines,
)
from logs import Shift, events, profile

from detectors.alert import encode
from detectors.profile import render
from stream.backtest import Backtest
from stream.config_file import load_config
from stream.connection import Connection
from stream.names import TopicNames
from stream.watermarks import watermarks

EVENTS = 14_000
# One break before the half at which workers are stopped or killed, one after it.
BROKEN_AT = {"DE": 4_000, "FR": 9_000}
RATE = 1_400
# What the last events leave open, a live run closes only as time goes on.
OPEN_MS = 120_000
POISON = (
    b"{",
    b"[]",
    b'{"time": NaN}',
    b'{"time": 1e999, "model": "shop"}',
    b"\xff\xfe",
    b"[" * 99,
)


@pytest.fixture(scope="module")
def log() -> list[bytes]:
    """Give the events of a shop whose amounts rise in one country, and later in another."""
    shifts = tuple(Shift(at=at, sigma=2.0, country=c) for c, at in BROKEN_AT.items())
    return [as_json(event) for event in events(EVENTS, seed=5, shifts=shifts)]


@pytest.fixture(scope="module")
def expected(log: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Give the alerts and incidents of the backtest, as far as a live run closes them."""
    path = write_lines(tmp_path_factory.mktemp("backtest") / "events.jsonl", log)
    config = load_config(config_file(path.parent, "", "backtest"), {})
    found = Backtest(config, [profile()]).run([path])
    kept = closed([json.loads(encode(e)) for e in found])
    told = [json.loads(text) for text in kept]
    assert {e["slice"].get("country") for e in told if "slice" in e} >= set(BROKEN_AT)
    assert any("causes" in e and "alerts" in e for e in told)
    return kept


def closed(told: list[dict[str, object]]) -> set[str]:
    """Keep what was told before the open end, as canonical text."""
    end = events(EVENTS, seed=5)[-1].time_ms - OPEN_MS
    return {
        json.dumps(a, sort_keys=True)
        for a in told
        if datetime.fromisoformat(str(a["time"])).timestamp() * 1000 <= end
    }


def published(bootstrap: str, prefix: str) -> set[str]:
    """Give the alerts and incidents; a key that came twice has come with the same bytes."""
    by_key: dict[str, str] = {}
    alerts = [(k, v["alert"]) for k, v in records(bootstrap, f"{prefix}.alerts")]
    for key, value in [*alerts, *records(bootstrap, f"{prefix}.incidents")]:
        body = json.dumps(value, sort_keys=True)
        assert by_key.setdefault(key, body) == body, f"two bodies for {key}"
    return closed([json.loads(body) for body in by_key.values()])


def restored(*logs: Path) -> bool:
    """Say whether any of these workers went on from a snapshot."""
    return any('"event": "restored"' in path.read_text() for path in logs)


@contextmanager
def emitting(directory: Path, config: Path, values: list[bytes]) -> Iterator[None]:
    """Send the values while something else happens; all must have been sent at the end."""
    path = write_lines(directory / "live.jsonl", values)
    command = [*DRIFTLINE, "emit", str(path), "-c", str(config), "--rate", str(RATE)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def emit(
    directory: Path, config: Path, values: list[bytes], *options: object, rate: int = RATE
) -> None:
    """Push the profile and send the values."""
    pushed = directory / "profile.json"
    pushed.write_text(render(profile()))
    driftline("profile", "push", pushed, "-c", config)
    path = write_lines(directory / "live.jsonl", values)
    driftline("emit", path, "-c", config, "--rate", rate, *options)


def test_two_workers_one_killed_publish_the_backtests_alerts(
    bootstrap: str, topic_prefix: str, tmp_path: Path, log: list[bytes], expected: set[str]
) -> None:
    config = config_file(tmp_path, bootstrap, topic_prefix, snapshot_seconds=1)
    logs = [tmp_path / f"w{i}.log" for i in range(3)]
    with worker(config, logs[0]) as first, worker(config, logs[1]):
        driftline("profile", "push", _profile_file(tmp_path), "-c", config)
        with emitting(tmp_path, config, log):
            eventually(lambda: bool(published(bootstrap, topic_prefix)), "the first alert")
            kill(first)
            with worker(config, logs[2]):
                eventually(lambda: published(bootstrap, topic_prefix) >= expected, "all alerts")
                eventually(lambda: restored(*logs), "a judge goes on from a snapshot")
    assert published(bootstrap, topic_prefix) == expected
    told = "".join(path.read_text() for path in logs)
    assert '"level": "error"' not in told, told


def test_arrow_messages_give_the_alerts_of_the_same_events_in_json(
    bootstrap: str, topic_prefix: str, tmp_path: Path, log: list[bytes], expected: set[str]
) -> None:
    config = config_file(tmp_path, bootstrap, topic_prefix)
    with worker(config, tmp_path / "w.log"):
        emit(tmp_path, config, log, "--format", "arrow", "--rows", 50)
        eventually(lambda: published(bootstrap, topic_prefix) >= expected, "all alerts")
    assert published(bootstrap, topic_prefix) == expected
    events = TopicNames(topic_prefix).events
    with closing(KafkaConsumer(bootstrap_servers=bootstrap)) as consumer:
        ends = consumer.end_offsets([TopicPartition(events, n) for n in range(4)])
    # As few records as that are messages of many events, not events.
    assert 4 <= sum(ends.values()) < EVENTS / 25


def test_poison_among_the_events_is_rejected_and_changes_no_alert(
    bootstrap: str, topic_prefix: str, tmp_path: Path, log: list[bytes], expected: set[str]
) -> None:
    config = config_file(tmp_path, bootstrap, topic_prefix)
    draw = random.Random(3)
    mixed = [
        v
        for value in log
        for v in ([value, draw.choice(POISON)] if draw.random() < 0.01 else [value])
    ]
    poisoned = len(mixed) - len(log)
    assert poisoned > 100
    with worker(config, tmp_path / "w.log"):
        emit(tmp_path, config, mixed)
        eventually(
            lambda: published(bootstrap, topic_prefix) >= expected, "all alerts are published"
        )
        eventually(
            lambda: len(records(bootstrap, f"{topic_prefix}.rejects")) >= poisoned, "all rejects"
        )
    assert published(bootstrap, topic_prefix) == expected
    rejects = Counter(value["code"] for _, value in records(bootstrap, f"{topic_prefix}.rejects"))
    assert rejects.total() == poisoned
    assert set(rejects) <= {"json", "not_object", "number_range", "encoding", "depth", "time_type"}


def test_a_stopped_worker_leaves_a_snapshot_and_the_next_goes_on_from_it(
    bootstrap: str, topic_prefix: str, tmp_path: Path, log: list[bytes], expected: set[str]
) -> None:
    config = config_file(tmp_path, bootstrap, topic_prefix)
    driftline("profile", "push", _profile_file(tmp_path), "-c", config)
    with emitting(tmp_path, config, log):
        with worker(config, tmp_path / "w0.log") as first:
            eventually(lambda: bool(published(bootstrap, topic_prefix)), "the first alert")
            first.send_signal(signal.SIGTERM)
            assert first.wait(12) == 0
        with worker(config, tmp_path / "w1.log"):
            eventually(lambda: published(bootstrap, topic_prefix) >= expected, "all alerts")
            eventually(lambda: restored(tmp_path / "w1.log"), "the judge goes on from a snapshot")
    assert published(bootstrap, topic_prefix) == expected


def test_a_worker_with_another_semantic_configuration_is_refused(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    config = config_file(tmp_path, bootstrap, topic_prefix)
    driftline("profile", "push", _profile_file(tmp_path), "-c", config)
    config.write_text(config.read_text() + "[time]\nlateness_seconds = 7\n")
    with worker(config, tmp_path / "w.log") as refused:
        assert refused.wait(30) == 2
    assert "differ" in (tmp_path / "w.log").read_text()


def test_events_that_the_topic_has_passed_are_not_emitted_by_mistake(
    bootstrap: str, topic_prefix: str, tmp_path: Path, log: list[bytes]
) -> None:
    config = config_file(tmp_path, bootstrap, topic_prefix)
    with worker(config, tmp_path / "w.log"):
        emit(tmp_path, config, log[:2_000], rate=4_000)
        path = write_lines(tmp_path / "again.jsonl", log[:2_000])
        names = TopicNames(topic_prefix)
        end = events(2_000, seed=5)[-1].time_ms - 20_000
        eventually(
            lambda: (
                [w > end for w in watermarks(Connection(bootstrap), names).values()] == [True] * 4
            ),
            "observe has committed nearly everything",
        )
        refused = driftline("emit", path, "-c", config, code=2)
    assert "--retime now" in refused.stderr


def _profile_file(directory: Path) -> Path:
    path = directory / "profile.json"
    path.write_text(render(profile()))
    return path
