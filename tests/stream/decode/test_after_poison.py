"""After each poison a five-sigma shift is still detected, with the alerts of a log without it."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import logs
import numpy as np
import pytest
from poison import COLUMNS, CSV_HEADER, CSV_POISON, JSON_POISON, LARGE_CSV, LARGE_JSON

from detectors.alert import Alert, encode
from detectors.events import Event, Limits
from detectors.fit import fit
from detectors.monitor import Monitor
from detectors.observe import Batch, Observer
from detectors.panes import Part
from detectors.policy import Policy
from detectors.profile import Profile
from stream.backtest import Backtest
from stream.batching import batch_of
from stream.config import Config, KafkaConfig
from stream.decode.json_events import Decoded, decode
from stream.decode.scan.scanner import Scanner
from stream.records import Records
from tests import scans
from tests.arrow_poison import REFUSED, TAKEN

# The records of poison have been judged at this time (test_json_agreement.py).
START_MS = 1_795_435_200_500
N = 900
SHIFT = 600
BATCH = 100
PANE_MS = 30_000
ARROW = Config(limits=scans.LIMITS, kafka=KafkaConfig(require_append_time=False))
SHELL = {"version": "1", "prediction": 0.5, "id": "a", "latency_seconds": 0.01}


@cache
def profile() -> Profile:
    return fit(bare(logs.events(6_000, seed=1)), logs.SHORT, Policy())


def bare(log: list[Event]) -> list[Event]:
    """Keep one feature, so that a hundred logs a second can be judged."""
    return [
        Event(time_ms=e.time_ms, model="shop", features={"amount": e.features["amount"]})
        for e in log
    ]


@cache
def values() -> tuple[list[bytes], list[int]]:
    """Write the log as JSON records; five sigma are added to `amount` from SHIFT on."""
    shift = logs.Shift(SHIFT, 5.0)
    # Appended as late as the poison of time_future needs it, in event time of its own.
    log = bare(logs.events(N, seed=2, start_ms=START_MS - SHIFT * 1_000, shifts=(shift,)))
    written = [
        json.dumps(SHELL | {"time": e.time_ms / 1000, "model": "shop", "features": e.features})
        for e in log
    ]
    return [text.encode() for text in written], [e.time_ms for e in log]


@cache
def clean(first: int) -> Decoded:
    """Decode one batch of the log as it is."""
    contents, times = values()
    end = first + BATCH
    return decode(contents[first:end], np.array(times[first:end]), Limits())


def batches(poison: list[bytes | None]) -> Iterator[Batch]:
    """Decode the log, with poison before the shift."""
    contents, times = values()
    offset = 0
    for first in range(0, N, BATCH):
        decoded, records = clean(first), times[first : first + BATCH]
        if first == SHIFT and poison:
            records = [records[0]] * len(poison) + records
            batch = [*poison, *contents[first : first + BATCH]]
            decoded = decode(batch, np.array(records), Limits())
        size = len(records)
        yield Batch(
            offsets=np.arange(offset, offset + size),
            record_ms=np.array(records),
            ticks=np.zeros(size, np.bool_),
            events=decoded.events,
            event_rows=decoded.rows,
            reject_rows=decoded.rejected_rows,
            reject_codes=decoded.reject_codes,
        )
        offset += size


def arrow_batches(message: bytes) -> Iterator[Batch]:
    """Decode the log, with an Arrow message before the shift."""
    for batch in batches([]):
        offset = int(batch.offsets[0])
        if offset < SHIFT:
            yield batch
            continue
        if offset == SHIFT:
            log = Records.of_values([message], SHIFT)
            log.times_ms[:] = START_MS
            yield batch_of(log, ARROW, Scanner(logs.book(profile()), ARROW.limits))
        yield replace(batch, offsets=batch.offsets + 1)


def alerts(batches: Iterable[Batch]) -> tuple[list[bytes], dict[str, int], int]:
    """Judge a log; give alerts, reject counts, rows read."""
    book = logs.book(profile())
    observer, monitor = Observer(("events", 0, 1), book, PANE_MS), Monitor(book, logs.SEMANTICS)
    found: list[bytes] = []
    rejected: dict[str, int] = {}
    read = 0
    for batch in batches:
        read += len(batch.offsets)
        for pane in observer.feed(batch):
            rejected |= pane.header.rejected
            effects = monitor.apply(Part(pane.header, pane.entries))
            found += [encode(effect) for effect in effects if isinstance(effect, Alert)]
    return found, rejected, read


@cache
def without_poison() -> list[bytes]:
    found, rejected, read = alerts(batches([]))
    assert (rejected, read) == ({}, N)
    assert any(b'"channel":"feature:amount"' in alert for alert in found)
    return found


POISON = {
    f"{code}-{name}": (value, code) for (code, name), value in JSON_POISON.items()
} | LARGE_JSON


@pytest.mark.parametrize("name", POISON)
def test_a_shift_after_poison_has_the_alerts_of_a_log_without(name: str) -> None:
    value, code = POISON[name]
    found, rejected, read = alerts(batches([value]))
    assert without_poison() == found
    assert ({code: 1}, N + 1) == (rejected, read)


# Rows that are taken are of a model without a profile.
MESSAGES = {
    f"{code}-{name}": (make, [code]) for code, of in REFUSED.items() for name, make in of.items()
} | {name: (make, codes) for name, (make, _, codes) in TAKEN.items()}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_shift_after_an_arrow_message_has_the_alerts_of_a_log_without(name: str) -> None:
    make, codes = MESSAGES[name]
    found, rejected, read = alerts(arrow_batches(make()))
    assert without_poison() == found
    rows = TAKEN[name][1] if name in TAKEN else 0
    assert (dict(Counter(codes)), N + len(codes) + rows) == (rejected, read)


TABLE = {f"{code}-{name}": (value, code) for (code, name), value in CSV_POISON.items()} | LARGE_CSV
ROW = b"%s,shop,1,a,0.5,,,0.01,,%s,,,\n"


@cache
def rows() -> list[bytes]:
    """Write the log as rows of a table."""
    found = []
    for value in values()[0]:
        event = json.loads(value)
        cells = (str(event["time"]), repr(event["features"]["amount"]))
        found.append(ROW % tuple(cell.encode() for cell in cells))
    return found


def of_table(path: Path, poison: bytes) -> tuple[list[bytes], dict[str, int], int]:
    """Run the log as a table, with poison before the shift, through a backtest."""
    path.write_bytes(b"".join([CSV_HEADER, *rows()[:SHIFT], poison, *rows()[SHIFT:]]))
    run = Backtest(Config(columns=COLUMNS), [profile()])
    found = [encode(effect) for effect in run.run([path]) if isinstance(effect, Alert)]
    return found, dict(run.totals.rejected), run.totals.read


@pytest.mark.parametrize("name", TABLE)
def test_a_shift_after_poison_in_a_table_has_the_alerts_of_one_without(
    tmp_path: Path, name: str
) -> None:
    value, code = TABLE[name]
    clean = of_table(tmp_path / "clean.csv", b"")
    assert (clean[1:], len(clean[0])) == (({}, N), len(without_poison()))
    found, rejected, read = of_table(tmp_path / "log.csv", value + b"\n")
    assert clean[0] == found
    assert ({code: 1}, N + 1) == (rejected, read)


def test_poison_that_did_harm_would_be_noticed() -> None:
    """An event in its place that is no poison, and moves what the detector sees."""
    harm = [json.dumps(SHELL | {"time": values()[1][SHIFT] / 1000, "model": "shop"}).encode()] * 500
    found, rejected, _ = alerts(batches(harm))
    assert rejected == {}
    assert without_poison() != found
