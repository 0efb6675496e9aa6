"""Fit: a reference log to a profile, through the very summaries and blocks that judge later.

The reference's events are counted into buckets, the buckets merged into blocks, and the
distribution of every statistic over the blocks is what the profile remembers.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.blocks import Blocks, Closed, stream_table
from detectors.calibrate import Family, Seen, fit_statistic
from detectors.channels import FitOptions, find_channels, find_slices, find_versions
from detectors.columns import Extractor
from detectors.events import Event
from detectors.layout import Layout, layout_of
from detectors.policy import Policy
from detectors.profile import Profile, Reference, Span, Statistic, Stream, seal
from detectors.references import (
    Counted,
    plain_statistics,
    reference_of,
    replaced,
    with_fallbacks,
    with_learning,
)
from detectors.scores import Scorer
from detectors.season import clockwork
from detectors.season_fit import spans_of
from detectors.summary.cells import Cell, Moments, add_cell
from detectors.summary.sums import summarise

__all__ = ["NothingToFit", "drafted", "fit", "fit_cells", "propose_bucket_seconds", "replay"]

_SECONDS = (10, 15, 20, 30)
_MINUTES = (60, 120, 300, 600, 900, 1_200, 1_800)
_HOURS = (3_600, 7_200, 10_800, 14_400, 21_600, 43_200, 86_400)
_BUCKET_SECONDS = (*_SECONDS, *_MINUTES, *_HOURS)
_BUCKETS_A_BLOCK = 60
_WEEK_MS = 7 * 86_400_000


class NothingToFit(ValueError):
    """Say, in words of ours, what a reference lacks."""


class _Collected(NamedTuple):
    """Hold what the reference's blocks add up to, for each stream."""

    counts: NDArray[np.int64]
    sums: NDArray[np.int64]
    blocks: NDArray[np.int64]
    tails: list[list[int]]


class _Samples(NamedTuple):
    """Hold one statistic's blocks as they are seen: values, events, (start, end) in ms."""

    values: list[float]
    n: list[int]
    edges: list[tuple[int, int]]


def propose_bucket_seconds(events: int, span_ms: int, block_events: int) -> int:
    """Propose a bucket that holds a quarter of a block or more, 10 s at least, a round number.

    >>> propose_bucket_seconds(50_000, 302 * 86_400_000, 50)
    7200
    """
    for seconds in _BUCKET_SECONDS:
        if events * seconds * 1000 >= span_ms * block_events / 4:
            return seconds
    return _BUCKET_SECONDS[-1]


def drafted(events: Sequence[Event], options: FitOptions) -> Profile:
    """Fix what is observed, from the reference events of one model; nothing is fitted yet.

    Raises
    ------
    NothingToFit
        If there are no events, or none of them carries anything to watch.
    """
    if not events:
        raise NothingToFit("the reference holds no events of this model")
    times = [e.time_ms for e in events]
    span = Span(len(events), min(times), max(times))
    bucket = options.bucket_seconds or propose_bucket_seconds(
        len(events), span.end_ms - span.start_ms, options.block_events
    )
    draft = Profile(
        model=events[0].model,
        reference=span,
        bucket_seconds=bucket,
        block_events=options.block_events,
        block_seconds=options.block_seconds or _BUCKETS_A_BLOCK * bucket,
        calendar=options.calendar,
        channels=find_channels(events, options),
        slices=find_slices(events, options),
        versions=find_versions(events),
        streams=(),
    )
    if not draft.channels:
        raise NothingToFit("the reference's events carry no feature, prediction or metric")
    return draft


def fit(events: Sequence[Event], options: FitOptions, policy: Policy) -> Profile:
    """Fit the profile of one model from its reference events, in any order.

    Raises
    ------
    NothingToFit
        If there are no events, or none of them carries anything to watch.
    """
    draft = drafted(events, options)
    cells = summarise(Extractor(draft).columns(events), layout_of(draft))
    return fit_cells(draft, cells, options, policy)


def fit_cells(
    draft: Profile, cells: Sequence[Cell], options: FitOptions, policy: Policy
) -> Profile:
    """Fit a profile whose channels and slices are fixed, from the cells of its reference.

    `draft` has no streams yet; `cells` are those of `summarise`, buckets ascending.
    """
    draft = msgspec.structs.replace(draft, streams=_candidates(draft, options))
    layout = layout_of(draft)
    counted = _with_counts(draft, _collect(draft, layout, cells))
    fitted = _with_statistics(counted, layout, cells, policy)
    return seal(with_fallbacks(with_learning(fitted, options)))


def _candidates(draft: Profile, options: FitOptions) -> tuple[Stream, ...]:
    """List the streams to try: values and missing values of every slice, then the rates.

    How much traffic a version gets is decided by who deploys it: its rate is no stream.
    """
    empty = Reference((), 0.0, 0.0, 0, 0.0, 0.0, (), (), (), 0.0, 1.0)
    streams = []
    kinds = [c.kind for c in draft.channels]
    binned = [c for c, kind in enumerate(kinds) if kind != "rate"]
    for s in range(len(draft.slices)):
        streams += [Stream(s, c, False, empty) for c in binned]
        watched = [c for c in binned if draft.channels[c].watches_missing]
        streams += [Stream(s, c, True, empty) for c in watched]
    steady = [s for s, where in enumerate(draft.slices) if "version" not in where]
    rates = [Stream(s, len(binned), False, empty) for s in steady if "rate" in kinds]
    return (*streams[: options.streams_max], *rates)


def replay(
    draft: Profile, layout: Layout, cells: Sequence[Cell]
) -> Iterator[tuple[Blocks, Closed]]:
    """Merge the reference's buckets into blocks, and stop at each bucket that closes some."""
    buckets = max(1, draft.block_seconds // draft.bucket_seconds)
    blocks = Blocks(stream_table(draft, layout), layout, (draft.block_events, buckets))
    moments = Moments.zeros(layout)
    for bucket, same in groupby(cells, key=lambda cell: cell.bucket):
        for closed in blocks.expire(bucket):
            yield blocks, closed
            blocks.clear(closed.streams)
        moments.clear()
        for cell in same:
            add_cell(cell.data, layout, moments)
        closed = blocks.add(bucket, moments)
        yield blocks, closed
        blocks.clear(closed.streams)


def _collect(draft: Profile, layout: Layout, cells: Sequence[Cell]) -> _Collected:
    """Add up the blocks of every stream, and note the counts next to a number's ends."""
    table = stream_table(draft, layout)
    streams = len(draft.streams)
    total = _Collected(
        np.zeros(int(table.first[-1]), np.int64),
        np.zeros((streams, 5), np.int64),
        np.zeros(streams, np.int64),
        [[] for _ in range(streams)],
    )
    for blocks, closed in replay(draft, layout, cells):
        for j in closed.streams.tolist():
            bins = blocks.bins(j)
            total.counts[table.first[j] : table.first[j + 1]] += bins
            total.sums[j] += blocks.extra[j]
            total.blocks[j] += 1
            if len(bins) > 1:
                total.tails[j].append(int(bins[1] + bins[-2]))
    return total


def _with_counts(draft: Profile, total: _Collected) -> Profile:
    """Fill in what each stream's counts say; streams without a block stay empty."""
    table = stream_table(draft, layout_of(draft))
    weeks = max(draft.reference.end_ms - draft.reference.start_ms, 1) / _WEEK_MS
    streams = []
    for j, stream in enumerate(draft.streams):
        counts = total.counts[table.first[j] : table.first[j + 1]]
        m = int(total.blocks[j])
        seen = Counted(m, m / weeks, counts, total.sums[j].tolist(), total.tails[j])
        streams.append(msgspec.structs.replace(stream, reference=reference_of(draft, stream, seen)))
    return msgspec.structs.replace(draft, streams=tuple(streams))


def _with_statistics(
    profile: Profile, layout: Layout, cells: Sequence[Cell], policy: Policy
) -> Profile:
    """Run the reference's blocks through the scorer, and fit how each statistic behaves."""
    plain = tuple(
        replaced(s, statistics=plain_statistics(profile.channels[s.channel], s))
        for s in profile.streams
    )
    profile = msgspec.structs.replace(profile, streams=plain)
    samples = _samples(profile, layout, cells)
    clock = clockwork(profile.calendar)
    streams: list[Stream] = []
    whole: dict[tuple[int, bool, str, int], Family] = {}
    d = 0
    for stream in plain:
        fitted: list[Statistic] = []
        for stat in stream.reference.statistics:
            values, n, edges = samples[d]
            spans = spans_of(np.array(edges, np.int64), clock)
            seen = Seen(np.array(values), np.array(n, np.float64), spans)
            key = (stream.channel, stream.missing, stat.name, stat.bin)
            level = fitted[0] if fitted and fitted[0].name == "level" else None
            family = whole.get(key, Family(policy))._replace(level=level)
            found = fit_statistic(stream, stat, seen, family)
            if stream.slice == 0:
                whole[key] = Family(policy, found, len(values))
            fitted.append(found)
            d += 1
        streams.append(replaced(stream, statistics=tuple(fitted)))
    return msgspec.structs.replace(profile, streams=tuple(streams))


def _samples(profile: Profile, layout: Layout, cells: Sequence[Cell]) -> list[_Samples]:
    """Collect what each statistic was in each block of the reference."""
    total = sum(len(s.reference.statistics) for s in profile.streams)
    scorer = Scorer(profile, stream_table(profile, layout), np.ones(total))
    samples = [_Samples([], [], []) for _ in range(total)]
    for blocks, closed in replay(profile, layout, cells):
        scorer.score(closed.streams, blocks, closed.end)
        for j in closed.streams.tolist():
            edges = (int(blocks.start[j]) * profile.bucket_ms, closed.end * profile.bucket_ms)
            for d in range(int(scorer.stats.first[j]), int(scorer.stats.first[j + 1])):
                if scorer.n[d]:
                    samples[d].values.append(float(scorer.value[d]))
                    samples[d].n.append(int(scorer.n[d]))
                    samples[d].edges.append(edges)
    return samples
