"""Learning: which events of the log are the reference of a model that nobody has fitted one for.

The reference is the model's first events: those that are on time, from the first one on, for a
whole number of steps, the first number with which there are enough.  It is a function of the
log: however the records come in chunks, and whoever learns, the events are the same.

A reference of very many events is thinned by a hash of their places in the log.  What is left
stands for the rest by its weight, and blocks grow with it, so that each holds as many events.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.channels import FitOptions
from detectors.events import Event
from detectors.fit import fit, propose_bucket_seconds
from detectors.observe import Batch
from detectors.panes import UNSET, Clock, cut
from detectors.policy import Policy
from detectors.profile import Profile

__all__ = ["Arrived", "Learner", "Learnt", "Patience", "arrived_in", "learnt_profile"]

# While it is gathered, a reference may hold twice as much: what is thinned in the end is then a
# function of the log, however far some partitions are read ahead.
EVENTS_MAX = 50_000
REFERENCE_BYTES_MAX = 192 << 20
MODELS_MAX = 2
# What Python takes for an event, and for each named value in it.
_EVENT_BYTES, _VALUE_BYTES = 600, 150
_WEIGHT_MAX = 1 << 14
_STEPS_MAX = 7
_STEADY_EVENTS = 100
# How far in record time one partition may be read ahead of another (`stream.topic_ranges`).
_READ_ALONG_MS = 60_000
_HASH_BITS = 64
_PANE_MS = 1_000  # where panes end is of no matter here


class Patience(NamedTuple):
    """Say how long a reference is, in steps, how many events are enough, and what is late."""

    step_ms: int
    events: int
    lateness_ms: int


class Learnt(NamedTuple):
    """Hold a reference: its events, of which each stands for 2**level, and its end."""

    model: str
    events: list[Event]
    level: int
    end_ms: int


@dataclass(frozen=True)
class Arrived:
    """Hold n consecutive records of one partition: record times, and event times (or UNSET).

    `places` int64[n] differ within the partition.  `events` are those that may be of a model
    without a profile, in order; `rows` says which records they are.
    """

    places: NDArray[np.int64]
    record_ms: NDArray[np.int64]
    times_ms: NDArray[np.int64]
    ticks: NDArray[np.bool_]
    events: Sequence[Event]
    rows: NDArray[np.int64]


@dataclass
class _Candidate:
    """Gather one model's events: (hash, event), of which those of a low hash are kept."""

    first_ms: dict[int, int] = field(default_factory=dict)
    held: list[tuple[int, Event]] = field(default_factory=list)
    held_bytes: int = 0
    level: int = 0
    steps: int = 1

    @property
    def start_ms(self) -> int:
        return min(self.first_ms.values())

    def take(self, partition: int, key: int, event: Event) -> None:
        """Keep one event that is on time, if its hash is low enough."""
        self.first_ms.setdefault(partition, event.time_ms)
        if key >> (_HASH_BITS - self.level) == 0:
            self.held.append((key, event))
            self.held_bytes += _bytes(event)
        if len(self.held) > 2 * EVENTS_MAX or self.held_bytes > 2 * REFERENCE_BYTES_MAX:
            self.level += 1
            self.held = _thinned(self.held, self.level)
            self.held_bytes = sum(_bytes(event) for _, event in self.held)


class Learner:
    """Watch every partition of the events topic; give references when they are complete."""

    def __init__(self, partitions: int, patience: Patience, known: Callable[[str], bool]) -> None:
        """Learn what `known` says has no profile; a few models at a time, others wait."""
        self._clocks = [Clock()] * partitions
        self._patience = patience
        self._known = known
        self._candidates: dict[str, _Candidate] = {}

    @property
    def models(self) -> int:
        """Count the models that are being learnt."""
        return len(self._candidates)

    def reach(self, partition: int, clock: Clock) -> None:
        """Take note of a partition's clock where its next records begin, as a pane tells it."""
        self._clocks[partition] = clock

    def take(self, partition: int, arrived: Arrived) -> None:
        """Take the next records of a partition, in order."""
        w_before = self._advance(partition, arrived)
        keys = _hashes(partition, arrived.places[arrived.rows]).tolist()
        for event, key, w in zip(
            arrived.events, keys, w_before[arrived.rows].tolist(), strict=True
        ):
            if event.time_ms + self._patience.lateness_ms <= w:
                continue
            candidate = self._candidates.get(event.model) or self._begun(event.model)
            if candidate is not None:
                candidate.take(partition, key, event)

    def _begun(self, model: str) -> _Candidate | None:
        """Begin with a model, in the place of one that hardly ever turns up if there is none."""
        if self._known(model):
            return None
        if len(self._candidates) >= MODELS_MAX:
            rarest = min(self._candidates, key=lambda name: len(self._candidates[name].held))
            if len(self._candidates[rarest].held) >= _STEADY_EVENTS:
                return None
            del self._candidates[rarest]
        self._candidates[model] = _Candidate()
        return self._candidates[model]

    def due(self) -> list[Learnt]:
        """Give the references that are complete, and forget their models."""
        horizon = self._horizon()
        found = []
        for model, candidate in list(self._candidates.items()):
            learnt = self._learnt(model, candidate, horizon)
            if learnt is not None:
                del self._candidates[model]
                found.append(learnt)
        return found

    def _horizon(self) -> int:
        """Say up to when every partition has been read; one without events must be read along."""
        latest = max(clock.r for clock in self._clocks)
        running = [clock.w for clock in self._clocks if clock.w != UNSET]
        silent = [clock.r for clock in self._clocks if clock.w == UNSET]
        if not running or any(r + _READ_ALONG_MS < latest for r in silent):
            return UNSET
        return min(running) - self._patience.lateness_ms

    def _learnt(self, model: str, candidate: _Candidate, horizon: int) -> Learnt | None:
        """Find the first number of steps that is over and holds enough events."""
        start, step = candidate.start_ms, self._patience.step_ms
        while start + candidate.steps * step <= horizon:
            end = start + candidate.steps * step
            within = [one for one in candidate.held if start <= one[1].time_ms < end]
            enough = len(within) << candidate.level >= self._patience.events
            if enough or candidate.steps == _STEPS_MAX:
                return _complete(model, candidate.level, within, end)
            candidate.steps += 1
        return None

    def _advance(self, partition: int, arrived: Arrived) -> NDArray[np.int64]:
        """Move a partition's W over the records; give W before each of them."""
        times = arrived.times_ms
        seen = np.where(times == UNSET, UNSET, np.minimum(times, arrived.record_ms))
        before = np.empty(len(times), np.int64)
        first = 0
        for last in [*np.flatnonzero(arrived.ticks).tolist(), len(times) - 1]:
            part = slice(first, last + 1)
            clock = self._clocks[partition]
            before[part] = np.maximum.accumulate(np.concatenate([[clock.w], seen[part]]))[:-1]
            records = (arrived.record_ms[part], times[part], arrived.ticks[part])
            self._clocks[partition] = cut(records, clock, 0, _PANE_MS)[2]
            first = last + 1
        return before


def arrived_in(batch: Batch) -> Arrived:
    """Take what learning needs of a batch; without record times W rests on those of events."""
    record_ms = batch.times_ms if batch.record_ms is None else batch.record_ms
    rest = (batch.ticks, batch.events, batch.event_rows)
    # A message's rows share its offset; thinned by that alone, all of them or none would be left.
    places = batch.offsets + (np.arange(len(batch.offsets)) << 32) * batch.of_one
    return Arrived(places, record_ms, batch.times_ms, *rest)


def learnt_profile(learnt: Learnt, options: FitOptions, policy: Policy) -> Profile:
    """Fit a profile as from a file of these events, each standing for those left out.

    Raises
    ------
    ValueError
        If the events carry nothing to watch.
    """
    span_ms = learnt.events[-1].time_ms - learnt.events[0].time_ms
    bucket = options.bucket_seconds or propose_bucket_seconds(
        len(learnt.events), span_ms, options.block_events
    )
    options = msgspec.structs.replace(
        options, bucket_seconds=bucket, block_events=options.block_events << learnt.level
    )
    events = learnt.events
    if learnt.level:
        weights = (min(event.weight << learnt.level, _WEIGHT_MAX) for event in events)
        events = [
            msgspec.structs.replace(event, weight=weight)
            for event, weight in zip(events, weights, strict=True)
        ]
    return fit(events, options, policy)


def _complete(model: str, level: int, within: list[tuple[int, Event]], end_ms: int) -> Learnt:
    """Thin a reference to its bound, in an order that no chunking of the log changes."""
    while len(within) > EVENTS_MAX or sum(_bytes(e) for _, e in within) > REFERENCE_BYTES_MAX:
        level += 1
        within = _thinned(within, level)
    within.sort(key=lambda one: (one[1].time_ms, one[0]))
    return Learnt(model, [event for _, event in within], level, end_ms)


def _bytes(event: Event) -> int:
    """Estimate the memory of an event."""
    named = (event.features, event.segments, event.attributions, event.metrics)
    texts = [len(v) for values in named for v in values.values() if isinstance(v, str)]
    return _EVENT_BYTES + _VALUE_BYTES * sum(len(values) for values in named) + sum(texts)


def _thinned(held: list[tuple[int, Event]], level: int) -> list[tuple[int, Event]]:
    return [one for one in held if one[0] >> (_HASH_BITS - level) == 0]


def _hashes(partition: int, offsets: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Hash places in the log to 64 bits (the finaliser of splitmix64, Steele et al. 2014)."""
    x = offsets.astype(np.uint64) + (np.uint64(partition + 1) << np.uint64(48))
    x *= np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
