"""A topic replayed gives what the workers published: alerts, incidents, metrics, and the state."""

import asyncio
import json
import signal
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition
from live import as_json, config_file, driftline, eventually, records, worker, write_lines
from logs import Shift, events, profile

from detectors.alert import Alert, Incident, encode, instant
from detectors.errors import ConfigError
from detectors.monitor import MonitorState
from detectors.profile import render
from stream.checkpoint import Checkpoints, pack
from stream.config import Config
from stream.config_file import load_config
from stream.connection import Connection
from stream.replay import Applied, Effect, Replay

PARTITIONS = 4


@pytest.fixture(scope="module")
def lived(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Run a worker over a log with a break in it, and stop it."""
    place = tmp_path_factory.mktemp("lived")
    prefix = f"replay-{place.name.lower()}"
    path = config_file(place, bootstrap, prefix)
    log = events(10_000, seed=5, shifts=(Shift(at=4_000, sigma=2.0, country="DE"),))
    values = write_lines(place / "live.jsonl", [as_json(event) for event in log])
    (place / "profile.json").write_text(render(profile()))
    with worker(path, place / "worker.log") as process:
        driftline("profile", "push", place / "profile.json", "-c", path)
        driftline("emit", values, "-c", path, "--rate", "4000")
        metrics = f"{prefix}.metrics"
        end = events(10_000, seed=5)[-1].time_ms - 60_000
        eventually(
            lambda: any(
                logged["block"]["end"] >= instant(end) for _, logged in records(bootstrap, metrics)
            ),
            "everything is judged",
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    return load_config(path, {})


def published(config: Config) -> dict[str, set[str]]:
    """Give what is in the output topics."""
    prefix, bootstrap = config.kafka.prefix, config.kafka.bootstrap
    kinds = ("alerts", "incidents", "metrics")
    found = {kind: records(bootstrap, f"{prefix}.{kind}") for kind in kinds}
    return {
        kind: {json.dumps(value.get("alert", value), sort_keys=True) for _, value in rows}
        for kind, rows in found.items()
    }


def told(effects: list[Effect]) -> dict[str, set[str]]:
    """Give the same of a replay."""
    found: dict[str, set[str]] = {"alerts": set(), "incidents": set(), "metrics": set()}
    for effect in effects:
        kind = "alerts" if isinstance(effect, Alert) else "metrics"
        kind = "incidents" if isinstance(effect, Incident) else kind
        found[kind].add(json.dumps(json.loads(encode(effect)), sort_keys=True))
    return found


def replayed(
    config: Config,
    topic: str,
    applied: Applied | None = None,
) -> tuple[list[Effect], Replay]:
    replay = Replay(config, f"{config.kafka.prefix}.{topic}")

    async def run() -> list[Effect]:
        return [effect async for effect in replay.run(applied=applied)]

    return asyncio.run(run()), replay


def saved(config: Config) -> list[MonitorState]:
    """Read the snapshots that the stopped judges left."""
    names = f"{config.kafka.prefix}.state"
    checkpoints = Checkpoints(Connection(config.kafka.bootstrap), names)

    async def read() -> list[MonitorState]:
        found = [await checkpoints.read(p) for p in range(config.kafka.summaries_partitions)]
        return [one.state for one in found if one is not None]

    return asyncio.run(read())


def packed(state: MonitorState) -> dict[str, bytes]:
    return {"order": pack(state.sources), **{k: pack(v) for k, v in state.models.items()}}


def test_a_replay_of_the_events_gives_what_was_published_and_the_state_that_was_saved(
    lived: Config,
) -> None:
    states = saved(lived)
    assert len(states) == PARTITIONS
    applied = {
        k: {(s.topic, s.partition): s.next for s in state.sources} for k, state in enumerate(states)
    }
    effects, replay = replayed(lived, "events", applied=applied)
    live = published(lived)
    assert min(map(len, live.values())) > 0
    assert live == told(effects)
    assert [packed(state) for state in states] == [packed(state) for state in replay.states()]
    assert replay.totals.accepted == 10_000
    assert replay.totals.read == replay.totals.accepted + _ticks(lived)


def _ticks(config: Config) -> int:
    """Count the ticks before the last pane's end; the consumer here is not ours."""
    consumer = KafkaConsumer(bootstrap_servers=config.kafka.bootstrap)
    ends = {(source.topic, source.partition): source.next for source in saved(config)[0].sources}
    tps = [TopicPartition(topic, number) for topic, number in ends]
    consumer.assign(tps)
    consumer.seek_to_beginning(*tps)
    ticks = 0
    while any(consumer.position(tp) < ends[tp] for tp in tps):
        for tp, batch in consumer.poll(timeout_ms=200).items():
            ticks += sum(("driftline", b"tick") in r.headers for r in batch if r.offset < ends[tp])
    consumer.close()
    return ticks


def test_a_replay_of_the_summaries_gives_the_same(lived: Config) -> None:
    effects, replay = replayed(lived, "summaries")
    assert published(lived) == told(effects)
    assert [packed(state) for state in saved(lived)] == [packed(s) for s in replay.states()]


def test_the_command_replays_a_range_and_says_what_is_not_there(
    lived: Config, tmp_path: Path
) -> None:
    kafka = lived.kafka
    config = config_file(tmp_path, kafka.bootstrap, kafka.prefix)
    topic, alerts = f"kafka:{kafka.prefix}.events", tmp_path / "alerts.jsonl"
    whole = driftline("backtest", topic, "-c", config, "--alerts", alerts)
    assert "10,000 judged" not in whole.stdout
    assert "incidents with" in whole.stdout
    assert published(lived)["alerts"] <= {
        json.dumps(json.loads(line), sort_keys=True) for line in alerts.read_text().splitlines()
    }
    half = driftline("backtest", topic, "-c", config, "--to", "0:500,1:500,2:500,3:500")
    assert "2,000 rows" in half.stdout
    none = driftline("backtest", topic, "-c", config, "--to", "2020-01-01T00:00:00Z")
    assert "0 rows" in none.stdout
    refused = driftline("backtest", topic, "-c", config, "--from", "0:99999999", code=2)
    assert "holds offsets 0 to" in refused.stderr
    neither = driftline("backtest", topic, "-c", config, "--from", "yesterday", code=2)
    assert "neither a time" in neither.stderr


def test_only_events_and_summaries_can_be_replayed() -> None:
    with pytest.raises(ConfigError, match="cannot be replayed"):
        Replay(Config(), "driftline.alerts")
