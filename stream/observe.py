"""The observe role: input topics to summaries and rejects, exactly the panes of the log."""

import asyncio
import gc
from collections.abc import Callable, Collection, Mapping
from hashlib import sha256

import msgspec
import numpy as np
import structlog

from detectors.observe import Batch, Observer, Pane
from detectors.panes import UNSET, Clock, End
from detectors.profile import ProfileBook
from stream.batching import batch_of, rejects, runs
from stream.bisect import BISECT_SECONDS, GUILTY_MAX, apart, guilty, is_bisecting
from stream.config import Config
from stream.connection import Connection
from stream.control import Control, quarantine_record
from stream.decode.scan.scanner import Scanner
from stream.metrics import ObserveSeries
from stream.names import TopicNames
from stream.outbox import Outbox
from stream.pacing import Pacing
from stream.records import Records
from stream.resuming import resumed
from stream.role import Commit, Flow, Partition
from stream.routing import parts_of
from stream.warmup import compiled, warm_observe

__all__ = ["ObserveRole", "rejects"]

# Python would look for cycles 15 times a batch, and in all of numba every so often: a fifth of
# the time, for records that are in none.
_GC_OBJECTS = 200_000
_UNPROFILED_TOLD_MAX = 100

log = structlog.get_logger()


class ObserveRole:
    """Read events, write summaries; keep nothing but the open pane of each partition."""

    name = "observe"
    records_in_place = True

    def __init__(
        self,
        config: Config,
        connection: Connection,
        partitions: tuple[int, int],
        on_unprofiled: Callable[[], object] = lambda: None,
    ) -> None:
        """Observe `partitions[0]` events partitions into `partitions[1]` summaries partitions.

        `on_unprofiled` is called once, at the first event of a model without a profile.
        """
        names = TopicNames(config.kafka.prefix)
        self.topics = [names.events]
        self.group = names.observe_group
        self.series = ObserveSeries()
        self._names = names
        self._config = config
        self._partitions = partitions
        self._on_unprofiled = on_unprofiled
        self._connection = connection
        self._outbox = Outbox(connection)
        self.series.in_flight.set_function(lambda: self._outbox.in_flight)
        self._pacing = Pacing(connection, names.summaries, config.judge.max_ahead_panes)
        self._every = [Partition(names.events, p) for p in range(partitions[0])]
        self._control = Control(connection, names.control)
        self._scanner = Scanner(self._control.book, config.limits)
        self._observers: dict[Partition, Observer] = {}
        self._next: dict[Partition, int] = {}
        self._durable: dict[Partition, Commit] = {}
        self._seen_at: dict[Partition, float] = {}
        self._told: set[str] = set()
        self._bisect_until = 0.0
        self._polled_ms: dict[Partition, int] = {}

    async def start(self, flow: Flow) -> None:
        """Connect, read the control topic, and compile before joining the group."""
        self._flow = flow
        await self._outbox.start()
        await self._control.start()
        await self._control.agree(self._config, self._outbox)
        if not self._config.time.ticks:
            log.warning("no ticks", hint="replays of events may differ in idle moments")
        await compiled(warm_observe)
        gc.freeze()
        gc.set_threshold(_GC_OBJECTS)

    async def assigned(
        self, commits: Mapping[Partition, Commit | None]
    ) -> Mapping[Partition, int | None]:
        """Begin each partition where its commit says, with the clock the commit carries."""
        now = asyncio.get_running_loop().time()
        self._bisect_until = now + BISECT_SECONDS if is_bisecting() else now
        self._observers, self._durable, self._polled_ms = {}, {}, {}
        self.series.forget()
        summaries = self._names.summaries, self._partitions[1]
        await self._control.sync()
        known = await resumed(commits, self._connection, summaries)
        for tp, commit in known.items():
            offset = commit.offset if commit else self._flow.log_start(tp)
            metadata = commit.metadata if commit else ""
            clock = Clock.read(metadata)
            source = (tp.topic, tp.partition, self._partitions[0])
            observer = Observer(source, self._control.book, self._config.time.pane_seconds * 1000)
            observer.start(offset, clock, End.read(metadata))
            self._observers[tp] = observer
            self._pacing.note(tp, clock.r // observer.pane_ms)
            self._next[tp] = offset
            self._seen_at[tp] = now
            self.series.show(tp, clock.w)
        await self._pace(anew=True)
        return {tp: self._next[tp] for tp in known}

    async def _pace(self, *, anew: bool = False) -> None:
        """Hold what is too far ahead; a new lease holds nothing yet."""
        changed = await self._pacing.hold(list(self._observers), self._every)
        if changed or anew:
            self._flow.hold(self._pacing.held)
            self.series.held.set(len(self._pacing.held))

    async def process(self, tp: Partition, records: Records) -> None:
        """Observe one fetch of one partition, in batches that stay in the processor's cache."""
        fresh = records[int(np.searchsorted(records.offsets, self._next[tp])) :]
        self._seen_at[tp] = asyncio.get_running_loop().time()
        for run in runs(fresh):
            if tp in self._observers:
                await self._observe(tp, run)

    async def _observe(self, tp: Partition, records: Records) -> None:
        """Observe one batch; deliver the panes that end in it."""
        self._next[tp] = int(records.offsets[-1]) + 1
        known = self._control.book.changes
        if self._seen_at[tp] < self._bisect_until:
            await self._quarantine(tp, records)
        batch = self._batch(tp, records)
        await self._know(batch)
        if self._control.book.changes != known:
            batch = self._batch(tp, records)
        await self._reject(tp, records, batch)
        self.series.records.inc(len(records))
        self.series.events.inc(batch.accepted)
        for pane in self._observers[tp].feed(batch):
            await self._deliver(tp, pane)

    def _batch(self, tp: Partition, records: Records) -> Batch:
        bad = self._control.quarantined(tp.topic, tp.partition)
        return batch_of(records, self._config, self._scanner, bad)

    async def _quarantine(self, tp: Partition, records: Records) -> None:
        """Try a batch beside the state; put what kills this role under quarantine."""

        def attempt(some: Records) -> None:
            mine = self._observers[tp]
            aside = Observer(mine.source, self._control.book, mine.pane_ms)
            aside.start(int(some.offsets[0]), mine.clock)
            aside.feed(self._batch(tp, some))

        most = GUILTY_MAX - len(self._control.quarantined(tp.topic, tp.partition))
        for offset in guilty(records, apart(attempt), most):
            record = quarantine_record(tp.topic, tp.partition, offset)
            await self._control.publish(record, self._outbox)
            log.error("quarantined", topic=tp.topic, partition=tp.partition, offset=offset)

    def durable(self) -> Mapping[Partition, Commit]:
        """Give what has been delivered: the commits that lose nothing."""
        return self._durable

    async def revoked(self, tps: Collection[Partition]) -> None:
        """Drop the open panes of partitions that another worker will read."""
        for tp in tps:
            self._observers.pop(tp, None)
        self.series.forget()

    async def idle(self) -> None:
        """Let time pass in each caught-up partition that has been silent for long enough."""
        if self._pacing.held:
            await self._pace()
        now = asyncio.get_running_loop().time()
        for tp in list(self._observers):
            polled_ms = self._flow.polled_ms(tp)
            silent = now - self._seen_at[tp] > self._config.time.tick_seconds
            if silent and tp not in self._pacing.held and self._flow.caught_up(tp):
                await self._tick(tp, polled_ms)

    async def _tick(self, tp: Partition, polled_ms: int | None) -> None:
        """Write a tick; where that is not allowed, end the pane by the clock.

        An answer may be older than its arrival, but not than that of the one before: up to then
        we have seen what there is.  So time stands still where the log cannot be read.
        """
        if self._config.time.ticks:
            self._seen_at[tp] = asyncio.get_running_loop().time()
            await self._outbox.tick(tp.topic, tp.partition)
            self.series.ticks.inc()
        elif polled_ms is not None:
            seen_ms, self._polled_ms[tp] = self._polled_ms.get(tp, polled_ms), polled_ms
            if seen_ms < polled_ms and (pane := self._observers[tp].tick(seen_ms)):
                await self._deliver(tp, pane)

    async def stop(self) -> None:
        """Close the connections."""
        await self._pacing.stop()
        await self._outbox.stop()
        await self._control.stop()

    @property
    def book(self) -> ProfileBook:
        """Give the profiles that are in force."""
        return self._control.book

    def why_not_ready(self) -> str:
        """Say why no events are being read, if so."""
        if not self._observers:
            return "no partition of the events topic is assigned yet"
        return self._outbox.why_waiting()

    async def _know(self, batch: Batch) -> None:
        """Read the control topic again if it may hold a profile that these events need.

        A profile is written before the events that it is for.  So what the topic holds once
        the events are here is enough, and the same for every worker and every replay.
        """
        models = {event.model for event in batch.events}
        if any(not self._control.book.segments(model) for model in models):
            await self._control.sync()
        else:
            await self._control.keep_up(int(batch.times_ms.max(initial=UNSET)))

    async def _reject(self, tp: Partition, records: Records, batch: Batch) -> None:
        """Publish every bad record's reason; its pane waits for the delivery."""
        for reject in rejects(tp, records, batch):
            where = [tp.topic, str(tp.partition), str(reject.offset)]
            where += [] if reject.row is None else [str(reject.row)]
            key = "/".join(where).encode()
            await self._outbox.send(self._names.rejects, key, msgspec.json.encode(reject))
            self.series.rejects.labels(reject.code).inc()

    async def _deliver(self, tp: Partition, pane: Pane) -> None:
        """Send a pane's parts, wait for them, and only then let its offset be committed.

        Rejects go first: where a pane is, nothing of it is missing, and `resumed` relies on that.
        """
        if not (self._config.time.ticks or await self._begin(tp, pane)):
            return
        await self._outbox.delivered()
        for partition, parts in enumerate(parts_of(pane, self._partitions[1])):
            for part in parts:
                content = part.encode()
                key = f"{tp.topic}/{tp.partition}/{pane.header.a}".encode()
                await self._outbox.send(self._names.summaries, key, content, partition)
                self.series.summary_bytes.inc(len(content))
        await self._outbox.delivered()
        self._durable[tp] = Commit(pane.header.o + 1, pane.clock.render())
        self._pacing.note(tp, pane.header.number)
        await self._pace()
        self.series.panes.inc()
        for kind, values in pane.folded.items():
            self.series.folded.labels(kind).inc(values)
        self.series.show(tp, pane.clock.w)
        self._report_unprofiled(pane)

    async def _begin(self, tp: Partition, pane: Pane) -> bool:
        """Commit where a pane ends before anything of it is sent; False if it is not ours to send.

        A pane that a clock ended is not in the log.  Whoever comes after us ends it there, too;
        and nobody who has lost the partition sends one that ends elsewhere.
        """
        if tp not in self._observers:
            return False
        end = End(pane.header.o, pane.clock.r)
        self._durable[tp] = Commit(pane.header.a, pane.before.render(end))
        is_ours = await self._flow.commit(tp)
        if not is_ours:  # nor is any pane behind it: none may be committed as if this one were sent
            del self._observers[tp]
        return is_ours

    def _report_unprofiled(self, pane: Pane) -> None:
        """Count events of models without a profile; say once of each, of a few, where they are.

        The name is an event's text, which may be anything: it stays in the log of events.
        """
        header = pane.header
        if pane.unprofiled and not self._told:
            self._on_unprofiled()
        for model, events in pane.unprofiled.items():
            self.series.unprofiled.inc(events)
            if model not in self._told and len(self._told) < _UNPROFILED_TOLD_MAX:
                self._told.add(model)
                log.warning(
                    "unprofiled",
                    source=f"{header.topic}[{header.partition}]",
                    offsets=[header.a, header.o],
                    model_sha256=sha256(model.encode(errors="replace")).hexdigest()[:16],
                    hint="a worker learns a profile; sooner: driftline profile fit, profile push",
                )
