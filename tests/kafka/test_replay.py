"""A topic replayed gives what the workers published: alerts, incidents, metrics, and the state."""

import asyncio
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Self

import pytest
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.admin import KafkaAdminClient
from live import as_json, config_file, driftline, eventually, poisoned, records, worker, write_lines
from logs import Shift, events, profile

from detectors.alert import instant
from detectors.errors import ConfigError
from detectors.monitor import MonitorState
from detectors.profile import render
from stream.checkpoint import pack
from stream.config import Config, KafkaConfig
from stream.config_file import load_config
from stream.connection import connection_of
from stream.replay import Replay
from tests.accounts import read_all, snapshots, take_effect, verified
from tests.verifier import Account

EVENTS = 10_000
PARTITIONS = 4


@pytest.fixture(scope="module")
def lived(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Run a worker over a log with a break in it, and stop it."""
    place = tmp_path_factory.mktemp("lived")
    prefix = f"replay-{place.name.lower()}"
    path = config_file(place, bootstrap, prefix)
    log = events(EVENTS, seed=5, shifts=(Shift(at=4_000, sigma=2.0, country="DE"),))
    values = write_lines(place / "live.jsonl", poisoned([as_json(event) for event in log]))
    (place / "profile.json").write_text(render(profile()))
    with worker(path, place / "worker.log") as process:
        driftline("profile", "push", place / "profile.json", "-c", path)
        driftline("emit", values, "-c", path, "--rate", "1500")
        metrics = f"{prefix}.metrics"
        end = events(EVENTS, seed=5)[-1].time_ms - 60_000
        eventually(
            lambda: any(
                logged["block"]["end"] >= instant(end) for _, logged in records(bootstrap, metrics)
            ),
            "everything is judged",
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    return load_config(path, {})


def packed(state: MonitorState) -> dict[str, bytes]:
    return {"order": pack(state.sources), **{k: pack(v) for k, v in state.models.items()}}


def test_a_replay_of_the_events_gives_what_was_published_and_the_state_that_was_saved(
    lived: Config,
) -> None:
    live, verdict = verified(lived)
    assert verdict.first == ""
    assert len(live.states) == PARTITIONS
    assert EVENTS - 500 < verdict.compared["events"] <= EVENTS


def test_a_replay_of_the_summaries_gives_the_same(lived: Config) -> None:
    live, _ = verified(lived)
    replay, again = Replay(lived, f"{lived.kafka.prefix}.summaries"), Account()

    async def run() -> None:
        # An observe may say more after the judges have stopped.
        ends = {p: one.manifest.next for p, one in enumerate(await snapshots(lived))}
        async for effect in replay.run(end=ends):
            take_effect(again, effect)

    asyncio.run(run())
    for kind in ("alerts", "incidents", "metrics"):
        assert again.told[kind] == live.told[kind]
    assert again.told["alerts"]
    assert [packed(state) for state in live.states] == [packed(s) for s in replay.states()]


def counted(said: str, what: str) -> int:
    """Read how many of something a backtest says it has counted."""
    found = re.search(rf"([\d,]+)\s{what}", said)
    assert found is not None
    return int(found[1].replace(",", ""))


def test_the_command_replays_a_range_and_says_what_is_not_there(
    lived: Config, tmp_path: Path
) -> None:
    kafka = lived.kafka
    config = config_file(tmp_path, kafka.bootstrap, kafka.prefix)
    topic, alerts = f"kafka:{kafka.prefix}.events", tmp_path / "alerts.jsonl"
    whole = driftline("backtest", topic, "-c", config, "--alerts", alerts)
    assert "incidents with" in whole.stdout
    assert set(verified(lived)[0].told["alerts"].values()) <= set(alerts.read_bytes().splitlines())
    half = driftline("backtest", topic, "-c", config, "--to", "0:500,1:500,2:500,3:500")
    # Rows of finished panes; where the last ones end depends on when ticks were written.
    assert 0 < counted(half.stdout, "rows") <= 2_000 < counted(whole.stdout, "rows")
    none = driftline("backtest", topic, "-c", config, "--to", "2020-01-01T00:00:00Z")
    assert "0 rows" in none.stdout
    refused = driftline("backtest", topic, "-c", config, "--from", "0:99999999", code=2)
    assert "holds offsets 0 to" in refused.stderr
    neither = driftline("backtest", topic, "-c", config, "--from", "yesterday", code=2)
    assert "neither a time" in neither.stderr


class Broker:
    """Ask the broker itself where times lie, and what a replay may have left on it."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self.admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        self.consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap)
        topics = sorted(t for t in self.consumer.topics() if t.startswith(f"{kafka.prefix}."))
        self.partitions = {
            topic: [TopicPartition(topic, n) for n in self.consumer.partitions_for_topic(topic)]
            for topic in topics
        }

    def offsets(self, topic: str, at_ms: int) -> str:
        """Write the offsets of a time as `--from` and `--to` take them."""
        found = self.consumer.offsets_for_times(dict.fromkeys(self.partitions[topic], at_ms))
        return ",".join(f"{tp.partition}:{at.offset}" for tp, at in found.items())

    def groups(self) -> dict[str, object]:
        """Give every group there is, with what it has committed."""
        names = [one["group_id"] for one in self.admin.list_groups()]
        return {name: self.admin.list_group_offsets(name)[name] for name in names}

    def traces(self) -> tuple[object, object]:
        """Give all that a replay must leave as it is."""
        every = [tp for partitions in self.partitions.values() for tp in partitions]
        return self.groups(), self.consumer.end_offsets(every)

    def watched(self, *command: object) -> tuple[str, set[str]]:
        """Run a command; give what it says, and the groups that were there meanwhile."""
        seen: set[str] = set()
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(driftline, *command)
            while not running.done():
                seen |= {one["group_id"] for one in self.admin.list_groups()}
                time.sleep(0.05)
            return running.result().stdout, seen

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.admin.close()
        self.consumer.close()


@pytest.mark.parametrize(("kind", "what"), [("events", "rows"), ("summaries", "judged")])
def test_a_range_of_time_is_what_the_broker_says_and_a_replay_leaves_no_trace(
    lived: Config, tmp_path: Path, kind: str, what: str
) -> None:
    kafka, topic = lived.kafka, f"{lived.kafka.prefix}.{kind}"
    config = config_file(tmp_path, kafka.bootstrap, kafka.prefix)
    times = sorted(r.timestamp for r in asyncio.run(read_all(connection_of(kafka), topic)))
    first, last = times[len(times) // 4], times[len(times) * 9 // 10]
    files = {kind: tmp_path / f"{kind}.jsonl" for kind in ("alerts", "incidents", "metrics")}
    options = [word for kind, path in files.items() for word in (f"--{kind}", path)]
    command = ("backtest", f"kafka:{topic}", "-c", config, *options)
    said, written = [], []
    with Broker(kafka) as broker:
        before = broker.traces()
        bounds = [(instant(at), broker.offsets(topic, at)) for at in (first, last)]
        for start, end in (*zip(*bounds, strict=True), (None, bounds[1][0]), (None, None)):
            chosen = [("--from", start)] * bool(start) + [("--to", end)] * bool(end)
            told, groups = broker.watched(*command, *(word for pair in chosen for word in pair))
            said.append(told)
            written.append([path.read_bytes() for path in files.values()])
            assert groups == before[0].keys()
            assert broker.traces() == before
        # A member of a group, or a commit, would have been seen.
        with closing(KafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=topic)) as member:
            (tp, *_) = broker.partitions[topic]
            member.assign([tp])
            member.commit({tp: OffsetAndMetadata(1, "", -1)})
        assert broker.groups().keys() - before[0].keys() == {topic}
    by_time, by_offsets, without_start, whole = said
    assert (by_time, written[0]) == (by_offsets, written[1])
    assert written[0][2]
    # Each bound leaves something out.
    counts = [counted(told, what) for told in (by_time, without_start, whole)]
    assert 0 < counts[0] < counts[1] < counts[2]


def test_only_events_and_summaries_can_be_replayed() -> None:
    with pytest.raises(ConfigError, match="cannot be replayed"):
        Replay(Config(), "driftline.alerts")
