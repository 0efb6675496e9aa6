"""The judge role: summaries to metrics and alerts, with snapshots to restart from."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import structlog
from aiokafka import ConsumerRecord

from detectors.alert import Alert, Incident, Metric, encode
from detectors.errors import StateRefused
from detectors.monitor import Monitor
from detectors.order import Source
from detectors.panes import UNSET, decode_part
from detectors.profile import ProfileBook
from stream.checkpoint import Checkpoints
from stream.config import Config
from stream.connection import Connection
from stream.control import Control
from stream.metrics import JudgeSeries
from stream.names import TopicNames
from stream.outbox import Outbox
from stream.provenance import Provenance
from stream.role import Commit, Flow, Partition
from stream.stall import Stalls
from stream.warmup import compiled, warm_judge

__all__ = ["JudgeRole"]

_TURN = 100
_METRICS_MAX = 1_000
_REVOKE_SNAPSHOT_SECONDS = 5.0

log = structlog.get_logger()


@dataclass
class _Bench:
    """Hold the judge of one summaries partition, and where its snapshots stand."""

    monitor: Monitor
    next: int
    counter: int
    saved_next: int
    saved_at: float
    writing: asyncio.Task[None] | None = None


def _failure_seen(writing: asyncio.Task[None]) -> None:
    """Keep asyncio from reporting a failure that `_written` raises, or that no longer matters."""
    if not writing.cancelled():
        writing.exception()


class JudgeRole:
    """Judge the models of the assigned summaries partitions."""

    name = "judge"

    def __init__(self, config: Config, connection: Connection) -> None:
        """Prepare; `start` connects."""
        names = TopicNames(config.kafka.prefix)
        self.topics = [names.summaries]
        self.group = names.judge_group
        self.series = JudgeSeries()
        self._names = names
        self._config = config
        self._outbox = Outbox(connection)
        # Of its own, so that a batch does not wait for a snapshot, or take its deliveries.
        self._snapshots = Outbox(connection)
        self.series.in_flight.set_function(
            lambda: self._outbox.in_flight + self._snapshots.in_flight
        )
        self._control = Control(connection, names.control)
        self._checkpoints = Checkpoints(connection, names.state)
        self._provenance = Provenance()
        self._benches: dict[Partition, _Bench] = {}
        self._durable: dict[Partition, Commit] = {}
        self._full: frozenset[Partition] = frozenset()
        self._metrics: list[tuple[bytes, bytes]] = []
        self._restoring: Partition | None = None
        self._stalls = Stalls(config.time, self.series.show_wait)

    async def start(self, flow: Flow) -> None:
        """Connect, read the control topic, and compile before joining the group."""
        self._flow = flow
        await self._outbox.start()
        await self._snapshots.start()
        await self._control.start()
        await self._control.agree(self._config, self._outbox)
        await compiled(warm_judge)

    async def assigned(
        self, commits: Mapping[Partition, Commit | None]
    ) -> Mapping[Partition, int | None]:
        """Restore each partition from its snapshot, and go on from the snapshot's offset."""
        starts: dict[Partition, int | None] = {}
        for bench in self._benches.values():
            await self._written(bench)
        self._benches, self._durable = {}, {}
        await self._control.sync()
        for tp in commits:
            self._restoring = tp
            bench = await self._restore(tp)
            self._benches[tp] = bench
            starts[tp] = bench.next
        self._restoring = None
        self._full = frozenset()
        self._hold_full()
        self._show_anew()
        return starts

    async def _restore(self, tp: Partition) -> _Bench:
        """Make a partition's judge: from the best snapshot, or from the log's start."""
        restored = await self._checkpoints.read(tp.partition)
        monitor = Monitor(self._control.book, self._control.epochs)
        log_start = self._flow.log_start(tp)
        now = asyncio.get_running_loop().time()
        if restored is None:
            return _Bench(monitor, log_start, 0, UNSET, now)
        start = restored.manifest.next
        if start < log_start:
            raise StateRefused(
                f"The snapshot of {tp.topic}[{tp.partition}] goes on at offset {start}, but the "
                f"topic begins at {log_start}: what lies between is gone. Start on a new prefix, "
                "and keep summaries longer (retention.ms)."
            )
        monitor.restore(restored.state)
        log.info("restored", partition=tp.partition, offset=start)
        return _Bench(monitor, start, restored.manifest.counter, start, now)

    async def process(self, tp: Partition, records: Sequence[ConsumerRecord]) -> None:
        """Apply one batch of parts; publish what follows, and wait for its delivery."""
        bench = self._benches[tp]
        for record in records:
            if record.offset < bench.next:
                continue
            part = decode_part(record.value or b"")
            if bench.monitor.unknown_profiles(part):
                await self._control.sync()
            await self._control.keep_up(part.header.w_after)
            for sent, effect in enumerate(bench.monitor.apply(part), 1):
                await self._publish(effect, bench.monitor.order.sources)
                if sent % _TURN == 0:
                    # A bucket of thousands of alerts takes seconds: the group must hear of us.
                    await asyncio.sleep(0)
            await self._send_metrics()
            bench.next = record.offset + 1
            self.series.parts.inc()
        await self._outbox.delivered()
        if tp in self._benches:
            self._durable[tp] = Commit(bench.next, "")
        self._hold_full()
        self.series.show(str(tp.partition), bench.monitor)

    def _hold_full(self) -> None:
        """Read no more for a judge that holds its share of what may wait; never drop any."""
        share = self._config.judge.pending_bytes_max // max(1, len(self._benches))
        full = frozenset(tp for tp, b in self._benches.items() if b.monitor.pending_bytes > share)
        if full != self._full:
            self._full = full
            self._flow.hold(full)
            if full:
                log.error("full", why=self.why_not_ready())
            else:
                log.info("no longer full")

    def durable(self) -> Mapping[Partition, Commit]:
        """Give what has been applied and published: for consumer lag only."""
        return self._durable

    async def revoked(self, tps: Collection[Partition]) -> None:
        """Leave a snapshot to the next owner, and forget the partitions."""
        now = asyncio.get_running_loop().time()
        for tp in tps:
            bench = self._benches.get(tp)
            if bench and now - bench.saved_at > _REVOKE_SNAPSHOT_SECONDS:
                await self._snapshot(tp, bench)
            self._benches.pop(tp, None)
        self._show_anew()

    async def idle(self) -> None:
        """Begin the snapshot that is due, if none is being written; look for who is waited for."""
        now = asyncio.get_running_loop().time()
        self._stalls.look({tp: bench.monitor.order for tp, bench in self._benches.items()}, now)
        for bench in self._benches.values():
            if bench.writing and bench.writing.done():
                await self._written(bench)
        for tp, bench in self._benches.items():
            idle = all(other.writing is None for other in self._benches.values())
            if idle and now - bench.saved_at > self._config.judge.snapshot_seconds:
                self._cut(tp, bench)

    async def stop(self) -> None:
        """Write a last snapshot of everything, and close the connections."""
        for tp, bench in list(self._benches.items()):
            await self._snapshot(tp, bench)
        await self._outbox.stop()
        await self._snapshots.stop()
        await self._control.stop()

    @property
    def book(self) -> ProfileBook:
        """Give the profiles that are in force."""
        return self._control.book

    def why_not_ready(self) -> str:
        """Say why nothing is being judged, if so."""
        if tp := self._restoring:
            return f"{tp.topic}[{tp.partition}] waits for its snapshot in {self._names.state}"
        if not self._benches:
            return "no partition of the summaries topic is assigned yet"
        if self._full:
            tp = min(self._full)
            monitor = self._benches[tp].monitor
            return (
                f"{tp.topic}[{tp.partition}] is not read on: {monitor.pending_bytes:,} bytes wait "
                f"for {monitor.order.awaited()[0]}, whose share of judge.pending_bytes_max is used "
                "up. Raise it, and start the worker again; nothing is lost"
            )
        waiting = self._outbox.why_waiting() or self._snapshots.why_waiting()
        return waiting or self._stalls.why_waiting()

    async def _snapshot(self, tp: Partition, bench: _Bench) -> None:
        """Write a snapshot to its end, after those that are being written."""
        for other in self._benches.values():
            await self._written(other)
        self._cut(tp, bench)
        await self._written(bench)

    def _cut(self, tp: Partition, bench: _Bench) -> None:
        """Copy the state, if it is not the last snapshot's, and begin to write it.

        What follows from it has been delivered; panes go on being applied meanwhile.
        """
        bench.saved_at = asyncio.get_running_loop().time()
        if bench.next == bench.saved_next:
            return
        bench.saved_next = bench.next
        bench.counter += 1
        cut = (bench.next, bench.monitor.snapshot())
        writing = self._checkpoints.write(self._snapshots, tp.partition, bench.counter, cut)
        bench.writing = asyncio.create_task(writing)
        bench.writing.add_done_callback(_failure_seen)

    async def _written(self, bench: _Bench) -> None:
        """Wait until a partition's snapshot is there; a failure is an exception."""
        if bench.writing is not None:
            await bench.writing
            bench.writing = None
            self.series.snapshots.inc()

    async def _publish(self, effect: Alert | Incident | Metric, sources: Sequence[Source]) -> None:
        """Send an incident, or an alert with where it came from; keep a metric for its batch."""
        if isinstance(effect, Metric):
            key = f"{effect.model}/{effect.channel}".encode()
            self._metrics.append((key, encode(effect)))
            if len(self._metrics) >= _METRICS_MAX:
                await self._send_metrics()
            return
        if isinstance(effect, Incident):
            await self._outbox.send(self._names.incidents, effect.key.encode(), encode(effect))
            self.series.incidents.labels(effect.status, effect.severity).inc()
            log.info("incident", id=effect.id, status=effect.status, summary=effect.summary)
            return
        record = {
            "alert": msgspec.Raw(encode(effect)),
            "provenance": self._provenance.of(effect, sources),
        }
        await self._outbox.send(
            self._names.alerts, effect.key.encode(), msgspec.json.encode(record)
        )
        self.series.alerts.labels(effect.status, effect.severity).inc()
        log.info("alert", id=effect.id, status=effect.status, summary=effect.summary)

    async def _send_metrics(self) -> None:
        """Send the metrics that have been made, together."""
        if self._metrics:
            await self._outbox.send_all(self._names.metrics, self._metrics)
            self.series.metrics.inc(len(self._metrics))
            self._metrics = []

    def _show_anew(self) -> None:
        """Set the gauges of what is judged here; what another worker judges has none."""
        self.series.forget()
        for tp, bench in self._benches.items():
            self.series.show(str(tp.partition), bench.monitor)
