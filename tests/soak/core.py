"""The core under a long load: observe and judge in this process, watched as they go."""

import gc
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from detectors.alert import Alert, Metric
from detectors.epochs import Epochs
from detectors.events import Event, Limits
from detectors.judge import ModelState
from detectors.layout import layout_of
from detectors.monitor import Monitor, MonitorState
from detectors.observe import Batch, Observer, Pane
from detectors.order import Source
from detectors.panes import Part, decode_part
from detectors.profile import ProfileBook
from detectors.summary.cells import Moments, add_cell
from stream.checkpoint import pack, unpack
from stream.config import Config, semantics_of
from stream.decode.json_events import Decoded, decode
from stream.metrics import ObserveSeries
from tests.soak.traffic import HEAVY_USER, START_MS, Traffic, profile
from tests.soak.watch import Sample, handles_of

__all__ = ["METRICS_BYTES_MAX", "Core", "Run", "bounds", "soak"]

PARTITIONS = 4
BATCH = 1_000
PANE_MS = 10_000
PER_SECOND = 80.0
SAMPLES = 40
KINDS = 16
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
        self.monitor = self._monitor()
        self.series = ObserveSeries()
        self.counts: Counter[str] = Counter()
        self._offsets = [0] * partitions
        self._layout = layout_of(self.profile)
        self._moments = Moments.zeros(self._layout)

    def _monitor(self) -> Monitor:
        return Monitor(self.book, Epochs(semantics_of(Config())))

    def feed(self, partition: int, batch: Batch) -> None:
        """Observe one batch, and judge the panes that end in it."""
        for pane in self.observers[partition].feed(batch):
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
        self.series.watermark.labels(header.topic, header.partition).set(header.w_after / 1000)
        for entry in pane.entries:
            add_cell(entry.data, self._layout, self._moments)

    def batch(self, partition: int, decoded: Decoded, times: Sequence[int]) -> Batch:
        """Lay out decoded records, appended as their events happened, at the next offsets."""
        first = self._offsets[partition]
        self._offsets[partition] = first + len(times)
        return Batch(
            offsets=np.arange(first, first + len(times)),
            record_ms=np.array(times, np.int64),
            ticks=np.zeros(len(times), np.bool_),
            events=decoded.events,
            event_rows=decoded.rows,
            reject_rows=decoded.rejected_rows,
            reject_codes=decoded.reject_codes,
        )

    def end(self, time_ms: int) -> None:
        """End the open pane of every partition with a tick."""
        none = np.zeros(0, np.int64)
        tick, time = np.ones(1, np.bool_), np.array([time_ms])
        for partition, offset in enumerate(self._offsets):
            self.feed(partition, Batch(np.array([offset]), time, tick, [], none, none, []))

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
        lines = page.splitlines()
        series = sum(not line.startswith(b"#") for line in lines)
        return Sample(events, *handles_of([os.getpid()]), series, state_bytes)


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
    """Run events through observe and judge: decoded once, and given new times in every round.

    There are rejects in every batch, late events now and then, and an amount that breaks, and
    recovers, so that alerts open and resolve.
    """
    core = Core(PARTITIONS)
    traffic = Traffic(PER_SECOND)
    plain = [kinds(traffic, i, 1.0) for i in range(KINDS)]
    broken = [kinds(traffic, i, 1.6) for i in range(KINDS)]

    def rounds() -> Iterator[int]:
        for number in range(-(-events // (PARTITIONS * BATCH))):
            is_broken = number % CYCLE_ROUNDS >= CYCLE_ROUNDS - BROKEN_ROUNDS
            yield feed_round(core, broken if is_broken else plain, number)

    run = watched(core, events, rounds(), tell)
    core.end(START_MS + int(run.samples[-1].events * 1000 / PER_SECOND))
    return run, core.counts + core.judged()


def kinds(traffic: Traffic, number: int, factor: float) -> Decoded:
    """Decode one batch of events with three rejects in it."""
    values: list[bytes | None] = [*traffic.batch(number * BATCH, BATCH - 3, factor)]
    values[10:10], values[500:500], values[700:700] = [b"{"], [b""], [b'{"time": 1}']
    return decode(values, None, Limits())


def feed_round(core: Core, batches: Sequence[Decoded], number: int) -> int:
    """Give each partition a batch of records with the times of this round."""
    step_ms = PARTITIONS * 1000 / PER_SECOND
    start_ms = START_MS + int(number * BATCH * step_ms)
    times = [start_ms + int(i * step_ms) for i in range(BATCH)]
    for partition in range(PARTITIONS):
        chosen = batches[(number * PARTITIONS + partition) % len(batches)]
        for event, row in zip(chosen.events, chosen.rows.tolist(), strict=True):
            event.time_ms = times[row]
        if number % 10 == 5:
            _make_late(chosen.events[:20])
        core.feed(partition, core.batch(partition, chosen, times))
    return PARTITIONS * BATCH


def _make_late(events: Sequence[Event]) -> None:
    for event in events:
        event.time_ms -= 120_000


def bounds(events: int, tell: Callable[[str], None]) -> tuple[Run, Counter[str], Counter[str]]:
    """Decode and run events with names and values without end.

    Give also what was counted, and what there was to count.
    """
    core = Core(1)
    traffic = Traffic(PER_SECOND)

    def rounds() -> Iterator[int]:
        for first in range(0, events, BATCH):
            times = [traffic.time_ms(i) for i in range(first, first + BATCH)]
            values: list[bytes | None] = [*traffic.batch(first, BATCH)]
            found = decode(values, np.array(times), Limits())
            core.feed(0, core.batch(0, found, times))
            yield BATCH

    run = watched(core, events, rounds(), tell)
    core.end(traffic.time_ms(events))
    counts = core.counts + core.judged()
    counts["heavy"] = core.in_slice("user", HEAVY_USER)
    return run, counts, traffic.counts
