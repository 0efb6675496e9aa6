"""The core under a long load: observe and judge in this process, watched as they go."""

import gc
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from detectors.alert import Alert, Metric
from detectors.epochs import Epochs
from detectors.judge import ModelState
from detectors.layout import layout_of
from detectors.monitor import Monitor, MonitorState
from detectors.observe import Observer, Pane
from detectors.order import Source
from detectors.panes import Part, decode_part
from detectors.profile import ProfileBook
from detectors.summary.cells import Moments, add_cell
from stream.batching import batch_of
from stream.checkpoint import pack, unpack
from stream.config import Config, semantics_of
from stream.decode.scan.scanner import Scanner
from stream.metrics import ObserveSeries
from stream.records import Records
from tests.soak.traffic import HEAVY_USER, START_MS, Stencil, Traffic, appended, profile
from tests.soak.watch import WARM_SHARE, Sample, handles_of, shown_in

__all__ = ["METRICS_BYTES_MAX", "Core", "Run", "bounds", "soak"]

PARTITIONS = 4
BATCH = 1_000
PANE_MS = 10_000
PER_SECOND = 80.0
SAMPLES = 40
KINDS = 16
CONFIG = Config()
# Of a batch now and then, so many are late: 20 events and the reject among them.
LATE = 21
METRICS_BYTES_MAX = 1 << 20
# A broken amount lasts so many rounds of 4,000 events, and comes back as often.
BROKEN_ROUNDS, CYCLE_ROUNDS = 8, 60


class Run(NamedTuple):
    """Hold what a run came to."""

    samples: list[Sample]
    seconds: float


class Core:
    """Be a worker without its shell: observers, a monitor, and the counts of what they did."""

    def __init__(self, partitions: int) -> None:
        self.profile = profile(PER_SECOND)
        self.book = ProfileBook()
        self.book.add(self.profile, 0)
        self.observers = [
            Observer(("events", p, partitions), self.book, PANE_MS) for p in range(partitions)
        ]
        self.scanner = Scanner(self.book, CONFIG.limits)
        self.monitor = self._monitor()
        self.series = ObserveSeries()
        self.counts: Counter[str] = Counter()
        self._offsets = [0] * partitions
        self._layout = layout_of(self.profile)
        self._moments = Moments.zeros(self._layout)

    def _monitor(self) -> Monitor:
        return Monitor(self.book, Epochs(semantics_of(Config())))

    def feed(self, partition: int, records: Records) -> None:
        """Decode and observe records, and judge the panes that end in them."""
        for pane in self.observers[partition].feed(batch_of(records, CONFIG, self.scanner)):
            self._count(pane)
            # As the judge gets it: through bytes.
            part = decode_part(Part(pane.header, pane.entries).encode())
            for effect in self.monitor.apply(part):
                kind = "metrics" if isinstance(effect, Metric) else "incidents"
                self.counts["alerts" if isinstance(effect, Alert) else kind] += 1

    def _count(self, pane: Pane) -> None:
        header = pane.header
        self.counts.update(read=header.read, accepted=header.accepted)
        self.counts["rejected"] += sum(header.rejected.values())
        self.counts.update(pane.folded)
        for kind, values in pane.folded.items():
            self.series.folded.labels(kind).inc(values)
        for code, records in header.rejected.items():
            self.series.rejects.labels(code).inc(records)
        self.series.show((header.topic, header.partition), header.w_after)
        for entry in pane.entries:
            add_cell(entry.data, self._layout, self._moments)

    def first(self, partition: int, count: int) -> int:
        """Give the offset of the next of `count` records that are appended to a partition."""
        self._offsets[partition] += count
        return self._offsets[partition] - count

    def end(self, time_ms: int) -> None:
        """End the open pane of every partition with a tick."""
        for partition in range(len(self._offsets)):
            record = appended([b""], [time_ms], self.first(partition, 1))
            self.feed(partition, replace(record, ticks=np.ones(1, np.bool_)))

    def in_slice(self, key: str, value: str) -> int:
        """Count the events of a slice that the cells have held, by their plan."""
        at = self.profile.slices.index({key: value})
        channel = [c.name for c in self.profile.channels].index("feature:plan")
        low, high = self._layout.first_bin[channel : channel + 2]
        return int(self._moments.counts[at, low:high].sum())

    def judged(self) -> Counter[str]:
        """Count what became of the events in the judge; some wait for their bucket's end."""
        (judge,) = self.monitor.judges.values()
        waiting = sum(n for cells in judge._pending.values() for n, _ in cells)
        return Counter(judged=judge.counts.judged, late=judge.counts.late, waiting=waiting)

    def restart(self) -> int:
        """Go on from a snapshot, as a judge that took over; give the snapshot's bytes."""
        state = self.monitor.snapshot()
        sources = pack(state.sources)
        models = {name: pack(model) for name, model in state.models.items()}
        restored = {name: unpack(content, ModelState) for name, content in models.items()}
        self.monitor = self._monitor()
        self.monitor.restore(MonitorState(unpack(sources, list[Source]), restored, state.names))
        return len(sources) + sum(map(len, models.values()))

    def sample(self, events: int) -> Sample:
        """Look at this process, and at the state's size."""
        state_bytes = self.restart()
        gc.collect()
        page = self.series.render()
        assert len(page) <= METRICS_BYTES_MAX, len(page)
        shown = shown_in([page.decode()])
        return Sample(events, *handles_of([os.getpid()]), *shown, state_bytes)


def watched(core: Core, events: int, rounds: Iterator[int], tell: Callable[[str], None]) -> Run:
    """Run rounds, each of which says how many events it was; look at every fortieth of them."""
    began, done, samples = time.monotonic(), 0, [core.sample(0)]
    for size in rounds:
        done += size
        if done >= len(samples) * events / SAMPLES:
            samples.append(core.sample(done))
            tell(f"{done:,} of {events:,} events, RSS {samples[-1].rss >> 20} MiB")
    return Run(samples, time.monotonic() - began)


def soak(events: int, tell: Callable[[str], None]) -> tuple[Run, Counter[str]]:
    """Run events through decoding, observe and judge, with new times in every round.

    There are rejects in every batch, late events now and then, and an amount that breaks, and
    recovers, so that alerts open and resolve.
    """
    core = Core(PARTITIONS)
    traffic = Traffic(PER_SECOND)
    plain = [kind(traffic, i, 1.0) for i in range(KINDS)]
    broken = [kind(traffic, i, 1.6) for i in range(KINDS)]

    def rounds() -> Iterator[int]:
        for number in range(-(-events // (PARTITIONS * BATCH))):
            is_broken = number % CYCLE_ROUNDS >= CYCLE_ROUNDS - BROKEN_ROUNDS
            yield feed_round(core, broken if is_broken else plain, number)

    run = watched(core, events, rounds(), tell)
    core.end(START_MS + int(run.samples[-1].events * 1000 / PER_SECOND))
    return run, core.counts + core.judged()


def kind(traffic: Traffic, number: int, factor: float) -> Stencil:
    """Write one batch of events with three rejects in it."""
    values: list[bytes | None] = [*traffic.batch(number * BATCH, BATCH - 3, factor)]
    values[10:10], values[500:500], values[700:700] = [b"{"], [b""], [b'{"time": 1}']
    return Stencil(values)


def feed_round(core: Core, batches: Sequence[Stencil], number: int) -> int:
    """Give each partition a batch of records with the times of this round."""
    step_ms = PARTITIONS * 1000 / PER_SECOND
    start_ms = START_MS + int(number * BATCH * step_ms)
    record_ms = [start_ms + int(i * step_ms) for i in range(BATCH)]
    late = LATE if number % 10 == 5 else 0
    event_ms = [time - 120_000 * (i < late) for i, time in enumerate(record_ms)]
    for partition in range(PARTITIONS):
        chosen = batches[(number * PARTITIONS + partition) % len(batches)]
        first = core.first(partition, BATCH)
        core.feed(partition, chosen.records(event_ms, record_ms, first))
    return PARTITIONS * BATCH


def bounds(events: int, tell: Callable[[str], None]) -> tuple[Run, Counter[str], Counter[str]]:
    """Decode and run events with names and values without end, after a warm-up without any.

    Give also what was counted, and what there was to count.
    """
    core = Core(1)
    total = round(events / (1 - WARM_SHARE))
    traffic = Traffic(PER_SECOND, odd_from=total - events)

    def rounds() -> Iterator[int]:
        for first in range(0, total, BATCH):
            times = [traffic.time_ms(i) for i in range(first, first + BATCH)]
            values = traffic.batch(first, BATCH)
            core.feed(0, appended(values, times, core.first(0, BATCH)))
            yield BATCH

    run = watched(core, total, rounds(), tell)
    core.end(traffic.time_ms(total))
    counts = core.counts + core.judged()
    counts["heavy"] = core.in_slice("user", HEAVY_USER)
    return run, counts, traffic.counts
