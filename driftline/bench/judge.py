"""The judge of one large model: what a bucket costs, phase by phase, and what a restart costs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.alert import encode
from detectors.columns import Columns
from detectors.judge import ModelJudge
from detectors.layout import layout_of
from detectors.panes import UNSET, Entry
from detectors.policy import Policy
from detectors.profile import Channel, Profile, Reference, Span, Statistic, Stream, seal
from detectors.references import Counted, plain_statistics, reference_of, replaced
from detectors.summary.cells import UNIT, summarise

__all__ = ["JudgeCost", "Load", "judge_cost", "large_profile"]

_CATEGORIES = tuple("abcd")
_SHARES = (0.4, 0.3, 0.2, 0.09, 0.01)
_BINS = 34
_BLOCKS = 2_000
_EMPTY = Reference((), 0.0, 0.0, 0, 0.0, 0.0, (), (), (), 0.0, 1.0)
_FIRST_BUCKET = 170_000_000
_DRAWN = 24
_WARM = 2


@dataclass(frozen=True)
class Load:
    """Choose the model and its traffic: `events` a bucket, sent by `panes` panes."""

    numeric: int = 32
    categorical: int = 8
    slices: int = 500
    events: int = 27_500
    panes: int = 20
    buckets: int = 30


@dataclass
class JudgeCost:
    """Hold what was measured: seconds of each bucket by phase."""

    streams: int
    statistics: int
    blocks: int = 0
    construction_seconds: float = 0.0
    snapshot_seconds: float = 0.0
    cell_bytes: int = 0
    metric_bytes: int = 0
    phases: dict[str, list[float]] = field(default_factory=dict)

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Time one phase of one bucket."""
        started = time.process_time()
        yield
        self.phases.setdefault(phase, []).append(time.process_time() - started)


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
        counts = np.array(reference.counts) * (np.array(reference.scores) != 0)
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


def _part(columns: Columns, rows: NDArray[np.int64]) -> Columns:
    names = ("buckets", "values", "codes", "slices", "weights")
    return Columns(columns.profile, **{name: getattr(columns, name)[rows] for name in names})


def _drawn(profile: Profile, load: Load, seed: int) -> list[Entry]:
    """Summarise a bucket's events as the panes of several partitions would."""
    bucket = _FIRST_BUCKET + seed
    columns = _columns(profile, load, bucket)
    layout = layout_of(profile)
    size = -(-load.events // load.panes)
    return [
        Entry(profile.model, profile.hash, cell.bucket, cell.events, cell.data)
        for first in range(0, load.events, size)
        for cell in summarise(_part(columns, np.arange(first, min(first + size, load.events))), layout)
    ]


def judge_cost(load: Load) -> JudgeCost:
    """Judge buckets of a large model; give what each phase took."""
    profile = large_profile(load)
    ModelJudge(profile, Policy(), "bench")
    cost = JudgeCost(len(profile.streams), sum(len(s.reference.statistics) for s in profile.streams))
    started = time.process_time()
    judge = ModelJudge(profile, Policy(), "bench")
    cost.construction_seconds = time.process_time() - started
    drawn = [_drawn(profile, load, seed) for seed in range(_DRAWN)]
    for i in range(load.buckets + _WARM):
        bucket = _FIRST_BUCKET + i
        entries = drawn[i % _DRAWN]
        for entry in entries:
            judge.take(msgspec.structs.replace(entry, bucket=bucket), UNSET, 0)
        timed = cost if i >= _WARM else JudgeCost(0, 0)
        effects = []
        with timed.timed("step"):
            effects = list(judge.finalise((bucket + 1) * profile.bucket_ms))
        with timed.timed("encode"):
            lines = [encode(effect) for effect in effects]
        if i >= _WARM:
            cost.blocks += len(lines)
            cost.cell_bytes += sum(len(entry.data) for entry in entries)
            cost.metric_bytes += sum(map(len, lines))
    started = time.process_time()
    judge.snapshot()
    cost.snapshot_seconds = time.process_time() - started
    return cost
