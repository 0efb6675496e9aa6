"""Arrow messages: the same rows as JSON events give the same panes; hostile bytes give rejects."""

import random
import struct
from hashlib import sha256
from itertools import pairwise

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.events import Limits, Reject
from detectors.learning import arrived_in
from detectors.observe import Batch, Observer, Pane
from detectors.panes import Clock
from stream.batching import batch_of, decoded, rejects, runs
from stream.config import Config, KafkaConfig
from stream.decode.arrow.frames import check_frames
from stream.decode.scan.scanner import Scanner
from stream.decode.strict import RejectedError
from stream.records import Records
from stream.role import Partition
from tests import arrows, scans
from tests.arrow_poison import GOOD

PANE_MS = 10_000
CONFIG = Config(limits=scans.LIMITS, kafka=KafkaConfig(require_append_time=False))


def records(values: list[bytes], first: int = 0) -> Records:
    found = Records.of_values(values, first)
    found.times_ms[:] = scans.RECORD_MS
    return found


def batch(value: bytes) -> Batch:
    held = scans.book()
    return batch_of(records([value]), CONFIG, Scanner(held, CONFIG.limits))


def pane(found: Batch) -> tuple[Pane, Clock]:
    """Close the one pane that a batch makes, and give the clock before."""
    observer = Observer(("e", 0, 1), scans.book(), PANE_MS)
    observer.start(0, Clock(r=scans.RECORD_MS))
    assert observer.feed(found) == []
    clock = observer.clock
    return observer.finish(0), clock


def assert_same(made: arrows.Made) -> Batch:
    """Require of a message what its rows are as JSON events."""
    found = batch(made.value)
    times = np.full(len(made.rows), scans.RECORD_MS, np.int64)
    expected = decoded(Records.of_values(made.rows), times, CONFIG, None)
    reasons = dict(zip(found.reject_rows.tolist(), found.reject_codes, strict=True))
    assert reasons == dict(zip(expected.reject_rows.tolist(), expected.reject_codes, strict=True))
    assert found.times_ms.tolist() == expected.times_ms.tolist()
    assert pane(found) == pane(expected)
    return found


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_rows_of_a_message_are_the_events_that_they_are_in_json(seed: int, rows: int) -> None:
    assert_same(arrows.Writer(random.Random(seed)).made(rows))


def test_most_rows_come_as_columns_and_few_of_them_are_refused() -> None:
    rng = random.Random(5)
    made = [arrows.Writer(rng, plain=0.5).made(50) for _ in range(100)]
    found = [assert_same(one) for one in made]
    scanned = sum(len(piece.rows) for one in found for piece in one.scanned)
    assert scanned > 0.6 * 5_000
    codes = {code for one in found for code in one.reject_codes}
    assert codes >= {"model_missing", "time_range", "time_future", "number_range", "field_type"}
    assert sum(len(one.events) for one in found) > 50


def test_a_message_of_those_columns_is_taken() -> None:
    found = batch(arrows.message(GOOD))
    assert (found.accepted, found.reject_codes, found.of_one) == (3, [], True)


def shared_fields(depth: int, width: int) -> bytes:
    """Write a schema of few bytes: each field has one child, so many times."""
    content = bytearray(struct.pack("<I", 16))
    content += struct.pack("<6H", 10, 12, 0, 4, 8, 0) + struct.pack("<iB3xI", 12, 1, 12)
    content += struct.pack("<4HiI", 8, 8, 0, 4, 8, 4)
    for level in range(depth):
        below = 4 + 4 * width + 16
        content += struct.pack("<I", width)
        content += b"".join(struct.pack("<I", below - 4 * (i + 1)) for i in range(width))
        content += struct.pack("<8H", 16, 8, 0, 0, 0, 0, 0, 4 if level < depth - 1 else 0)
        content += struct.pack("<iI", 16, 4)
    return b"\xff" * 4 + struct.pack("<i", len(content)) + bytes(content)


@pytest.mark.parametrize(
    ("depth", "width", "code"), [(1, 1, "ok"), (4, 7, "ok"), (4, 8, "limit"), (5, 2, "depth")]
)
def test_fields_that_share_their_children_are_counted_as_often_as_they_are_read(
    depth: int, width: int, code: str
) -> None:
    value = shared_fields(depth, width)
    assert len(value) < 600
    if code == "ok":
        assert check_frames(value, 10) == value[8:]
        return
    with pytest.raises(RejectedError, match=code):
        check_frames(value, 10)


def test_a_pane_ends_with_a_message_not_within_it() -> None:
    """Cut a log of both kinds in any runs: the rows of a message stay together."""
    held = scans.book()
    rng = random.Random(3)
    values = []
    for _ in range(30):
        made = arrows.Writer(rng, plain=1.0).made(7)
        values += [made.value] if rng.random() < 0.5 else made.rows
    log = records(values, 100)
    log.times_ms[:] = scans.RECORD_MS + np.arange(len(values)) * 700
    found = []
    for cuts in ([0], sorted(rng.sample(range(len(values)), 9))):
        observer = Observer(("e", 0, 1), held, PANE_MS)
        observer.start(100, Clock())
        scanner, panes = Scanner(held, CONFIG.limits), []
        for low, high in pairwise([0, *cuts, len(values)]):
            for run in runs(log[low:high]):
                panes += observer.feed(batch_of(run, CONFIG, scanner))
        panes.append(observer.finish(100 + len(values) - 1))
        found.append(panes)
    assert found[0] == found[1]
    assert len(found[0]) > 5
    assert [p.header.a for p in found[0][1:]] == [p.header.o + 1 for p in found[0][:-1]]
    rows = sum(7 if value[:1] == b"\xff" else 1 for value in values)
    assert sum(p.header.read for p in found[0]) == rows


def test_the_cap_of_a_pane_waits_for_the_end_of_a_message() -> None:
    columns = {"time": pa.array([1.7e9] * 60_000), "model": pa.array(["shop"] * 60_000)}
    observer = Observer(("e", 0, 1), scans.book(), PANE_MS)
    observer.start(0, Clock(r=scans.RECORD_MS))
    scanner = Scanner(scans.book(), Limits())
    log = records([arrows.message(columns)] * 6)
    config = Config(kafka=CONFIG.kafka)
    panes = [p for run in runs(log) for p in observer.feed(batch_of(run, config, scanner))]
    found = [(p.header.o, p.header.read, p.header.accepted) for p in panes]
    assert found == [(4, 300_000, 300_000)]


def test_the_rows_of_a_message_are_learnt_from_one_by_one() -> None:
    """Thin a reference: the rows of one message are neither all kept nor all left out."""
    arrived = arrived_in(batch(arrows.message(GOOD | {"model": ["toys"] * 3})))
    assert [event.model for event in arrived.events] == ["toys"] * 3
    assert len(set(arrived.places[arrived.rows].tolist())) == 3


def test_a_row_that_is_refused_is_named_with_its_message() -> None:
    value = arrows.message(GOOD | {"weight": [1, 5_000, 0]})
    log = records([value], 17)
    found = list(rejects(Partition("e", 3), log, batch_of(log, CONFIG)))
    expected = Reject("field_type", "e", 3, 17, sha256(value).hexdigest(), len(value), 1)
    assert found == [expected, msgspec.structs.replace(expected, row=2)]
    whole = records([b"\xff" * 9], 4)
    (reject,) = rejects(Partition("e", 3), whole, batch_of(whole, CONFIG))
    assert (reject.code, reject.offset, reject.row) == ("arrow", 4, None)
    assert b'"row"' not in msgspec.json.encode(reject)


def test_a_message_under_quarantine_is_one_reject_that_nothing_reads() -> None:
    log = records([arrows.message(GOOD)], 17)
    found = batch_of(log, CONFIG, None, [17])
    assert (found.reject_codes, found.accepted, found.of_one) == (["quarantine"], 0, False)
