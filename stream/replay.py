"""Replay: a topic once more through the worker's own observe and judge.

`kafka:PREFIX.events` is observed and judged, `kafka:PREFIX.summaries` is judged.  Profiles and
the semantic configuration come from the prefix's control topic, so the answer is the one that
workers gave: live = replay.  Nothing is committed, and nothing is written.  Where workers write no
ticks, only the summaries say how time passed in idle moments.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

import msgspec

from detectors.alert import Alert, Incident, Metric
from detectors.epochs import Epochs
from detectors.errors import ConfigError
from detectors.monitor import MonitorState
from detectors.observe import Observer, Pane
from detectors.panes import Clock, decode_part
from detectors.profile import Profile, ProfileBook
from stream.batching import batch_of, runs
from stream.config import Config, semantics_of
from stream.connection import Connection, connection_of
from stream.control import read_control
from stream.decode.scan.scanner import Scanner
from stream.fetching import parses_in_place
from stream.judging import Judging, Totals
from stream.names import TopicNames
from stream.topic_ranges import Bound, OffsetRange, TopicRanges
from stream.topics import partition_counts

__all__ = ["Replay"]

Effect = Alert | Incident | Metric
Applied = Mapping[int, Mapping[tuple[str, int], int]]


class Replay:
    """Run one topic of a prefix through observe and judge."""

    def __init__(
        self, config: Config, topic: str, profiles: Sequence[Profile] = (), *, metrics: bool = True
    ) -> None:
        """Replay `topic`; `profiles` replace those of the control topic.

        Raises
        ------
        ConfigError
            If it is neither the events nor the summaries topic of a prefix.
        """
        prefix, _, kind = topic.rpartition(".")
        if not prefix or kind not in ("events", "summaries"):
            raise ConfigError(
                f"kafka:{topic} cannot be replayed: name the events or the summaries of a prefix, "
                f"for example kafka:{config.kafka.prefix}.events."
            )
        kafka = msgspec.structs.replace(config.kafka, prefix=prefix)
        self._config = msgspec.structs.replace(config, kafka=kafka)
        self._names = TopicNames(prefix)
        self._topic = topic
        self._profiles = profiles
        self._metrics = metrics
        self.ranges: list[OffsetRange] = []
        self.misses_idle_time = False
        self.on_pane: Callable[[Pane], None] = lambda _: None
        self.quarantined: Callable[[str, int], Collection[int]] = lambda _, __: ()

    @property
    def totals(self) -> Totals:
        """Give the counts so far."""
        return self._judging.totals

    def states(self) -> list[MonitorState]:
        """Give the judge's state of each summaries partition."""
        return self._judging.states()

    async def run(
        self,
        start: Bound = None,
        end: Bound = None,
        applied: Applied | None = None,
        on_records: Callable[[int], None] = lambda _: None,
    ) -> AsyncIterator[Effect]:
        """Yield what follows from the topic's records, up to its present end at most.

        `applied`: see `Judging.take`.  `on_records` is told of every record read.

        Raises
        ------
        ConfigError, StateRefused, ServiceUnreachable
            If the range is not there, the log has a gap, or Kafka does not answer.
        """
        connection = connection_of(self._config.kafka)
        in_place = parses_in_place(self._config.kafka.fetch)
        async with TopicRanges(connection, self._topic, in_place=in_place) as log:
            self.ranges = await log.find(start, end)
            await self._begin(connection)
            summaries = self._topic == self._names.summaries
            read = (
                self._parts(log, on_records) if summaries else self._panes(log, applied, on_records)
            )
            async for effect in read:
                yield effect

    async def _begin(self, connection: Connection) -> None:
        """Read the control topic: everything there is, for each record says from when it holds."""
        asked = (self._names.control, self._names.summaries)
        counts = await asyncio.to_thread(partition_counts, connection, asked)
        self._book, epochs = ProfileBook(), Epochs(semantics_of(self._config))
        if self._names.control in counts:
            control = await read_control(connection, self._names.control)
            self._book, epochs = control.book, control.epochs or epochs
            self.quarantined = control.quarantined
            self._config = control.config_for(self._config)
        self.misses_idle_time = self._topic == self._names.events and not self._config.time.ticks
        if self._profiles:
            self._book = ProfileBook()
            for profile in self._profiles:
                self._book.add(profile, 0)
        if not self._book.models:
            raise ConfigError(
                f"{self._names.control} holds no profile: name one with --profile, or put one in "
                "force with `driftline profile push`."
            )
        partitions = counts.get(self._names.summaries, 1)
        self._judging = Judging(self._book, epochs, partitions, metrics=self._metrics)

    async def _parts(
        self, log: TopicRanges, on_records: Callable[[int], None]
    ) -> AsyncIterator[Effect]:
        """Judge the parts of the summaries topic."""
        async for partition, records in log.read(self.ranges):
            on_records(len(records))
            for row in range(len(records)):
                part = decode_part(records.value(row) or b"")
                for effect in self._judging.apply(partition, part):
                    yield effect

    async def _panes(
        self, log: TopicRanges, applied: Applied | None, on_records: Callable[[int], None]
    ) -> AsyncIterator[Effect]:
        """Observe the events topic, and judge its panes.

        Where no worker ever wrote a tick, time ends with the records, as at a file's end.
        """
        observers = [self._observer(number, log.count) for number in range(log.count)]
        scanner, ticked = Scanner(self._book, self._config.limits), False
        async for partition, records in log.read(self.ranges):
            on_records(len(records))
            bad = self.quarantined(self._topic, partition)
            for run in runs(records):
                batch = batch_of(run, self._config, scanner, bad)
                ticked |= bool(batch.ticks.any())
                for pane in observers[partition].feed(batch):
                    for effect in self._take(pane, applied):
                        yield effect
        for observer, one in zip(observers, self.ranges, strict=True):
            if not ticked:
                for effect in self._take(observer.finish(one.end - 1), applied):
                    yield effect

    def _observer(self, partition: int, partitions: int) -> Observer:
        source = (self._topic, partition, partitions)
        observer = Observer(source, self._book, self._config.time.pane_seconds * 1000)
        observer.start(self.ranges[partition].first, Clock())
        return observer

    def _take(self, pane: Pane, applied: Applied | None) -> list[Effect]:
        self.on_pane(pane)
        return list(self._judging.take(pane, applied))
