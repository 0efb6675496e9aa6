"""Each role logs at its start how much memory it can take, and a hard load keeps it to that."""

import asyncio
import json
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import live
import pytest

from detectors.errors import ServiceUnreachable
from detectors.profile import render
from stream.connection import Connection
from stream.emitting import BatchProducer
from stream.names import TopicNames
from stream.reader import read_topic
from tests.soak.traffic import Traffic, profile

EVENTS = 160_000
PER_SECOND = 80.0
# Of the profile's buckets: an event in every second one.
PER_BUCKET = 0.05
LONG = b'"trace":"%s",' % (b"x" * 1_500)


def told(log: Path) -> dict[str, dict[str, Any]]:
    """Read what each role told about its memory."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if '"memory"' in line]
    return {found["role"]: found for found in map(json.loads, lines)}


class Peaks(threading.Thread):
    """Look again and again at the most memory that processes have had."""

    def __init__(self, worker: subprocess.Popen[bytes]) -> None:
        super().__init__(daemon=True)
        self.most: dict[str, int] = {}
        self.ended = threading.Event()
        self._worker = worker

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.join()

    def run(self) -> None:
        while not self.ended.wait(0.2):
            with suppress(OSError):
                self.look()

    def look(self) -> None:
        task = Path(f"/proc/{self._worker.pid}/task/{self._worker.pid}/children")
        for pid in task.read_text().split():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            status = Path(f"/proc/{pid}/status").read_text()
            peak = int(status.partition("VmHWM:")[2].split()[0]) << 10
            for role in ("observe", "judge"):
                if role.encode() in words:
                    self.most[role] = max(peak, self.most.get(role, 0))


@pytest.mark.timeout(300)
def test_a_hard_load_takes_no_more_than_was_told_and_not_much_less(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    config = live.config_file(tmp_path, bootstrap, topic_prefix, snapshot_seconds=2)
    few = "[kafka]\nevents_partitions = 1\nsummaries_partitions = 1"
    config.write_text(config.read_text().replace("[kafka]", few) + "[time]\npane_seconds = 60\n")
    (tmp_path / "profile.json").write_text(render(profile(PER_SECOND)))
    live.driftline("profile", "push", tmp_path / "profile.json", "-c", config)
    asyncio.run(load(bootstrap, topic_prefix))
    log, topics = tmp_path / "log", TopicNames(topic_prefix)
    with live.worker(config, log) as process, Peaks(process) as peaks:
        live.eventually(lambda: len(told(log)) == 2, "both roles tell their bound")
        live.eventually(lambda: count(bootstrap, topics.summaries) > 10, "a large pane")
        live.eventually(lambda: count(bootstrap, topics.metrics) > 100, "the judge's work")
    # The load is not the worst of everything at once: half a pane, and a third of it sparse.
    for role, found in told(log).items():
        grown, bound = peaks.most[role] - found["rss_bytes"], found["memory_bound_bytes"]
        assert bound / 5 < grown <= bound, (role, grown, found)


def count(bootstrap: str, topic: str) -> int:
    """Count the records of a topic."""
    with suppress(ServiceUnreachable):
        return len(asyncio.run(read_topic(Connection(bootstrap), topic)))
    return 0


async def load(bootstrap: str, prefix: str) -> None:
    """Write names and values without end, half of the events in buckets of their own.

    Some are of two kilobytes, and there are rejects of 60.
    """
    dense, sparse = Traffic(PER_SECOND), Traffic(PER_BUCKET)
    async with BatchProducer(Connection(bootstrap), TopicNames(prefix).events, 1) as producer:
        for first in range(0, EVENTS, 5_000):
            traffic = dense if first < EVENTS / 2 else sparse
            values = traffic.batch(first, 5_000)
            values[::4] = [value.replace(b"{", b"{" + LONG, 1) for value in values[::4]]
            await producer.send([*values, b"{", b"[" * 60_000])
