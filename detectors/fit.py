"""Fit: a reference log to a profile, through the very summaries and blocks that judge later.

The reference's events are counted into buckets, the buckets merged into blocks, and the
distribution of every statistic over the blocks is what the profile remembers.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from statistics import NormalDist
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.alert import nine_digits
from detectors.blocks import Blocks, Closed, stream_table
from detectors.channels import FitOptions, find_channels, find_slices
from detectors.columns import Extractor
from detectors.drift.shiryaev_roberts import peak
from detectors.events import Event
from detectors.layout import Layout, layout_of
from detectors.measure import mean_and_sd
from detectors.policy import Policy, error_of_reference, half_effect
from detectors.profile import Profile, Reference, Span, Statistic, Stream, seal
from detectors.scores import CLIP, SMOOTH, Scorer, influence_variances
from detectors.summary.cells import Cell, Moments, add_cell, summarise

__all__ = ["BLOCKS_MIN", "fit", "propose_bucket_seconds"]

BLOCKS_MIN = 30
_SECONDS = (10, 15, 20, 30)
_MINUTES = (60, 120, 300, 600, 900, 1_200, 1_800)
_HOURS = (3_600, 7_200, 10_800, 14_400, 21_600, 43_200, 86_400)
_BUCKET_SECONDS = (*_SECONDS, *_MINUTES, *_HOURS)
_BUCKETS_A_BLOCK = 60
_SMOOTH_BINS_MIN = 6
_WEEK_MS = 7 * 86_400_000
_GUARD = 3.0
_GUARD_STEP = 1.15
_GUARD_MAX = 9.0
_SD_MIN = 0.3
_NORMAL = NormalDist()


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
        rare = (0, len(counts) - 1) if number else _rare_bins(counts, m)
        rate, dispersion = _rare_rate(counts, rare, total.tails[j] if number else [])
        reference = Reference(
            counts=tuple(counts.tolist()),
            mean=nine_digits(mean),
            sd=nine_digits(sd),
            blocks=m,
            blocks_per_week=nine_digits(m / weeks),
            block_n=nine_digits(n / m),
            statistics=(),
            scores=_normal_scores(counts, rare) if number else (),
            rare=rare if m >= BLOCKS_MIN else (),
            rare_rate=nine_digits(rate) if m >= BLOCKS_MIN and rare else 0.0,
            dispersion=nine_digits(dispersion),
        )
        streams.append(msgspec.structs.replace(stream, reference=reference))
    return msgspec.structs.replace(draft, streams=tuple(streams))


def _rare_bins(counts: NDArray[np.int64], blocks: int) -> tuple[int, ...]:
    """Name the values of which a block expects fewer than one."""
    return tuple(np.flatnonzero(counts < blocks).tolist())


def _rare_rate(
    counts: NDArray[np.int64], rare: tuple[int, ...], tails: list[int]
) -> tuple[float, float]:
    """Bound the rate of rare things from above at .999, and measure how they cluster.

    The Gamma quantile is Wilson & Hilferty's (1931), within 2 % and on the safe side.
    """
    dispersion = 1.0
    if tails and sum(tails):
        dispersion = max(1.0, float(np.var(tails) / np.mean(tails)))
    hits = int(counts[list(rare)].sum())
    shape = hits / dispersion + (2 if tails else 1)
    quantile = shape * (1 - 1 / (9 * shape) + _NORMAL.inv_cdf(0.999) / (3 * shape**0.5)) ** 3
    return min(quantile * dispersion / int(counts.sum()), 0.5), dispersion


def _normal_scores(counts: NDArray[np.int64], rare: tuple[int, ...]) -> tuple[float, ...]:
    """Score each bin by the normal quantile of its mid-rank; () where there are too few bins."""
    inner = counts.copy()
    inner[list(rare)] = 0
    n = int(inner.sum())
    if np.count_nonzero(inner) < _SMOOTH_BINS_MIN:
        return ()
    p = inner / n
    rank = np.clip(np.cumsum(p) - p / 2, 0.5 / n, 1 - 0.5 / n)
    x = np.array([_NORMAL.inv_cdf(r) for r in rank.tolist()])
    x -= p @ x
    x /= np.sqrt(p @ (x * x))
    return tuple(nine_digits(v) for v in x.tolist())


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
            fitted.append(_fit_statistic(stream, stat, np.array(seen[d]), policy))
            d += 1
        reference = msgspec.structs.replace(stream.reference, statistics=tuple(fitted))
        streams.append(msgspec.structs.replace(stream, reference=reference))
    return msgspec.structs.replace(profile, streams=tuple(streams))


def _fit_statistic(
    stream: Stream, stat: Statistic, seen: NDArray[np.float64], policy: Policy
) -> Statistic:
    """Fit mean, between-block variance, sd and cumulants; widen until the reference is silent."""
    u, n = seen[:, 0], seen[:, 1]
    m = len(u)
    residual = u - u.mean()
    between = max(0.0, float((residual**2 * m / max(m - 1, 1) - stat.within / n).mean()))
    z = residual / np.sqrt(stat.within / n + between)
    sd = max(float(z.std()), _SD_MIN)
    sd *= float(np.sqrt(_long_run(z / sd)))
    w = np.clip(z / sd, -CLIP, CLIP)
    kappa3 = float((w**3).mean())
    kappa4 = max(0.0, float((w**4).mean()) - 3 * float((w**2).mean()) ** 2)
    fitted = msgspec.structs.replace(
        stat,
        mean=nine_digits(float(u.mean())),
        between=nine_digits(between),
        sd=nine_digits(sd),
        kappa3=nine_digits(kappa3),
        kappa4=nine_digits(kappa4),
    )
    return _guarded(stream, fitted, w, policy)


def _long_run(z: NDArray[np.float64]) -> float:
    """Measure how much more the mean of many blocks varies than if blocks were independent."""
    m = len(z)
    inflation, length = 1.0, 2
    while length <= m // 16:
        means = z[: m // length * length].reshape(-1, length).mean(axis=1)
        doubt = np.sqrt(2 * length / m) if m >= 500 else 0.0
        inflation = max(inflation, length * float(means.var()) * (1 - float(doubt)))
        length *= 2
    return inflation


def _guarded(stream: Stream, stat: Statistic, w: NDArray[np.float64], policy: Policy) -> Statistic:
    """Widen the sd until the detector stays silent on its own reference: max R <= 3 m."""
    widening = 1.0
    quiet: Callable[[Statistic], bool] = lambda s: (  # noqa: E731
        _peak(stream, s, w / widening**0.5, policy) <= _GUARD * len(w)
    )
    while not quiet(stat) and widening < _GUARD_MAX:
        widening *= _GUARD_STEP
        sd = nine_digits(stat.sd * _GUARD_STEP**0.5)
        stat = msgspec.structs.replace(stat, sd=sd)
    return stat


def _peak(stream: Stream, stat: Statistic, w: NDArray[np.float64], policy: Policy) -> float:
    """Find the largest evidence that the reference's own scores would have gathered."""
    error, variance = error_of_reference(stream, stat)
    delta = max(error, half_effect(stream, stat, policy))
    cumulants = np.array([[variance, stat.kappa3, stat.kappa4]])
    return peak(w / max(delta, 1.0), min(delta, 1.0), cumulants)
