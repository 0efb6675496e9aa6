"""What recovery needs is gone from Kafka: refused with both offsets, or found elsewhere."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from live import as_json, config_file, driftline, poisoned, worker, write_lines
from logs import Shift, events, profile

from detectors.panes import Header, decode_part
from detectors.profile import render
from stream.config_file import load_config
from stream.connection import Connection
from stream.names import TopicNames
from stream.routing import summaries_partition
from tests.accounts import read_all, snapshots
from tests.chaos.gauge import Gauge

# Two runs of a worker each, one after the other.
pytestmark = pytest.mark.timeout(300)

EVENTS = 6_000
GAP = 300


@pytest.fixture
def config(bootstrap: str, topic_prefix: str, tmp_path: Path) -> Path:
    """Let a worker judge the first half of a log, and stop it."""
    path = config_file(tmp_path, bootstrap, topic_prefix)
    (tmp_path / "profile.json").write_text(render(profile()))
    driftline("profile", "push", tmp_path / "profile.json", "-c", path)
    run(path, half(0))
    return path


def half(number: int) -> list[bytes]:
    """Give the first half of a log, or the second; ticks move W on between them."""
    log = events(EVENTS, seed=5, shifts=(Shift(at=1_500, sigma=2.0, country="DE"),))
    middle = EVENTS // 2
    return [as_json(event) for event in (log[:middle], log[middle + GAP :])[number]]


def run(path: Path, values: Sequence[bytes], *more: str) -> None:
    """Emit values to a worker until they are observed, and judged if there is a judge; stop it."""
    emitted = write_lines(path.with_name("values.jsonl"), poisoned(values))
    kafka = load_config(path, {}).kafka
    with (
        worker(path, path.with_name("worker.log"), *more) as process,
        Gauge(kafka.bootstrap, kafka.prefix) as gauge,
    ):
        driftline("emit", emitted, "-c", path, "--rate", "3000")
        ends = gauge.now().events_end
        gauge.until(lambda s: behind(s.observed, ends) == 0, "everything is observed")
        if not more:
            gauge.until_progress()
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


def behind(offsets: Mapping[int, int], ends: Mapping[int, int]) -> int:
    return sum(max(0, end - offsets.get(partition, 0)) for partition, end in ends.items())


def refused(path: Path, *more: str) -> str:
    """Start a worker that must end with 3; give what it says."""
    log = path.with_name("refused.log")
    with worker(path, log, *more) as process:
        assert process.wait(60) == 3
    return log.read_text()


def delete(bootstrap: str, topic: str, partition: int) -> int:
    """Delete everything that a partition holds; give the offset at which it begins then."""
    tp = TopicPartition(topic, partition)
    admin, consumer = (
        KafkaAdminClient(bootstrap_servers=bootstrap),
        KafkaConsumer(bootstrap_servers=bootstrap),
    )
    with closing(admin), closing(consumer):
        end = int(consumer.end_offsets([tp])[tp])
        admin.delete_records({tp: end})
        assert consumer.beginning_offsets([tp])[tp] == end
    return end


def test_events_deleted_before_they_were_observed_are_refused_with_both_offsets(
    bootstrap: str, topic_prefix: str, config: Path
) -> None:
    emitted = write_lines(config.with_name("more.jsonl"), half(1))
    driftline("emit", emitted, "-c", config)
    with Gauge(bootstrap, topic_prefix) as gauge:
        committed = gauge.now().observed[1]
    begins = delete(bootstrap, f"{topic_prefix}.events", 1)
    told = refused(config)
    assert f"{topic_prefix}.events/1: offset {committed} is to be read next" in told
    assert f"its log now begins at offset {begins}: {begins - committed} offsets" in told


def test_summaries_deleted_before_they_were_judged_are_refused_with_both_offsets(
    bootstrap: str, topic_prefix: str, config: Path
) -> None:
    home = summaries_partition("shop", 4)
    next_offset = asyncio.run(snapshots(load_config(config, {})))[home].manifest.next
    run(config, half(1), "--only", "observe")
    begins = delete(bootstrap, f"{topic_prefix}.summaries", home)
    told = refused(config)
    assert f"{topic_prefix}.summaries[{home}] goes on at offset {next_offset}" in told
    assert f"the topic begins at {begins}" in told


def test_after_the_groups_are_gone_observe_goes_on_behind_the_last_pane_in_summaries(
    bootstrap: str, topic_prefix: str, config: Path
) -> None:
    names = TopicNames(topic_prefix)
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        admin.delete_groups([names.observe_group, names.judge_group])
        assert not admin.list_group_offsets(names.observe_group)[names.observe_group]
    # What was observed is not read again: it need not be there any more.
    for partition in range(4):
        delete(bootstrap, names.events, partition)
    run(config, half(1))
    panes: dict[int, list[Header]] = {}
    for record in asyncio.run(read_all(Connection(bootstrap), names.summaries)):
        header = decode_part(record.value).header
        if record.partition == summaries_partition("shop", 4):
            panes.setdefault(header.partition, []).append(header)
    assert len(panes) == 4
    for found in panes.values():
        for before, header in pairwise(found):
            assert header.a == before.o + 1
            assert header.w_before == before.w_after
    judged = [one.state for one in asyncio.run(snapshots(load_config(config, {})))]
    counts = [m.counts for state in judged for m in state.models.values()]
    assert sum(one.late for one in counts) == 0
    assert sum(one.judged for one in counts) > EVENTS - GAP - 500
