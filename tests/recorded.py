"""A recorded log, and runs of the real observe and judge code over it that can be spoilt.

40,000 events and some poison in 4 partitions, ticks where a partition was silent, a break in the
data, and a profile that takes over from another in the middle.
"""

import random
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter

import msgspec

from detectors.channels import FitOptions
from detectors.fit import fit
from detectors.judge import ModelState
from detectors.observe import Observer, Pane
from detectors.panes import Clock, Part, decode_part
from detectors.policy import Policy
from detectors.profile import Profile, ProfileBook
from stream.batching import batch_of
from stream.checkpoint import pack, unpack
from stream.config import Config, KafkaConfig, TimeConfig, semantics_of
from stream.judging import Judging
from stream.records import Records
from stream.routing import parts_of
from tests.accounts import take_batch, take_effect, take_pane, undisturbed
from tests.live import as_json
from tests.logs import START_MS, Shift, events, topic
from tests.logs import Record as Placed
from tests.simulation.cluster import Record
from tests.verifier import Account, Applied, LogFacts, Source

__all__ = [
    "EVENTS",
    "PANE_MS",
    "SUMMARIES",
    "SWITCH_MS",
    "TOPIC",
    "Run",
    "book",
    "live",
    "log",
    "profiles",
    "truth",
]

EVENTS = 40_000
PARTITIONS = 4
SUMMARIES = 2
TOPIC = "r.events"
STEP_MS = 100
# The second profile takes over here: between two panes, on a bucket's border.
SWITCH_MS = START_MS + EVENTS * STEP_MS // 2
PANE_MS = 10_000
CONFIG = Config(
    kafka=KafkaConfig(summaries_partitions=SUMMARIES),
    time=TimeConfig(pane_seconds=PANE_MS // 1000),
)

Log = Sequence[Sequence[Record]]


@cache
def profiles() -> tuple[Profile, Profile]:
    """Fit a reference, and the same model's next one."""
    options = FitOptions(learn_days=0.0, learn_blocks=30)
    first, second = (
        fit(events(20_000, seed=seed, step_ms=STEP_MS), options, Policy()) for seed in (1, 2)
    )
    return first, second


def book(switch_ms: int = SWITCH_MS) -> ProfileBook:
    """Put the first profile in force, and from the switch on the second."""
    held = ProfileBook()
    held.add(profiles()[0], 0)
    held.add(profiles()[1], switch_ms)
    return held


@cache
def log() -> Log:
    """Give the partitions, as Kafka would: one record in a hundred is no event."""
    shift = Shift(at=EVENTS // 4, sigma=2.0, country="DE", until=EVENTS // 3)
    draw = random.Random(1)
    spread = topic(events(EVENTS, seed=5, step_ms=STEP_MS, shifts=(shift,)), PARTITIONS, seed=2)
    return [list(_records(number, one, draw)) for number, one in enumerate(spread)]


def _records(number: int, spread: Sequence[Placed], draw: random.Random) -> Iterator[Record]:
    offset = 0
    for one in spread:
        value = as_json(one.event) if one.event else b""
        headers = [("driftline", b"tick")] if one.tick else []
        values = [(value, headers), *([(b"{", [])] if draw.random() < 0.01 else [])]
        for content, marks in values:
            yield Record(TOPIC, number, offset, one.record_ms, 1, None, content, marks)
            offset += 1 + (draw.random() < 0.001)


@dataclass(frozen=True)
class Run:
    """Say what is wrong with a run: each field stands between two of its steps.

    `read` is what observe reads of a partition, `book` the profiles that it knows, `clock` what
    it takes up at a restart.  `sent` is what of a pane's parts gets to a judge.
    """

    read: Callable[[int, list[Record]], list[Record]] = lambda _, records: records
    book: Callable[[int], ProfileBook] = lambda _: book()
    clock: Callable[[Pane], Clock] = lambda pane: Clock.read(pane.clock.render())
    sent: Callable[[int, Part], list[Part]] = lambda _, part: [part]


def live(run: Run = Run()) -> Account:
    """Observe in chunks with restarts; judge in another order, some parts again; save the state."""
    account = Account()
    judging = Judging(book(), semantics_of(CONFIG), SUMMARIES)
    draw = random.Random(7)
    panes = [_observed(account, number, run, draw) for number in range(PARTITIONS)]
    again: list[tuple[int, Part]] = []
    while any(panes):
        pane = draw.choice([one for one in panes if one]).pop(0)
        for summaries, parts in enumerate(parts_of(pane, SUMMARIES)):
            given = [(summaries, part) for sent in parts for part in run.sent(summaries, sent)]
            again += given if draw.random() < 0.02 else []
            repeated = [draw.choice(again)] if again and draw.random() < 0.02 else []
            for where, part in (*given, *repeated):
                for effect in judging.apply(where, decode_part(part.encode())):
                    take_effect(account, effect)
    for state in judging.states():
        models = {term: unpack(pack(model), ModelState) for term, model in state.models.items()}
        account.states.append(msgspec.structs.replace(state, models=models))
    return account


def _observed(account: Account, number: int, run: Run, draw: random.Random) -> list[Pane]:
    """Observe a partition; now and then another worker goes on from a commit."""
    records = run.read(number, list(log()[number]))
    observer = Observer((TOPIC, number, PARTITIONS), run.book(number), PANE_MS)
    found: list[Pane] = []
    first = 0
    while first < len(records):
        size = draw.choice((20, 200, 1_000))
        batch = batch_of(Records.of(records[first : first + size]), CONFIG)
        first += size
        take_batch(account, (TOPIC, number), batch)
        panes = observer.feed(batch)
        found += panes
        if panes and draw.random() < 0.2:
            observer.start(panes[-1].header.o + 1, run.clock(panes[-1]))
            first = bisect_right(records, panes[-1].header.o, key=attrgetter("offset"))
    for pane in found:
        take_pane(account, pane, SUMMARIES)
    return found


def truth(applied: Applied) -> tuple[Account, Mapping[Source, LogFacts]]:
    """Give the undisturbed run."""
    judging = Judging(book(), semantics_of(CONFIG), SUMMARIES)
    partitions = {(TOPIC, number): records for number, records in enumerate(log())}
    return undisturbed(partitions, (book(), judging), CONFIG, applied)
