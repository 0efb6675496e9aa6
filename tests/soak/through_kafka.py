"""A worker under a long load on a real Kafka, watched from outside as an operator would."""

import asyncio
import contextlib
import os
import secrets
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from detectors.profile import render
from stream import localkafka
from stream.connection import Connection
from stream.emitting import BatchProducer
from stream.names import TopicNames
from stream.reader import read_topic
from tests import live
from tests.soak.core import METRICS_BYTES_MAX, PER_SECOND, SAMPLES, Run
from tests.soak.traffic import Traffic, profile
from tests.soak.watch import WARM_SHARE, Handles, Sample, handles_of, shown_in

__all__ = ["through_kafka"]

PARTITIONS = 4
CHUNK = 4_000
# Unread records at most: a soak of the worker, not of the broker's disk.
LAG_MAX = 200_000
WAIT_SECONDS_MAX = 180.0
PAGES = ("observe", "judge")


class Watched:
    """A worker and its two pages of metrics."""

    def __init__(self, pid: int, port: int, connection: Connection, names: TopicNames) -> None:
        self._pid = pid
        self._ports = range(port, port + len(PAGES))
        self._connection = connection
        self._names = names

    def pages(self) -> list[str]:
        """Read /metrics of both roles; each is at most 1 MiB."""
        found = []
        for port in self._ports:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
                content = page.read()
            assert len(content) <= METRICS_BYTES_MAX, len(content)
            found.append(content.decode())
        return found

    def is_up(self) -> bool:
        """Tell whether both roles answer."""
        with contextlib.suppress(OSError):
            return bool(self.pages())
        return False

    def counts(self) -> Counter[str]:
        """Read what observe has counted."""
        counts: Counter[str] = Counter()
        for line in self.pages()[0].splitlines():
            name, _, value = line.rpartition(" ")
            if name.startswith("driftline_values_folded_total"):
                counts[name.partition('"')[2].partition('"')[0]] = round(float(value))
            elif name == "driftline_events_accepted_total":
                counts["accepted"] = round(float(value))
            elif name.startswith("driftline_rejects_total"):
                counts["rejected"] += round(float(value))
        return counts

    def handles(self) -> Handles:
        """Add up the worker's processes."""
        children = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()
        return handles_of([self._pid, *map(int, children)])

    async def sample(self, events: int) -> Sample:
        """Look at the worker's processes, its pages, and its state topic."""
        shown = shown_in(self.pages())
        return Sample(events, *self.handles(), *shown, await self._state_bytes())

    async def _state_bytes(self) -> int:
        """Add up each partition's larger snapshot: the other slot holds an older one, or none."""
        slots: Counter[tuple[str, str]] = Counter()
        for key, value in dict(await read_topic(self._connection, self._names.state)).items():
            partition, slot, *_ = key.decode().split("/")
            slots[partition, slot] += len(value)
        largest: Counter[str] = Counter()
        for (partition, _), size in slots.items():
            largest[partition] = max(largest[partition], size)
        return largest.total()


def through_kafka(
    events: int, bootstrap: str, tell: Callable[[str], None]
) -> tuple[Run, Counter[str], Counter[str]]:
    """Send events to a worker on a Kafka; give also what it counted, and what it was sent."""
    prefix = f"soak-{secrets.token_hex(4)}"
    with TemporaryDirectory(prefix="driftline-soak-") as directory, kafka(bootstrap) as address:
        here, port = Path(directory), localkafka.free_port()
        config = live.config_file(here, address, prefix, snapshot_seconds=5)
        (here / "profile.json").write_text(render(profile(PER_SECOND)))
        live.driftline("profile", "push", here / "profile.json", "-c", config)
        with live.worker(config, here / "log", "--metrics-port", str(port)) as process:
            connection = Connection(address)
            watched = Watched(process.pid, port, connection, TopicNames(prefix))
            live.eventually(watched.is_up, "both roles answer")
            run, sent = asyncio.run(_load(watched, connection, prefix, (events, tell)))
            found = watched.counts()
            assert process.poll() is None
    return run, found, sent


@contextlib.contextmanager
def kafka(bootstrap: str) -> Iterator[str]:
    """Take the Kafka at an address, or run one of our own for as long as this takes."""
    if bootstrap:
        yield bootstrap
        return
    with TemporaryDirectory(prefix="driftline-soak-kafka-") as home:
        jars = os.environ.get("DRIFTLINE_JARS") or localkafka.driftline_home() / "jars"
        os.environ |= {"DRIFTLINE_JARS": str(jars), "DRIFTLINE_HOME": home}
        yield localkafka.start(localkafka.free_port()).bootstrap
        localkafka.stop()


async def _load(
    watched: Watched, connection: Connection, prefix: str, load: tuple[int, Any]
) -> tuple[Run, Counter[str]]:
    """Write the events as fast as they are read, and look at the worker now and then.

    Names and values without end come after the warm-up.
    """
    events, tell = load
    traffic = Traffic(PER_SECOND, odd_from=round(events * WARM_SHARE))
    sent = Counter[str]()
    began, samples = time.monotonic(), [await watched.sample(0)]
    async with BatchProducer(connection, TopicNames(prefix).events, PARTITIONS) as producer:
        for first in range(0, events, CHUNK):
            await producer.send([*traffic.batch(first, CHUNK), b"{"])
            sent.update(accepted=CHUNK, rejected=1)
            if sent["accepted"] >= len(samples) * events / SAMPLES:
                await _read(watched, sent["accepted"] - LAG_MAX // 4)
                samples.append(await watched.sample(sent["accepted"]))
                tell(f"{sent['accepted']:,} of {events:,}, RSS {samples[-1].rss >> 20} MiB")
            if sent["accepted"] % (LAG_MAX // 2) == 0:
                await _read(watched, sent["accepted"] - LAG_MAX)
    # Ticks end the last panes, and what was folded in them is counted.
    expected = sent + Counter({k: traffic.counts[k] for k in ("feature", "category", "segment")})
    with contextlib.suppress(TimeoutError):
        await _until(lambda: watched.counts() == expected)
    return Run(samples, time.monotonic() - began), expected


async def _read(watched: Watched, accepted: int) -> None:
    """Wait until the worker has read so many events."""
    await _until(lambda: watched.counts()["accepted"] >= accepted)


async def _until(look: Callable[[], bool]) -> None:
    """Look again until it is so."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError
        await asyncio.sleep(0.2)
