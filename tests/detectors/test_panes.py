"""Panes: the cuts are in the log, whatever the batching; clocks, commits and parts."""

import contextlib
import re
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.errors import SnapshotCorrupt, SnapshotTooNew
from detectors.panes import FOREVER, UNSET, Clock, Cut, End, Entry, Header, Part, cut, decode_part

START = 1_767_225_600_000
Row = tuple[int, int, bool]

# (step of the record time, event time behind its record or None for a reject, tick)
STEPS = st.tuples(
    st.sampled_from([0, 1, 300, 1_999, 2_000, 7_000, -2_500]),
    st.one_of(st.none(), st.sampled_from([0, 1, 900, 30_000, -5_000])),
    st.booleans(),
)


def rows_of(steps: list[tuple[int, int | None, bool]]) -> list[Row]:
    """Make (record time, event time, tick) rows; a tick is no event."""
    now, rows = START, []
    for step, behind, tick in steps:
        now += step
        rows.append((now, UNSET if tick or behind is None else now - behind, tick))
    return rows


def plain_cut(rows: list[Row], pane_ms: int, records_max: int = 1 << 18) -> list[Cut]:
    """Cut record by record, as DESIGN.md says it."""
    w = a = r = None
    count, cuts = 0, []
    for i, (record, event, tick) in enumerate(rows):
        before = None if r is None else r // pane_ms
        r = record if r is None else max(r, record)
        if tick and w is not None:
            w, a = w + r - a, r
        elif not tick and event != UNSET and (w is None or min(event, record) > w):
            w, a = min(event, record), r
        count += 1
        if tick or before is None or r // pane_ms > before or count == records_max:
            clock = [UNSET if x is None else x for x in (w, a, r)]
            cuts.append(Cut(i, r // pane_ms, Clock(*clock)))
            count = 0
    return cuts


def cut_in_batches(rows: list[Row], bounds: list[int], pane_ms: int = 2_000) -> list[Cut]:
    """Cut with the code under test, batch after batch."""
    clock, count, found = Clock(), 0, []
    for low, high in pairwise([0, *bounds, len(rows)]):
        record, event, tick = (
            (list(c) for c in zip(*rows[low:high], strict=True)) if high > low else ([],) * 3
        )
        arrays = (np.array(record, np.int64), np.array(event, np.int64), np.array(tick, np.bool_))
        cuts, count, clock = cut(arrays, clock, count, pane_ms)
        found += [Cut(c.end + low, c.number, c.clock) for c in cuts]
    return found


@given(st.lists(STEPS, max_size=40), st.data())
def test_cuts_are_those_of_a_plain_walk_in_any_batching(
    steps: list[tuple[int, int | None, bool]], data: st.DataObject
) -> None:
    rows = rows_of(steps)
    bounds = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=5)))
    assert plain_cut(rows, 2_000) == cut_in_batches(rows, bounds)


@given(st.lists(STEPS, min_size=2, max_size=40), st.data())
def test_a_restart_at_any_commit_finds_the_same_cuts(
    steps: list[tuple[int, int | None, bool]], data: st.DataObject
) -> None:
    rows = rows_of(steps)
    cuts = cut_in_batches(rows, [])
    at = data.draw(st.sampled_from(cuts))
    clock = Clock.read(at.clock.render())
    rest = rows[at.end + 1 :]
    arrays = tuple(np.array([row[k] for row in rest], t) for k, t in enumerate((int, int, bool)))
    again, _, _ = cut(arrays, clock, 0, 2_000)
    behind = [c for c in cuts if c.end > at.end]
    assert behind == [Cut(c.end + at.end + 1, c.number, c.clock) for c in again]


def test_the_record_time_may_step_back_without_a_cut() -> None:
    rows = [(START, START, False), (START - 9_000, START - 9_000, False), (START + 1, START, False)]
    assert [c.end for c in cut_in_batches(rows, [])] == [0]


def test_an_event_ahead_of_its_record_moves_w_no_further_than_the_record() -> None:
    assert cut_in_batches([(START, START + 50_000, False)], [])[0].clock.w == START


def test_a_tick_ends_the_pane_and_moves_w_by_the_time_since_it_rose() -> None:
    rows = [
        (START, START - 400, False),
        (START + 1_500, UNSET, False),
        (START + 1_700, UNSET, True),
    ]
    last = cut_in_batches(rows, [])[-1]
    assert Cut(2, START // 2_000, Clock(START - 400 + 1_700, START + 1_700, START + 1_700)) == last


def test_ticks_before_the_first_event_leave_w_unset() -> None:
    rows = [(START + i * 2_000, UNSET, True) for i in range(3)]
    assert [c.clock.w for c in cut_in_batches(rows, [])] == [UNSET] * 3


@pytest.mark.parametrize("bounds", [[], [1, 100_000, (1 << 18) - 1, 1 << 18]])
def test_a_pane_ends_with_its_largest_number_of_records(bounds: list[int]) -> None:
    n = (1 << 19) + 10
    record = np.full(n, START)
    clock, count, ends = Clock(), 0, []
    for low, high in pairwise([0, *bounds, n]):
        batch = (record[low:high], record[low:high], np.zeros(high - low, np.bool_))
        cuts, count, clock = cut(batch, clock, count, 2_000)
        ends += [c.end + low for c in cuts]
    # The very first record rises from nothing and ends a pane of its own.
    assert ends == [0, 1 << 18, 1 << 19]
    assert count == 9


@pytest.mark.parametrize("clock", [Clock(), Clock(5, 7, 9), Clock(4_102_444_800_000, 1, 2)])
def test_a_clock_survives_its_commit(clock: Clock) -> None:
    assert clock == Clock.read(clock.render())


@pytest.mark.parametrize("clock", [Clock(), Clock(5, 7, 9)])
@pytest.mark.parametrize("end", [None, End(-1, 8), End(10**18 - 1, 4_102_444_800_000)])
def test_a_commit_carries_the_end_of_a_pane_that_was_begun(clock: Clock, end: End | None) -> None:
    metadata = clock.render(end)
    assert (Clock.read(metadata), End.read(metadata)) == (clock, end)
    assert metadata.startswith("1 " if end is None else "2 ")


def test_a_commits_metadata_stays_under_100_bytes() -> None:
    assert len(Clock(FOREVER, FOREVER, FOREVER).render()) < 100
    largest = 10**18 - 1
    assert len(Clock(largest, largest, largest).render(End(largest, largest))) < 100


def test_no_metadata_is_a_partition_that_was_never_committed() -> None:
    assert Clock() == Clock.read("")


@pytest.mark.parametrize(
    "text",
    ["hello", "1", "1 2 3", "1 2 3 4 5", "x 1 2 3", "1 a b c", "1 2 3 4.5", "{}", "2 1 2 3 4"],
)
def test_metadata_of_another_program_is_refused(text: str) -> None:
    with pytest.raises(SnapshotCorrupt, match="not written by driftline"):
        Clock.read(text)


def test_metadata_of_a_later_version_is_refused_with_both_versions() -> None:
    for read in (Clock.read, End.read):
        with pytest.raises(SnapshotTooNew, match="version 3, this driftline reads up to 2"):
            read("3 1 2 3 4")


HEADER = Header(
    topic="events",
    partition=3,
    partitions=4,
    a=7,
    o=9,
    number=11,
    w_before=UNSET,
    w_after=START,
    read=3,
    accepted=2,
    rejected={"json": 1},
)
PART = Part(HEADER, (Entry("shop", "abc", 5, 2, b"\x00\xff"), Entry("", "", 0, 0, b"")))


def test_a_part_survives_its_record() -> None:
    assert decode_part(PART.encode()) == PART


def test_a_part_of_a_later_version_is_refused() -> None:
    with pytest.raises(SnapshotTooNew, match="version 2, this driftline reads 1"):
        decode_part(b"\x02" + PART.encode()[1:])


def test_a_field_that_a_later_driftline_added_to_a_header_is_ignored() -> None:
    header = msgspec.to_builtins(HEADER) | {"added_later": 1}
    content = msgspec.msgpack.encode([header, [["shop", "abc", 5, 2, b"\x00\xff"]]])
    assert decode_part(b"\x01" + content).header == HEADER


@pytest.mark.parametrize("value", [b"", b"\x00", b"\x01", b"\x00{}", b"\x01\xc1", b"\x01\x90"])
def test_what_is_no_part_is_refused(value: bytes) -> None:
    with pytest.raises(SnapshotCorrupt):
        decode_part(value)


@given(st.binary(max_size=40), st.integers(0, len(PART.encode()) - 1))
def test_damaged_bytes_are_refused_or_are_a_part(noise: bytes, at: int) -> None:
    value = PART.encode()
    for damaged in (value[:at], value[:at] + noise, b"\x01" + noise):
        with contextlib.suppress(SnapshotCorrupt, SnapshotTooNew):
            assert isinstance(decode_part(damaged), Part)


def test_the_published_format_names_every_field_of_a_header() -> None:
    document = Path(__file__).parents[2] / "docs" / "formats" / "summaries.md"
    table = re.findall(r"^\| (`.*?) \|", document.read_text("utf-8"), re.MULTILINE)
    assert set(Header.__struct_fields__) == set(re.findall(r"`(\w+)`", " ".join(table)))
