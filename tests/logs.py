"""The one home of builders: a seeded log of a small model, and the panes and parts it becomes.

The model has a number, a number that is often missing, a text, a boolean, a score, a latency,
labels for half of its events, and one segment.  A *topic* is a list of partitions, and each
partition a list of `Record`s, as Kafka would hold them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

import msgspec
import numpy as np

from detectors.alert import Alert, Metric
from detectors.channels import FitOptions
from detectors.epochs import Semantics
from detectors.events import Event
from detectors.fit import fit
from detectors.monitor import Monitor
from detectors.observe import Batch, Observer, Pane
from detectors.panes import UNSET, Part
from detectors.policy import Policy
from detectors.profile import Profile, ProfileBook

START_MS = 1_767_225_600_000
PANE_MS = 2_000
TICK_MS = 2_000
LATENESS_MS = 5_000
# A log of hours is enough of a reference for these tests.
SHORT = FitOptions(learn_days=0.0, learn_blocks=30)
SEMANTICS = Semantics(Policy(), LATENESS_MS, "config")
T = TypeVar("T")
COUNTRIES = ("DE", "FR", "US")
PLANS = ("free", "pro", "team", "trial")


@dataclass(frozen=True)
class Shift:
    """Move `amount` by so many sigma, from one event to another, in one country or everywhere."""

    at: int
    sigma: float
    country: str | None = None
    until: int = 1 << 60


def events(
    n: int,
    seed: int = 0,
    *,
    start_ms: int = START_MS,
    step_ms: int = 1_000,
    shifts: Sequence[Shift] = (),
) -> list[Event]:
    """Draw n events of model `shop`, one every `step_ms`, in order of their times."""
    draw = np.random.default_rng(seed)
    amount = draw.normal(3.0, 0.5, n)
    country = draw.choice(len(COUNTRIES), n, p=(0.5, 0.3, 0.2)).tolist()
    for shift in shifts:
        moved = (np.arange(n) >= shift.at) & (np.arange(n) < shift.until)
        if shift.country is not None:
            moved &= np.array(country) == COUNTRIES.index(shift.country)
        amount = amount + 0.5 * shift.sigma * moved
    amounts = np.exp(amount).tolist()
    ages = [
        None if gone else age for gone, age in _pairs(draw.random(n) < 0.1, draw.normal(40, 12, n))
    ]
    plans = draw.choice(len(PLANS), n, p=(0.5, 0.3, 0.17, 0.03)).tolist()
    active = (draw.random(n) < 0.7).tolist()
    scores = draw.beta(2.0, 5.0, n)
    labels = [
        float(hit) if known else None
        for known, hit in _pairs(draw.random(n) < 0.5, draw.random(n) < scores)
    ]
    latencies = draw.exponential(0.02, n).tolist()
    return [
        Event(
            time_ms=start_ms + i * step_ms,
            model="shop",
            version="1",
            features={
                "amount": amounts[i],
                "age": ages[i],
                "plan": PLANS[plans[i]],
                "active": active[i],
            },
            score=float(scores[i]),
            segments={"country": COUNTRIES[country[i]]},
            label=labels[i],
            latency_seconds=latencies[i],
        )
        for i in range(n)
    ]


def _pairs(*columns: Any) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.tolist() for column in columns), strict=True)


@cache
def profile() -> Profile:
    """Fit the reference: 30,000 events, 500 blocks of 60."""
    return fit(events(30_000, seed=1), SHORT, Policy())


def book(*profiles: Profile) -> ProfileBook:
    """Put profiles in force from the beginning."""
    held = ProfileBook()
    for one in profiles:
        held.add(one, 0)
    return held


@dataclass(frozen=True)
class Record:
    """Be one record of a partition: an event, a reject, or a tick."""

    record_ms: int
    event: Event | None = None
    tick: bool = False
    reject: str = "json"


def batch(records: Sequence[Record], first_offset: int, *, timed: bool = True) -> Batch:
    """Lay consecutive records out as observe takes them."""
    rows = [i for i, r in enumerate(records) if r.event is not None]
    bad = [i for i, r in enumerate(records) if r.event is None and not r.tick]
    return Batch(
        offsets=np.arange(first_offset, first_offset + len(records)),
        record_ms=np.array([r.record_ms for r in records], np.int64) if timed else None,
        ticks=np.array([r.tick for r in records], np.bool_),
        events=[records[i].event for i in rows],
        event_rows=np.array(rows, np.int64),
        reject_rows=np.array(bad, np.int64),
        reject_codes=[records[i].reject for i in bad],
    )


def topic(
    log: Sequence[Event], partitions: int, seed: int = 0, quiet_ms: int = 0
) -> list[list[Record]]:
    """Spread events over partitions, each appended up to a second after its time; idle ones tick.

    Ticks go on for `quiet_ms` behind the last event.
    """
    draw = np.random.default_rng(seed)
    where = draw.integers(0, partitions, len(log))
    appended = [
        e.time_ms + int(d) for e, d in zip(log, draw.integers(0, 1_000, len(log)), strict=True)
    ]
    start_ms, end_ms = min(appended), max(appended) + quiet_ms
    spread = []
    for p in range(partitions):
        mine = [Record(appended[i], log[i]) for i in np.flatnonzero(where == p).tolist()]
        spread.append(_with_ticks(sorted(mine, key=lambda r: r.record_ms), start_ms, end_ms))
    return spread


def _with_ticks(records: list[Record], start_ms: int, end_ms: int) -> list[Record]:
    """Write a tick wherever a partition was silent for TICK_MS."""
    ticked: list[Record] = []
    last = start_ms
    for record in [*records, Record(end_ms, tick=True)]:
        while record.record_ms - last > TICK_MS:
            last += TICK_MS
            ticked.append(Record(last, tick=True))
        ticked.append(record)
        last = record.record_ms
    return ticked


def panes(
    records: Sequence[Record], observer: Observer, cuts: Iterable[int] = (), *, timed: bool = True
) -> list[Pane]:
    """Feed a partition's records in batches that end before the given indices."""
    bounds = [0, *cuts, len(records)]
    found: list[Pane] = []
    for low, high in pairwise(bounds):
        found += observer.feed(batch(records[low:high], low, timed=timed))
    return found


def parts_of_topic(spread: Sequence[Sequence[Record]], held: ProfileBook) -> list[list[Part]]:
    """Observe every partition of a topic on its own; give the parts of each."""
    found = []
    for p, records in enumerate(spread):
        observer = Observer(("events", p, len(spread)), held, PANE_MS)
        found.append([Part(pane.header, pane.entries) for pane in panes(records, observer)])
    return found


def parts_of_file(log: Sequence[Event], held: ProfileBook) -> list[Part]:
    """Observe a log as a file, to its end."""
    observer = Observer(("file", 0, 1), held, PANE_MS)
    records = [Record(UNSET, event) for event in log]
    found = [*panes(records, observer, timed=False), observer.finish(len(records) - 1)]
    return [Part(pane.header, pane.entries) for pane in found]


def interleaved(lists: Sequence[Sequence[T]], seed: int) -> list[T]:
    """Merge lists in a random order that keeps each list's own."""
    draw = np.random.default_rng(seed)
    turns = draw.permutation(np.repeat(np.arange(len(lists)), [len(one) for one in lists]))
    heads = [iter(one) for one in lists]
    return [next(heads[turn]) for turn in turns.tolist()]


def effects(monitor: Monitor, parts: Iterable[Part]) -> list[Alert | Metric]:
    """Apply parts; give everything that follows."""
    return [effect for part in parts for effect in monitor.apply(part)]


def judged(
    log: Sequence[Event], held: ProfileBook, *, metrics: bool = False
) -> list[Alert | Metric]:
    """Run a log as a file through observe and judge."""
    return effects(Monitor(held, SEMANTICS, metrics=metrics), parts_of_file(log, held))


def alerts(log: Sequence[Event], held: ProfileBook) -> list[Alert]:
    """Give the alerts of a log that is read as a file."""
    return [effect for effect in judged(log, held) if isinstance(effect, Alert)]


def instant_ms(text: str) -> int:
    """Read a time of an alert or metric in milliseconds."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def renamed(log: Sequence[Event], model: str) -> list[Event]:
    """Give the same events to another model."""
    return [msgspec.structs.replace(event, model=model) for event in log]
