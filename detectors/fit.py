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

from detectors.alert import nine_digits
from detectors.blocks import Blocks, Closed, stream_table
from detectors.calibrate import fit_statistic, normal_scores, rare_bins, rare_rate
from detectors.channels import FitOptions, find_channels, find_slices
from detectors.columns import Extractor
from detectors.events import Event
from detectors.layout import Layout, layout_of
from detectors.measure import mean_and_sd
from detectors.policy import Policy
from detectors.profile import Profile, Reference, Span, Statistic, Stream, seal
from detectors.scores import SMOOTH, Scorer, influence_variances
from detectors.summary.cells import Cell, Moments, add_cell, summarise

__all__ = ["BLOCKS_MIN", "fit", "propose_bucket_seconds"]

BLOCKS_MIN = 30
_SECONDS = (10, 15, 20, 30)
_MINUTES = (60, 120, 300, 600, 900, 1_200, 1_800)
_HOURS = (3_600, 7_200, 10_800, 14_400, 21_600, 43_200, 86_400)
_BUCKET_SECONDS = (*_SECONDS, *_MINUTES, *_HOURS)
_BUCKETS_A_BLOCK = 60
_WEEK_MS = 7 * 86_400_000


class _Collected(NamedTuple):
    """Hold what the reference's blocks add up to, for each stream."""

    counts: NDArray[np.int64]
    sums: NDArray[np.int64]
    blocks: NDArray[np.int64]
    tails: list[list[int]]


def propose_bucket_seconds(events: int, span_ms: int, block_events: int) -> int:
    """Propose a bucket that holds a quarter of a block or more, 10 s at least, a round number.

    >>> propose_bucket_seconds(50_000, 302 * 86_400_000, 50)
    7200
    """
    for seconds in _BUCKET_SECONDS:
        if events * seconds * 1000 >= span_ms * block_events / 4:
            return seconds
    return _BUCKET_SECONDS[-1]


def fit(events: Sequence[Event], options: FitOptions, policy: Policy) -> Profile:
    """Fit the profile of one model from its reference events, in any order.

    Raises
    ------
    ValueError
        If there are no events, or none of them carries anything to watch.
    """
    if not events:
        raise ValueError("the reference holds no events of this model")
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
        channels=find_channels(events, options),
        slices=find_slices(events, options),
        streams=(),
    )
    if not draft.channels:
        raise ValueError("the reference's events carry no feature, prediction or metric")
    draft = msgspec.structs.replace(draft, streams=_candidates(draft, options))
    layout = layout_of(draft)
    cells = summarise(Extractor(draft).columns(events), layout)
    first = _with_counts(draft, _collect(draft, layout, cells))
    return seal(_with_statistics(first, layout, cells, policy))


def _candidates(draft: Profile, options: FitOptions) -> tuple[Stream, ...]:
    """List the streams to try: values of every slice and channel, then missing values."""
    empty = Reference((), 0.0, 0.0, 0, 0.0, 0.0, (), (), (), 0.0, 1.0)
    streams = []
    for s in range(len(draft.slices)):
        streams += [Stream(s, c, False, empty) for c in range(len(draft.channels))]
        watched = [c for c, channel in enumerate(draft.channels) if channel.watches_missing]
        streams += [Stream(s, c, True, empty) for c in watched]
    return tuple(streams[: options.streams_max])


def _replay(
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
    for blocks, closed in _replay(draft, layout, cells):
        for j in closed.streams.tolist():
            bins = blocks.bins(j)
            total.counts[table.first[j] : table.first[j + 1]] += bins
            total.sums[j] += blocks.extra[j]
            total.blocks[j] += 1
            total.tails[j].append(int(bins[1] + bins[-2]))
    return total


def _with_counts(draft: Profile, total: _Collected) -> Profile:
    """Fill in what each stream's counts say; drop streams without a block."""
    table = stream_table(draft, layout_of(draft))
    weeks = max(draft.reference.end_ms - draft.reference.start_ms, 1) / _WEEK_MS
    streams = []
    for j, stream in enumerate(draft.streams):
        counts = total.counts[table.first[j] : table.first[j + 1]]
        m = int(total.blocks[j])
        if not m or not counts.sum():
            continue
        channel = draft.channels[stream.channel]
        n = int(counts.sum())
        mean = sd = 0.0
        if channel.kind == "numeric" and not stream.missing:
            _, _, sums, high, low = total.sums[j].tolist()
            mean, sd = mean_and_sd(channel, n, (sums, high, low))
        number = channel.kind == "numeric" and not stream.missing
        rare = (0, len(counts) - 1) if number else rare_bins(counts, m)
        rate, dispersion = rare_rate(counts, rare, total.tails[j] if number else [])
        reference = Reference(
            counts=tuple(counts.tolist()),
            mean=nine_digits(mean),
            sd=nine_digits(sd),
            blocks=m,
            blocks_per_week=nine_digits(m / weeks),
            block_n=nine_digits(n / m),
            statistics=(),
            scores=normal_scores(counts, rare) if number else (),
            rare=rare if m >= BLOCKS_MIN else (),
            rare_rate=nine_digits(rate) if m >= BLOCKS_MIN and rare else 0.0,
            dispersion=nine_digits(dispersion),
        )
        streams.append(msgspec.structs.replace(stream, reference=reference))
    return msgspec.structs.replace(draft, streams=tuple(streams))


def _plain_statistics(stream: Stream) -> tuple[Statistic, ...]:
    """List the statistics of a stream before its blocks have been seen."""
    reference = stream.reference
    if reference.blocks < BLOCKS_MIN:
        return ()
    if reference.scores:
        within = influence_variances(reference)
        return tuple(
            Statistic(name, 0.0, nine_digits(w), 0.0, 1.0, 0.0, 0.0)
            for name, w in zip(SMOOTH, within, strict=True)
        )
    kept = [b for b, c in enumerate(reference.counts) if c and b not in reference.rare]
    if len(kept) <= 1:
        return ()
    bins = kept if len(kept) > 2 else kept[1:]
    return tuple(Statistic("share", 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, b) for b in bins)


def _with_statistics(
    profile: Profile, layout: Layout, cells: Sequence[Cell], policy: Policy
) -> Profile:
    """Run the reference's blocks through the scorer, and fit how each statistic behaves."""
    plain = [
        msgspec.structs.replace(
            s, reference=msgspec.structs.replace(s.reference, statistics=_plain_statistics(s))
        )
        for s in profile.streams
    ]
    profile = msgspec.structs.replace(profile, streams=tuple(plain))
    table = stream_table(profile, layout)
    total = sum(len(s.reference.statistics) for s in profile.streams)
    scorer = Scorer(profile, table, np.ones(total))
    seen: list[list[tuple[float, int]]] = [[] for _ in range(total)]
    for blocks, closed in _replay(profile, layout, cells):
        scorer.score(closed.streams, blocks)
        for j in closed.streams.tolist():
            for d in range(int(scorer.stats.first[j]), int(scorer.stats.first[j + 1])):
                if scorer.n[d]:
                    seen[d].append((float(scorer.value[d]), int(scorer.n[d])))
    streams, d = [], 0
    for stream in profile.streams:
        fitted = []
        for stat in stream.reference.statistics:
            fitted.append(fit_statistic(stream, stat, np.array(seen[d]), policy))
            d += 1
        reference = msgspec.structs.replace(stream.reference, statistics=tuple(fitted))
        streams.append(msgspec.structs.replace(stream, reference=reference))
    return msgspec.structs.replace(profile, streams=tuple(streams))
