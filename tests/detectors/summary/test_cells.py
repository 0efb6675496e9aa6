"""Cells: what a pane adds to a bucket is the same however the log is split."""

from collections import defaultdict
from dataclasses import dataclass, field, replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from detectors.columns import Columns
from detectors.events import WEIGHT_MAX
from detectors.layout import Layout, layout_of
from detectors.panes import PANE_ROWS_MAX
from detectors.profile import Channel, Profile, Reference, Span, Stream
from detectors.summary.cells import CELL_BYTES_MAX, Cell, Moments, add_cell
from detectors.summary.sums import Sums, summarise

NONE = Reference((), 0.0, 0.0, 0, 0.0, 0.0, (), (), (), 0.0, 1.0)
CHANNELS = (
    Channel("prediction", "numeric", centre=0.5, scale=0.0, edges=(0.0, 0.25, 0.5, 1.0)),
    Channel("feature:amount", "numeric", centre=12.5, scale=3.75, edges=(-1.5, 0.0, 10.0, 1e6)),
    Channel("feature:plan", "categorical", categories=("free", "pro")),
)
SLICES = ({}, {"country": "DE"}, {"country": "FR"})


def bare(
    channels: tuple[Channel, ...] = CHANNELS, slices: tuple[dict[str, str], ...] = SLICES
) -> Profile:
    return Profile(
        model="shop",
        reference=Span(0, 0, 0),
        bucket_seconds=10,
        block_events=50,
        block_seconds=600,
        channels=channels,
        slices=slices,
        streams=tuple(
            Stream(s, c, False, NONE) for s in range(len(slices)) for c in range(len(channels))
        ),
    )


PROFILE = bare()
LAYOUT = layout_of(PROFILE)
NUMBERS = st.one_of(
    st.just(np.nan),
    st.sampled_from([0.0, -0.0, 0.25, 0.5, 1e300, -1e300, 1.7e308, -1.7e308, 5e-324]),
    st.floats(-300, 300, allow_nan=False),
)


@st.composite
def columns(draw: st.DrawFn, most: int = 40) -> Columns:
    n = draw(st.integers(1, most))
    return Columns(
        profile=PROFILE,
        buckets=draw(hnp.arrays(np.int64, n, elements=st.integers(5, 7))),
        values=draw(hnp.arrays(np.float64, (n, 2), elements=NUMBERS)),
        codes=draw(hnp.arrays(np.int32, (n, 1), elements=st.integers(-1, 2))),
        slices=draw(hnp.arrays(np.int32, (n, 1), elements=st.sampled_from([-1, 1, 2]))),
        weights=draw(hnp.arrays(np.int64, n, elements=st.sampled_from([1, 2, 1000, 4096]))),
    )


def rows(of: Columns, which: np.ndarray) -> Columns:
    return replace(
        of,
        buckets=of.buckets[which],
        values=of.values[which],
        codes=of.codes[which],
        slices=of.slices[which],
        weights=of.weights[which],
    )


@given(columns(), st.integers(1, 20))
def test_events_without_slices_are_counted_the_same(of: Columns, times: int) -> None:
    """Channel by channel, in blocks, as one event at a time; twice, into sums that are there."""
    some = rows(of, np.tile(np.arange(len(of)), times))
    n = len(some)
    alone = np.full((n, 1), -1, np.int32)
    one_by_one = replace(some, buckets=np.full(n, 5), weights=np.ones(n, np.int64), slices=alone)
    plain = replace(one_by_one, slices=np.empty((n, 0), np.int32))
    found = []
    for each in (one_by_one, plain):
        sums = Sums(LAYOUT)
        sums.add(each)
        sums.add(each)
        found.append(sums.cells())
    assert found[0] == found[1]
    assert found[0][0].events == 2 * n


@dataclass
class Plain:
    """Sums in Python's own integers."""

    counts: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    missing: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    clipped: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    sums: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    squares: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))


def plain_sums(of: Columns, bucket: int) -> Plain:
    """Count one bucket event by event, as DESIGN.md says it."""
    plain = Plain()
    first = LAYOUT.first_bin.tolist()
    for i in np.flatnonzero(of.buckets == bucket).tolist():
        w = int(of.weights[i])
        for s in {0, int(of.slices[i, 0])} - {-1}:
            for c, channel in enumerate(CHANNELS):
                if channel.kind == "categorical":
                    code = int(of.codes[i, c - 2])
                    if code < 0:
                        plain.missing[s, c] += w
                    else:
                        plain.counts[s, first[c] + code] += w
                    continue
                x = float(of.values[i, c])
                if np.isnan(x):
                    plain.missing[s, c] += w
                    continue
                with np.errstate(over="ignore"):
                    z = (np.float64(x) - channel.centre) / (channel.scale or 1.0)
                q = int(np.rint(1024 * np.clip(z, -64, 64)))
                plain.counts[s, first[c] + int(np.searchsorted(channel.edges, x))] += w
                plain.clipped[s, c] += w * bool(abs(z) > 64)
                plain.sums[s, c] += w * q
                plain.squares[s, c] += w * q * q
    return plain


def merged(cells: list[Cell], bucket: int, layout: Layout = LAYOUT) -> Moments:
    moments = Moments.zeros(layout)
    for cell in cells:
        if cell.bucket == bucket:
            add_cell(cell.data, layout, moments)
    return moments


def canonical(moments: Moments) -> list[list[int]]:
    """Carry the low limb over, so that equal sums look equal."""
    squares = (moments.squares_high.astype(object) << 32) + moments.squares_low.astype(object)
    arrays = [moments.counts, moments.missing, moments.clipped, moments.sums, squares]
    return [array.ravel().tolist() for array in arrays]


@given(columns())
def test_sums_are_those_of_a_count_event_by_event(of: Columns) -> None:
    for bucket in (5, 6, 7):
        plain = plain_sums(of, bucket)
        streams = [(s, c) for s in range(3) for c in range(3)]
        bins = [(s, b) for s in range(3) for b in range(LAYOUT.width)]
        by_stream = (plain.missing, plain.clipped, plain.sums, plain.squares)
        expected = [[plain.counts[at] for at in bins]]
        expected += [[sums[at] for at in streams] for sums in by_stream]
        assert expected == canonical(merged(summarise(of, LAYOUT), bucket))


@given(columns(), st.randoms(use_true_random=False))
def test_any_split_and_order_of_the_events_merges_to_the_same_sums(
    of: Columns, draw: object
) -> None:
    which = list(range(len(of)))
    draw.shuffle(which)
    cut, other = sorted(draw.randrange(len(of) + 1) for _ in range(2))
    pieces = [np.array(p, np.int64) for p in (which[:cut], which[cut:other], which[other:])]
    split = [cell for piece in pieces for cell in summarise(rows(of, piece), LAYOUT)]
    draw.shuffle(split)
    whole = summarise(of, LAYOUT)
    for bucket in (5, 6, 7):
        assert canonical(merged(whole, bucket)) == canonical(merged(split, bucket))
    assert sum(c.events for c in whole) == sum(c.events for c in split) == len(of)


@given(columns(), st.randoms(use_true_random=False))
def test_the_bytes_of_a_cell_do_not_depend_on_the_order_of_its_events(
    of: Columns, draw: object
) -> None:
    which = list(range(len(of)))
    draw.shuffle(which)
    assert summarise(of, LAYOUT) == summarise(rows(of, np.array(which)), LAYOUT)


def test_no_events_make_no_cell() -> None:
    one = rows(_filled(1), np.array([], np.int64))
    assert summarise(one, LAYOUT) == []


def test_the_largest_pane_does_not_overflow_its_sum_of_squares() -> None:
    moments = Moments.zeros(LAYOUT)
    cell = summarise(_filled(PANE_ROWS_MAX, value=1e300, weight=WEIGHT_MAX), LAYOUT)[0]
    for _ in range(3):
        add_cell(cell.data, LAYOUT, moments)
    high, low = int(moments.squares_high[0, 0]), int(moments.squares_low[0, 0])
    assert (high << 32) + low == (3 * PANE_ROWS_MAX) << 44
    assert int(moments.clipped[0, 0]) == (3 * PANE_ROWS_MAX) << 12


def test_a_large_bucket_is_split_into_cells_that_count_its_events_once() -> None:
    n, channels = 30, 2_000
    slices = ({}, *({"key": str(i)} for i in range(11)))
    profile = bare(CHANNELS[:1] * channels, slices)
    layout = layout_of(profile)
    of = Columns(
        profile=profile,
        buckets=np.full(n, 5),
        values=np.random.default_rng(7).random((n, channels)) * 1.5,
        codes=np.empty((n, 0), np.int32),
        slices=np.arange(n, dtype=np.int32)[:, None] % 11 + 1,
        weights=np.full(n, 4096),
    )
    cells = summarise(of, layout)
    assert len(cells) > 1
    assert [n] + [0] * (len(cells) - 1) == [cell.events for cell in cells]
    assert all(len(cell.data) < CELL_BYTES_MAX + 1_000 for cell in cells)
    whole = merged(cells, 5, layout)
    assert n * 4096 * channels == int(whole.counts[0].sum()) == int(whole.counts[1:].sum())


def _filled(n: int, value: float = 0.75, weight: int = 1) -> Columns:
    return Columns(
        profile=PROFILE,
        buckets=np.full(n, 5, np.int64),
        values=np.full((n, 2), value),
        codes=np.zeros((n, 1), np.int32),
        slices=np.full((n, 1), -1, np.int32),
        weights=np.full(n, weight, np.int64),
    )
