"""Blocks: which buckets make a block depends on the events alone, not on how time passes."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.blocks import EVENTS_MIN, Blocks, Closed, StreamTable, stream_table
from detectors.layout import layout_of
from detectors.profile import Channel, Profile, Reference, Span, Stream
from detectors.summary.cells import Moments

EVENTS, BUCKETS = 50, 6
NONE = Reference((), 0.0, 0.0, 0, 0.0, 0.0, (), (), (), 0.0, 1.0)
PROFILE = Profile(
    model="shop",
    reference=Span(0, 0, 0),
    bucket_seconds=10,
    block_events=EVENTS,
    block_seconds=10 * BUCKETS,
    channels=(
        Channel("feature:amount", "numeric", edges=(0.0, 1.0)),
        Channel("feature:plan", "categorical", categories=("free",)),
    ),
    slices=({}, {"country": "DE"}),
    streams=(
        Stream(0, 0, False, NONE),
        Stream(0, 1, False, NONE),
        Stream(0, 1, True, NONE),
        Stream(1, 0, False, NONE),
        Stream(1, 1, True, NONE),
    ),
)
LAYOUT = layout_of(PROFILE)
# Of each of 2 slices: the counts of 5 bins and the missing values of 2 channels.
Bucket = tuple[int, list[list[int]], list[list[int]]]
COUNT = st.sampled_from([0, 0, 0, 1, 7, 13, 19, 20, 49, 50, 200])


@st.composite
def logs_of_buckets(draw: st.DrawFn) -> list[Bucket]:
    at, found = 100, []
    for _ in range(draw(st.integers(1, 12))):
        at += draw(st.sampled_from([1, 1, 1, 2, 5, 6, 7, 30]))
        counts = [[draw(COUNT) for _ in range(5)] for _ in range(2)]
        missing = [[draw(COUNT) for _ in range(2)] for _ in range(2)]
        found.append((at, counts, missing))
    return found


@dataclass
class PlainBlock:
    """One stream's open block, by the rule's own words."""

    start: int | None = None
    counts: list[int] = field(default_factory=list)

    def full_by_time(self, now: int) -> bool:
        over = self.start is not None and now >= self.start + BUCKETS
        return over and sum(self.counts) >= EVENTS_MIN


Judged = list[tuple[int, int, int, tuple[int, ...]]]


def values_of(stream: Stream, counts: list[list[int]], missing: list[list[int]]) -> list[int]:
    low, high = ((0, 3), (3, 5))[stream.channel]
    bins = counts[stream.slice][low:high]
    return [sum(bins), missing[stream.slice][stream.channel]] if stream.missing else bins


def plain_blocks(log: list[Bucket], until: int) -> Judged:
    """Close blocks bucket by bucket, the empty ones too."""
    by_bucket = {at: (counts, missing) for at, counts, missing in log}
    found: Judged = []
    for j, stream in enumerate(PROFILE.streams):
        block = PlainBlock()
        for now in range(log[0][0], until):
            if now in by_bucket:
                values = values_of(stream, *by_bucket[now])
                anything = sum(values) + by_bucket[now][1][stream.slice][stream.channel]
                if anything and block.start is None:
                    block = PlainBlock(now, [0] * len(values))
                if anything:
                    block.counts = [x + y for x, y in zip(block.counts, values, strict=True)]
            if sum(block.counts) >= EVENTS or block.full_by_time(now + 1):
                found.append((j, block.start, now + 1, tuple(block.counts)))
                block = PlainBlock()
    return sorted(found)


def moments_of(counts: list[list[int]], missing: list[list[int]]) -> Moments:
    moments = Moments.zeros(LAYOUT)
    moments.counts[:], moments.missing[:] = counts, missing
    return moments


def judged(blocks: Blocks, closed: Closed) -> Judged:
    found = [
        (j, int(blocks.start[j]), closed.end, tuple(blocks.bins(j).tolist()))
        for j in closed.streams.tolist()
    ]
    blocks.clear(closed.streams)
    return found


def fresh() -> Blocks:
    return Blocks(stream_table(PROFILE, LAYOUT), LAYOUT, (EVENTS, BUCKETS))


def run(log: list[Bucket], until: int, *, every_bucket: bool) -> Judged:
    """Let time pass bucket by bucket, or only when a bucket with events comes."""
    blocks, found = fresh(), []
    by_bucket = {at: (counts, missing) for at, counts, missing in log}
    times = range(log[0][0], until) if every_bucket else sorted(by_bucket)
    for now in times:
        for closed in blocks.expire(now):
            found += judged(blocks, closed)
        if now in by_bucket:
            found += judged(blocks, blocks.add(now, moments_of(*by_bucket[now])))
    for closed in blocks.expire(until):
        found += judged(blocks, closed)
    return sorted(found)


@given(logs_of_buckets(), st.booleans())
def test_blocks_close_by_number_or_time_however_time_passes(
    log: list[Bucket], every_bucket: bool
) -> None:
    until = log[-1][0] + 2 * BUCKETS
    assert run(log, until, every_bucket=every_bucket) == plain_blocks(log, until)


@given(logs_of_buckets(), st.data())
def test_a_snapshot_in_mid_stream_goes_on_identically(
    log: list[Bucket], data: st.DataObject
) -> None:
    first, second = fresh(), fresh()
    at = data.draw(st.integers(0, len(log)))
    for now, counts, missing in log[:at]:
        judged(first, first.add(now, moments_of(counts, missing)))
    second.restore({name: array.copy() for name, array in first.snapshot().items()})
    for now, counts, missing in log[at:]:
        one = judged(first, first.add(now, moments_of(counts, missing)))
        assert judged(second, second.add(now, moments_of(counts, missing))) == one
        assert second.extra.tolist() == first.extra.tolist()


@pytest.mark.parametrize(("n", "closes"), [(EVENTS_MIN - 1, []), (EVENTS_MIN, [0, 1, 2, 3, 4])])
def test_a_block_whose_time_is_over_waits_for_the_few_events_it_needs(
    n: int, closes: list[int]
) -> None:
    blocks = fresh()
    blocks.add(100, moments_of([[n, 0, 0, n, 0]] * 2, [[0, 0]] * 2))
    assert list(blocks.expire(100 + BUCKETS - 1)) == []
    found = [j for closed in blocks.expire(100 + BUCKETS) for j in closed.streams.tolist()]
    assert found == closes


def test_blocks_that_expire_close_at_their_own_end_oldest_first() -> None:
    blocks = fresh()
    blocks.add(100, moments_of([[30, 0, 0, 0, 0]] * 2, [[0, 0]] * 2))
    blocks.add(103, moments_of([[0, 0, 0, 30, 0]] * 2, [[0, 0]] * 2))
    found = [(closed.end, closed.streams.tolist()) for closed in blocks.expire(1_000)]
    assert found == [(106, [0, 3]), (109, [1, 2, 4])]


def test_a_block_carries_the_sums_of_its_buckets_until_it_is_cleared() -> None:
    blocks = fresh()
    moments = moments_of([[5, 5, 0, 0, 0]] * 2, [[2, 0]] * 2)
    for k, array in enumerate(moments.arrays[2:], 1):
        array[0, 0] = 10**k
    blocks.add(100, moments)
    blocks.add(101, moments)
    assert blocks.extra[0].tolist() == [4, 20, 200, 2_000, 20_000]
    blocks.clear(np.array([0]))
    assert blocks.extra[0].tolist() == [0] * 5
    assert blocks.bins(0).tolist() == [0, 0, 0]


def test_a_stream_of_missing_values_has_the_bins_present_and_missing() -> None:
    table: StreamTable = stream_table(PROFILE, LAYOUT)
    assert np.diff(table.first).tolist() == [3, 2, 2, 3, 2]
    blocks = fresh()
    blocks.add(100, moments_of([[0, 0, 0, 11, 2]] * 2, [[0, 5]] * 2))
    assert blocks.bins(2).tolist() == [13, 5]
