"""From the records of a log to alerts and state: a function of the log, and of nothing else.

Not of how fetches are cut, where workers stop and others go on, what they repeat, how partitions
and workers interleave at the judge; nor of the processor, or Python's seed for hashes.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.alert import encode
from detectors.monitor import Monitor
from detectors.observe import Observer, Pane
from detectors.panes import Clock, Part
from detectors.profile import ProfileBook, load, render
from stream.batching import batch_of, runs
from stream.checkpoint import pack
from stream.config import Config, KafkaConfig
from stream.decode.scan.scanner import Scanner
from stream.packing import packed
from stream.records import Records
from stream.routing import parts_of
from tests import logs
from tests.live import as_json
from tests.logs import SEMANTICS, Record, Shift

ROOT = Path(__file__).parents[2]
PARTITIONS, SUMMARIES = 3, 2
EVENTS = 1_500
ARROW_ROWS = 40
BYTES = Config(kafka=KafkaConfig(require_append_time=False))
LATE, ROGUE = 11, 7
GIVEN = "DRIFTLINE_TEST_GIVEN"
LATE_MS, ROGUE_MS = 600_000, 30_000


class Outcome(NamedTuple):
    """Hold what a judge of each summaries partition said, in its order, and its state."""

    said: list[list[bytes]]
    states: list[list[bytes]]
    judged: int
    late: int


class Given(msgspec.Struct):
    """Hold what the answer is a function of."""

    log: list[list[Record]]
    profile: bytes


@cache
def given_now() -> Given:
    """Draw the log, or read it: numpy's own exp, by which amounts are drawn, is not the same."""
    if path := os.environ.get(GIVEN):
        return msgspec.json.decode(Path(path).read_bytes(), type=Given)
    return Given(drawn(), render(logs.profile()).encode())


def log() -> list[list[Record]]:
    return given_now().log


def book() -> ProfileBook:
    return logs.book(load(given_now().profile, "the profile"))


def drawn() -> list[list[Record]]:
    """Spread a log over partitions: out of order, with events too late, and clocks ahead."""
    shifts = (Shift(at=600, sigma=2.5), Shift(at=1_000, sigma=2.5, country="DE"))
    spread = logs.topic(logs.events(EVENTS, seed=11, shifts=shifts), PARTITIONS, 5, 60_000)
    draw = np.random.default_rng(7)
    moved = [-LATE_MS] * LATE + [ROGUE_MS] * ROGUE
    for by_ms in moved:
        records = spread[int(draw.integers(PARTITIONS))]
        at = int(draw.integers(len(records) // 2, len(records) - 60))
        record_ms = records[at].record_ms
        event = logs.events(1, seed=at, start_ms=record_ms + by_ms)[0]
        records.insert(at, Record(record_ms, event))
    return spread


def observer(partition: int) -> Observer:
    source = ("events", partition, PARTITIONS)
    return Observer(source, book(), logs.PANE_MS)


def observed(
    partition: int, start: tuple[int, Clock], cuts: Sequence[int]
) -> list[tuple[list[list[Part]], tuple[int, Clock]]]:
    """Observe a partition's log from a commit up to the last cut; give parts and commits."""
    one, (low, clock) = observer(partition), start
    one.start(low, clock)
    found = []
    for high in cuts:
        if high > low:
            for pane in one.feed(logs.batch(log()[partition][low:high], low)):
                commit = (pane.header.o + 1, Clock.read(pane.clock.render()))
                found.append((parts_of(pane, SUMMARIES), commit))
            low = high
    return found


def judged(orders: Sequence[Sequence[Part]]) -> Outcome:
    monitors = [Monitor(book(), SEMANTICS) for _ in orders]
    said = [
        [encode(effect) for part in parts for effect in monitor.apply(part)]
        for monitor, parts in zip(monitors, orders, strict=True)
    ]
    states = [monitor.snapshot() for monitor in monitors]
    judges = [judge for monitor in monitors for judge in monitor.judges.values()]
    counts = sum(j.counts.judged for j in judges), sum(j.counts.late for j in judges)
    packed = [[pack(s.sources), *map(pack, s.models.values())] for s in states]
    return Outcome(said, packed, *counts)


@cache
def undisturbed() -> Outcome:
    """Observe each partition in one go, and judge one after the other."""
    orders: list[list[Part]] = [[] for _ in range(SUMMARIES)]
    for partition in range(PARTITIONS):
        for parts, _ in observed(partition, (0, Clock()), [len(log()[partition])]):
            for order, some in zip(orders, parts, strict=True):
                order.extend(some)
    return judged(orders)


def in_bytes(partition: int, rows: int) -> list[Pane]:
    """Observe a partition as a worker does: its events as JSON, or in Arrow messages of `rows`."""
    held, spread = book(), log()[partition]
    observer, scanner = (
        Observer(("events", partition, PARTITIONS), held, logs.PANE_MS),
        Scanner(held, BYTES.limits),
    )
    values: list[tuple[bytes, int, bool]] = []
    for ticks, run in groupby(spread, key=lambda record: record.tick):
        some = list(run)
        if ticks or not rows:
            values += [(as_json(r.event) if r.event else b"", r.record_ms, ticks) for r in some]
            continue
        for first in range(0, len(some), rows):
            few = some[first : first + rows]
            (message,) = packed([as_json(r.event) for r in few if r.event], rows, BYTES.limits)
            values.append((message, few[-1].record_ms, False))
    records = Records.of_values([value for value, _, _ in values])
    records.times_ms[:] = [time_ms for _, time_ms, _ in values]
    records.ticks[:] = [tick for _, _, tick in values]
    batches = [batch_of(run, BYTES, scanner) for run in runs(records)]
    assert sum(len(piece.rows) for batch in batches for piece in batch.scanned) > 0.9 * sum(
        batch.accepted for batch in batches
    )
    return [pane for batch in batches for pane in observer.feed(batch)]


@cache
def told_of_bytes(rows: int) -> list[bytes]:
    """Give what an undisturbed run says of records as bytes."""
    panes = [pane for partition in range(PARTITIONS) for pane in in_bytes(partition, rows)]
    return [
        part.encode() for pane in panes for parts in parts_of(pane, SUMMARIES) for part in parts
    ]


def digest() -> str:
    """Hash all of what an undisturbed run says, of events, of JSON and of Arrow messages."""
    found = blake2b(digest_size=16)
    for one in (*undisturbed().said, *undisturbed().states, *map(told_of_bytes, (0, ARROW_ROWS))):
        found.update(b"\n".join(one))
    return found.hexdigest()


def test_json_that_is_scanned_gives_the_parts_of_its_events() -> None:
    panes = [
        observed(partition, (0, Clock()), [len(log()[partition])])
        for partition in range(PARTITIONS)
    ]
    expected = [p.encode() for some in panes for one, _ in some for parts in one for p in parts]
    assert told_of_bytes(0) == expected


def test_arrow_messages_hold_the_events_of_their_log() -> None:
    events = sum(record.event is not None for records in log() for record in records)
    accepted = sum(p.header.accepted for n in range(PARTITIONS) for p in in_bytes(n, ARROW_ROWS))
    assert accepted == events


class Life(NamedTuple):
    """Be one worker's hold on a partition: how it fetched, where it stopped, what it committed."""

    cuts: list[float]
    committed: float


LIVES = st.lists(
    st.builds(
        Life,
        st.lists(st.floats(0, 1), min_size=1, max_size=4),
        st.floats(0, 1),
    ),
    max_size=3,
)


def lived(partition: int, lives: Sequence[Life], seed: int) -> list[list[Part]]:
    """Let workers follow one another; the last reads to the end.  Give the parts as they come.

    What a worker sends behind its last commit comes among what the next one sends.
    """
    end = len(log()[partition])
    start, left = (0, Clock()), list[list[list[Part]]]()
    came: list[list[list[Part]]] = []
    for life in [*lives, Life([1.0], 1.0)]:
        cuts = sorted(int(start[0] + share * (end - start[0])) for share in life.cuts)
        panes = observed(partition, start, cuts)
        known = round(life.committed * len(panes))
        sent = [parts for parts, _ in panes]
        came += logs.interleaved([left, sent[:known]], seed)
        left = sent[known:]
        start = panes[known - 1][1] if known else start
    return [[part for parts in came for part in parts[number]] for number in range(SUMMARIES)]


@settings(max_examples=20)
@given(st.tuples(*[LIVES] * PARTITIONS), st.integers(0, 1_000))
def test_any_fetches_restarts_workers_repeats_and_interleaving_give_the_same_bytes(
    lives: Sequence[Sequence[Life]], seed: int
) -> None:
    came = [lived(partition, some, seed) for partition, some in enumerate(lives)]
    orders = [logs.interleaved([one[n] for one in came], seed + n) for n in range(SUMMARIES)]
    assert judged(orders) == undisturbed()


def test_every_event_is_judged_or_late_and_late_are_those_that_were_made_late() -> None:
    found = undisturbed()
    # The log goes on for a minute, so no bucket is left waiting.
    assert (found.judged, found.late) == (EVENTS + ROGUE, LATE)
    assert any(b'"status":"firing"' in one for said in found.said for one in said)


def test_a_clock_ahead_moves_w_no_further_than_the_broker() -> None:
    ahead = [r for records in log() for r in records if r.event and r.event.time_ms > r.record_ms]
    assert [r.event.time_ms - r.record_ms for r in ahead if r.event] == [ROGUE_MS] * ROGUE
    for partition, records in enumerate(log()):
        for _, (offset, clock) in observed(partition, (0, Clock()), [len(records)]):
            assert clock.w <= records[offset - 1].record_ms


def _features() -> str:
    """Name what numpy would choose at run time on this processor."""
    from numpy._core import _multiarray_umath as umath

    return " ".join(f for f in umath.__cpu_dispatch__ if umath.__cpu_features__[f])


def _other() -> dict[str, dict[str, str]]:
    every = _features()
    return {
        "no features": {"NPY_DISABLE_CPU_FEATURES": every},
        "few features": {"NPY_DISABLE_CPU_FEATURES": " ".join(every.split()[-3:])},
        "generic": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
        "hash seed 1": {"PYTHONHASHSEED": "1"},
        "hash seed 2": {"PYTHONHASHSEED": "2"},
    }


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", _other())
def test_any_processor_and_hash_seed_give_the_same_bytes(name: str, tmp_path: Path) -> None:
    path = tmp_path / "given.json"
    path.write_bytes(msgspec.json.encode(given_now()))
    run = subprocess.run(
        [sys.executable, "-c", "import tests.stream.test_pure_function as t; print(t.digest())"],
        cwd=ROOT,
        env={**os.environ, **_other()[name], "PYTHONPATH": str(ROOT), GIVEN: str(path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=280,
    )
    assert run.stdout.strip() == digest()
