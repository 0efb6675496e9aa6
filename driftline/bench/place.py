"""The place of a bench: a prefix of its own on a broker, filled with events, with a profile."""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from detectors.events import Limits
from detectors.fit import fit
from detectors.profile import Profile
from driftline.bench.events import START, Shape, events
from driftline.bench.log import EventLog, event_log
from driftline.bench.processes import Bench, core_to_pin
from driftline.bench.results import Told
from stream.config import Config
from stream.config_file import load_config
from stream.connection import connection_of
from stream.decode.json_events import decode
from stream.fitting import fit_options
from stream.names import TopicNames
from stream.packing import packed
from stream.pushing import push_profile
from stream.topics import prepare_topics

__all__ = ["Place", "Wanted", "fitted", "place"]

_REFERENCE_EVENTS = 60_000
_REFERENCE_PER_SECOND = 100


class Wanted(NamedTuple):
    """Say what a place holds: events, drawn how, compressed how, under which configuration.

    `arrow_rows` is how many of them are in a record, 0 for JSON events.  `late` ones are written
    in each run, once its workers have shared the partitions.
    """

    events: int
    seed: int = 1
    compression: str | None = None
    config_path: Path | None = None
    environ: Mapping[str, str] = {}
    shape: Shape = Shape()
    pinned: bool = True
    arrow_rows: int = 0
    late: bool = False


class Place(NamedTuple):
    """Hold what every run of a bench needs."""

    wanted: Wanted
    config: Config
    bench: Bench
    log: EventLog
    profile: Profile
    told: Told

    def prepare(self) -> None:
        """Create what a run has removed, and put the profile in force."""
        prepare_topics(self.config.kafka, connection_of(self.config.kafka), "worker")
        asyncio.run(push_profile(self.config, self.profile))

    def fill(self) -> None:
        """Write the events that are wanted."""
        wanted, written = self.wanted, 0

        def show(more: int) -> None:
            nonlocal written
            written += more * max(1, wanted.arrow_rows)
            self.told.progress(f"Writing events: {written:,} of {wanted.events:,}")

        if wanted.events:
            chunks = events(wanted.events, wanted.seed, shape=wanted.shape)
            if wanted.arrow_rows:
                chunks = (list(packed(chunk, wanted.arrow_rows, Limits())) for chunk in chunks)
            self.log.fill(chunks, show, wanted.compression)

    def command(self, role: str) -> list[str]:
        """Give the arguments of a worker's role."""
        path = self.wanted.config_path
        shared = ["--config", str(path.absolute())] if path is not None else []
        return ["driftline", "worker", *shared, "--only", role]


@contextlib.contextmanager
def place(
    wanted: Wanted, bootstrap: str, told: Told, profile: Profile | None = None
) -> Iterator[Place]:
    """Fill a fresh prefix for the length of a `with` block; nothing stays on the broker.

    Without a profile, one is fitted on reference events.
    """
    prefix = f"bench-{secrets.token_hex(4)}"
    environ = {
        "DRIFTLINE_KAFKA_BOOTSTRAP": bootstrap,
        "DRIFTLINE_KAFKA_PREFIX": prefix,
        **wanted.environ,
    }
    config = load_config(wanted.config_path, os.environ | environ)
    if profile is None:
        told.progress(f"Fitting a profile on {_REFERENCE_EVENTS:,} reference events")
        profile = fitted(wanted, config)
    connection = connection_of(config.kafka)
    partitions = prepare_topics(config.kafka, connection, "worker")
    with (
        event_log(connection, TopicNames(prefix), partitions) as log,
        TemporaryDirectory(prefix="driftline-bench-") as directory,
    ):
        core = core_to_pin() if wanted.pinned else None
        bench = Bench(core, Path(directory), environ)
        where = Place(wanted, config, bench, log, profile, told)
        if not wanted.late:
            where.fill()
        yield where


def fitted(wanted: Wanted, config: Config) -> Profile:
    """Fit a profile on events of the same kind, drawn with another seed, from a day before."""
    chunks = events(
        _REFERENCE_EVENTS,
        wanted.seed + 1,
        start=START - timedelta(days=1),
        events_per_second=_REFERENCE_PER_SECOND,
        shape=wanted.shape,
    )
    reference = [e for c in chunks for e in decode(c, None, config.limits).events]
    return fit(reference, fit_options(config, reference), config.policy)
