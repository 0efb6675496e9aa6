"""The judge of one model with 20,000 streams, one core's processor time.

A model of 40 channels in 500 slices gets 27,500 events a bucket, in the partials of 20 panes, so
that every stream completes a block in every bucket: the worst that can come. A bucket step merges,
finalises, makes blocks, runs every detector of every stream, and applies the policy; with metrics,
20,000 records are made and encoded as well.
"""

import time
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from detectors.alert import encode
from detectors.columns import Columns
from detectors.judge import ModelJudge
from detectors.layout import layout_of
from detectors.panes import UNSET, Entry
from detectors.policy import Policy
from detectors.profile import Channel, Profile, Reference, Span, Statistic, Stream, seal
from detectors.references import Counted, plain_statistics, reference_of, replaced
from detectors.summary.cells import UNIT
from detectors.summary.sums import summarise
from driftline.bench.options import Options
from driftline.bench.results import Result, Told, interleaved

__all__ = ["JudgeCost", "Load", "entries_of", "judge_cost", "large_profile", "run"]

_CATEGORIES = tuple("abcd")
_SHARES = (0.4, 0.3, 0.2, 0.09, 0.01)
_BINS = 34
_BLOCKS = 2_000
_EMPTY = Reference((), 0.0, 0.0, 0, 0.0, 0.0, (), (), (), 0.0, 1.0)
_FIRST_BUCKET = 170_000_000
_DRAWN = 24
_WARM = 2


class Load(msgspec.Struct, frozen=True):
    """Choose the model and its traffic: `events` a bucket, sent by `panes` panes."""

    numeric: int = 32
    categorical: int = 8
    slices: int = 500
    events: int = 27_500
    panes: int = 20
    buckets: int = 30


def run(options: Options, told: Told) -> Result:
    """Judge the same buckets in each round, with and without metrics."""
    load = Load(buckets=options.of(30, 5))
    costs = [judge_cost(load)]

    def again() -> float:
        costs.append(judge_cost(load))
        return costs[-1].blocks_per_second

    rounds = tuple(interleaved({"stream-blocks": again}, options.rounds, told))
    costs = costs[1:]  # the first one compiles
    best = min(costs, key=lambda cost: cost.detect_ms["p50"])
    return Result(
        bench="judge",
        says=__doc__.partition("\n\n")[2].strip(),
        unit="stream-blocks/s",
        rounds=rounds,
        figures={
            "streams": float(best.streams),
            "bucket step p50 ms": best.detect_ms["p50"],
            "bucket step p99 ms": best.detect_ms["p99"],
            "bucket step with metrics p50 ms": best.publish_ms["p50"],
            "bucket step with metrics p99 ms": best.publish_ms["p99"],
            "start of a judge seconds": min(cost.start_seconds for cost in costs),
            "copy for a snapshot seconds": min(cost.cut_seconds for cost in costs),
            "partials of a bucket bytes": float(best.cell_bytes),
            "metrics of a bucket bytes": float(best.metric_bytes),
        },
    )


class JudgeCost(msgspec.Struct, frozen=True):
    """Hold what was measured; times are of one core's work, in milliseconds a bucket."""

    streams: int
    statistics: int
    blocks: int
    detect_ms: dict[str, float]
    publish_ms: dict[str, float]
    blocks_per_second: float
    start_seconds: float
    cut_seconds: float
    cell_bytes: int
    metric_bytes: int


def _channels(load: Load) -> tuple[Channel, ...]:
    edges = tuple(float(e) for e in np.linspace(-3.2, 3.2, _BINS - 1))
    numeric = [Channel(f"feature:n{i:02}", "numeric", 0.0, 1.0, edges) for i in range(load.numeric)]
    texts = [
        Channel(f"feature:c{i:02}", "categorical", categories=_CATEGORIES)
        for i in range(load.categorical)
    ]
    return (*numeric, *texts, Channel("rate", "rate"))


def _counted(channel: Channel, events: int) -> Counted:
    """Say what the reference's blocks of a channel add up to: standard normals, fixed shares."""
    if channel.kind == "rate":
        return Counted(_BLOCKS, 1_000.0, np.array([events]), [0] * 5, [])
    if channel.kind == "categorical":
        counts = np.rint(np.array(_SHARES) * events).astype(np.int64)
        return Counted(_BLOCKS, 1_000.0, counts, [0] * 5, [])
    draws = np.random.default_rng(0).standard_normal(100_000)
    counts = np.bincount(np.searchsorted(channel.edges, draws), minlength=_BINS)
    counts = counts * events // 100_000 + 1
    squares = UNIT * UNIT * int(counts.sum())
    tails = np.full(_BLOCKS, 1).tolist()
    return Counted(_BLOCKS, 1_000.0, counts, [0, 0, 0, squares >> 32, squares & 0xFFFFFFFF], tails)


def large_profile(load: Load) -> Profile:
    """Make the profile of a model with `slices` slices, every channel watched in each."""
    channels = _channels(load)
    slices = ({}, *({"shop": f"s{i:03}"} for i in range(1, load.slices)))
    draft = Profile(
        model="large",
        reference=Span(_BLOCKS * load.events, 0, 14 * 86_400_000),
        bucket_seconds=10,
        block_events=50,
        block_seconds=600,
        channels=channels,
        slices=slices,
        streams=(),
    )
    references: dict[tuple[int, bool], Reference] = {}
    for whole in (True, False):
        events = _BLOCKS * load.events // (1 if whole else load.slices - 1)
        for c, channel in enumerate(channels):
            stream = Stream(0, c, False, _EMPTY)
            stream = replaced(stream, **_fields(draft, stream, _counted(channel, events)))
            stream = replaced(stream, statistics=_statistics(draft, stream))
            references[c, whole] = stream.reference
    streams = tuple(
        Stream(s, c, False, references[c, s == 0])
        for kind in (range(len(channels) - 1), range(len(channels) - 1, len(channels)))
        for s in range(load.slices)
        for c in kind
    )
    return seal(msgspec.structs.replace(draft, streams=streams))


def _statistics(draft: Profile, stream: Stream) -> tuple[Statistic, ...]:
    """Centre the statistics on what this traffic has, but for what small blocks are off by."""
    reference = stream.reference
    means = {}
    if reference.scores:
        counts = np.array(reference.counts)
        counts[list(reference.rare)] = 0
        x, p = np.array(reference.scores), counts / counts.sum()
        means = {"skew": float(p @ x**3), "tails": float(p @ x**4)}
    elif draft.channels[stream.channel].kind == "rate":
        buckets = draft.block_seconds // draft.bucket_seconds
        means = {"volume": float(np.log(reference.block_n * buckets))}
    return tuple(
        msgspec.structs.replace(stat, mean=means.get(stat.name, 0.0), delta=0.5)
        for stat in plain_statistics(draft.channels[stream.channel], stream)
    )


def _fields(draft: Profile, stream: Stream, seen: Counted) -> dict[str, Any]:
    return msgspec.structs.asdict(reference_of(draft, stream, seen))


def _columns(profile: Profile, load: Load, bucket: int) -> Columns:
    """Draw a bucket's events; each slice has the same number of them."""
    rng = np.random.default_rng(bucket)
    n = load.events
    shops = 1 + np.arange(n, dtype=np.int32) % (load.slices - 1)
    return Columns(
        profile=profile,
        buckets=np.full(n, bucket, np.int64),
        values=rng.standard_normal((n, load.numeric)),
        codes=rng.choice(5, (n, load.categorical), p=_SHARES).astype(np.int32),
        slices=shops[:, None],
        weights=np.ones(n, np.int64),
    )


def entries_of(profile: Profile, load: Load, seed: int, shift: float = 0.0) -> list[Entry]:
    """Summarise a bucket's events as the panes of several partitions would.

    `shift` moves every number, in its standard deviations.
    """
    columns, layout = _columns(profile, load, _FIRST_BUCKET + seed), layout_of(profile)
    columns.values[:] += shift
    names = ("buckets", "values", "codes", "slices", "weights")
    size = -(-load.events // load.panes)
    entries = []
    for first in range(0, load.events, size):
        part = {name: getattr(columns, name)[first : first + size] for name in names}
        entries += [
            Entry(profile.model, profile.hash, cell.bucket, cell.events, cell.data)
            for cell in summarise(Columns(profile, **part), layout)
        ]
    return entries


def judge_cost(load: Load) -> JudgeCost:
    """Judge buckets in each of which every stream completes a block: the worst that can come.

    `detect` is the step without metrics: merge, finalise, blocks, all detectors, policy.  With
    `publish` every stream's metric is made and encoded besides.
    """
    profile = large_profile(load)
    drawn = [entries_of(profile, load, seed) for seed in range(_DRAWN)]
    detect, _ = _steps(ModelJudge(profile, Policy(), "bench", metrics=False), load, drawn)
    started = time.process_time()
    judge = ModelJudge(profile, Policy(), "bench")
    start_seconds = time.process_time() - started
    publish, metric_bytes = _steps(judge, load, drawn)
    started = time.process_time()
    judge.snapshot()
    return JudgeCost(
        streams=len(profile.streams),
        statistics=sum(len(s.reference.statistics) for s in profile.streams),
        blocks=judge.blocks.table.binned,
        detect_ms=_percentiles(detect),
        publish_ms=_percentiles(publish),
        blocks_per_second=int(judge.blocks.table.binned / np.median(detect)),
        start_seconds=start_seconds,
        cut_seconds=time.process_time() - started,
        cell_bytes=sum(len(entry.data) for entries in drawn for entry in entries) // _DRAWN,
        metric_bytes=metric_bytes // load.buckets,
    )


def _steps(
    judge: ModelJudge, load: Load, drawn: Sequence[Sequence[Entry]]
) -> tuple[list[float], int]:
    """Finalise buckets; give the seconds of each, and the bytes of all records."""
    seconds, size = [], 0
    for i in range(_WARM + load.buckets):
        bucket = _FIRST_BUCKET + i
        for entry in drawn[i % len(drawn)]:
            judge.take(msgspec.structs.replace(entry, bucket=bucket), UNSET, 0)
        started = time.process_time()
        encoded = sum(
            len(encode(effect)) for effect in judge.finalise((bucket + 1) * judge.profile.bucket_ms)
        )
        if i >= _WARM:
            seconds.append(time.process_time() - started)
            size += encoded
    return seconds, size


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    return {f"p{q}": round(1000 * float(np.percentile(seconds, q)), 1) for q in (50, 99)}
