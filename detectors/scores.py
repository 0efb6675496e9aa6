"""Blocks to scores: every alarmable statistic is a function of a block's bin counts.

A number's bins carry the normal score x of their reference mid-rank.  From a block's counts
come the raw moments of x and from these `level = m1`, `spread = ln(m2 - m1^2)`, and skew and
tails from *central* moments, so that a level that moves leaves the others alone.  Ranks bound
what one event can do: lognormal, Student and normal data give the same scores.

A category's score is (share - p) / sqrt(p (1 - p)).  Values that the reference hardly knows
(fewer than one expected in a block, unseen, out of range) are counted as `rare` instead.  A rate
has one statistic, `volume = ln(events + 1/2)`, whose noise is that of the expected count.

What season and the block before explain is taken out: with r = value - mean - season and
z = r / sqrt(within / n + between), the score is w_t = z_t - phi z_{t-1} + theta w_{t-1} over its
own sd, clipped at +-5.

Sources: Neyman 1937, Rayner & Best 1989 (smooth tests); Laney 2002 (between-block variance);
Alwan & Roberts 1988 (whitening).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.arithmetic import exp, log
from detectors.blocks import Blocks, StreamTable
from detectors.profile import Channel, Profile, Reference
from detectors.season import Clockwork, Seasons, clockwork, season_of_span, seasons_of

__all__ = ["CLIP", "SMOOTH", "VOLUME", "Scorer", "influence_variances", "is_smooth"]

SMOOTH = ("level", "spread", "skew", "tails")
VOLUME = "volume"
CLIP = 5.0
_VARIANCE_MIN = 0.02
_SKEW_MAX = 9.0
_TAILS_MAX = 30.0
_SHARES, _MOMENTS, _RATE = 0, 1, 2
_SHARE = -1


def is_smooth(reference: Reference) -> bool:
    """Say whether a stream's statistics are the moments of normal scores (not shares)."""
    return len(reference.scores) > 0


def influence_variances(reference: Reference) -> tuple[float, float, float, float]:
    """Give the variance of one event's contribution to level, spread, skew and tails.

    These are the variances, under the reference's bins, of the influence functions x, x^2 - 1,
    x^3 - g - 3x - 1.5 g (x^2 - 1) and x^4 - k - 2k (x^2 - 1) - 4 g x, with g and k the third
    and fourth moment of x (mean 0, variance 1).
    """
    counts = np.array(reference.counts, np.float64)
    counts[list(reference.rare)] = 0
    p = counts / counts.sum()
    x = np.array(reference.scores)
    g, k = p @ x**3, p @ x**4
    square = x**2 - 1
    parts = (x, square, x**3 - g - 3 * x - 1.5 * g * square, x**4 - k - 2 * k * square - 4 * g * x)
    level, spread, skew, tails = (max(float(p @ (f - p @ f) ** 2), 1e-6) for f in parts)
    return level, spread, skew, tails


@dataclass(frozen=True)
class _Statistics:
    """Hold all statistics of a model as arrays; stream j has `first[j]` to `first[j + 1]`."""

    first: NDArray[np.int64]
    kind: NDArray[np.int64]
    bin: NDArray[np.int64]
    share: NDArray[np.float64]
    mean: NDArray[np.float64]
    within: NDArray[np.float64]
    between: NDArray[np.float64]
    sd: NDArray[np.float64]
    phi: NDArray[np.float64]
    theta: NDArray[np.float64]


@njit(cache=True)
def _moments(counts: Any, keep: Any, x: Any, out: Any) -> Any:
    """Write level, spread, skew and tails of one block; give the events they stand on."""
    n = 0
    m1 = m2 = m3 = m4 = 0.0
    for b in range(counts.shape[0]):
        if keep[b]:
            n += counts[b]
            v = x[b]
            k = float(counts[b])
            m1 += k * v
            m2 += k * v * v
            m3 += k * v * v * v
            m4 += k * v * v * v * v
    if n == 0:
        return n
    m1, m2, m3, m4 = m1 / n, m2 / n, m3 / n, m4 / n
    v = max(m2 - m1 * m1, _VARIANCE_MIN)
    third = m3 - 3 * m1 * m2 + 2 * m1 * m1 * m1
    fourth = m4 - 4 * m1 * m3 + 6 * m1 * m1 * m2 - 3 * m1 * m1 * m1 * m1
    out[0] = m1
    out[1] = log(v)
    out[2] = min(max(third / (v * np.sqrt(v)), -_SKEW_MAX), _SKEW_MAX)
    out[3] = min(fourth / (v * v), _TAILS_MAX)
    return n


@njit(cache=True)
def _values(closed: Any, blocks: Any, stats: Any, out: Any) -> None:
    """Write statistic and n for each statistic, rare and all events for each closed stream."""
    counts, bins, keep, x, rare = blocks
    first, kind, stat_bin, share = stats
    value, n_of, rare_of, total_of = out
    for j in closed:
        low, high = bins[j], bins[j + 1]
        n = total = hits = 0
        for b in range(low, high):
            total += counts[b]
            n += counts[b] * keep[b]
            hits += counts[b] * rare[b]
        rare_of[j] = hits
        total_of[j] = total
        if kind[j] == _MOMENTS:
            at = first[j]
            _moments(counts[low:high], keep[low:high], x[low:high], value[at : at + 4])
        for d in range(first[j], first[j + 1]):
            n_of[d] = n
            if kind[j] == _RATE:
                n_of[d] = 1
                value[d] = log(n + 0.5)
            elif kind[j] == _SHARES and n > 0:
                p = share[d]
                value[d] = (counts[low + stat_bin[d]] / n - p) / np.sqrt(p * (1.0 - p))


@njit(cache=True)
def _scores(closed: Any, when: Any, stats: Any, state: Any) -> None:
    """Take season and memory out of the statistics of the closed streams; write their scores."""
    start, end, bucket_ms, clock = when
    first, kind, mean, within, between, sd, phi, theta, season_row, effects = stats
    value, n_of, score, last_z, last_w = state
    for j in closed:
        for d in range(first[j], first[j + 1]):
            if n_of[d] == 0:
                score[d] = 0.0
                continue
            n = float(n_of[d])
            season = 0.0
            if season_row[d] >= 0:
                span = (start[j] * bucket_ms, end * bucket_ms)
                season = season_of_span(effects[season_row[d]], span, clock)
                value[d] -= season
            if kind[j] == _RATE:
                n = max(exp(mean[d] + season), 0.5)
            z = (value[d] - mean[d]) / np.sqrt(within[d] / n + between[d])
            w = z - phi[d] * last_z[d] + theta[d] * last_w[d]
            last_z[d] = z
            last_w[d] = w
            score[d] = min(max(w / sd[d], -CLIP), CLIP)


class Scorer:
    """Turn the closed blocks of one model into standardised scores.

    After `score`, the arrays `value` (the statistic without its season), `scores` (clipped at
    +-5) and `n` (1 for a rate) hold, for each statistic of the closed streams, the block's
    result; `rare` and `total` hold the rare and all events of each closed stream.
    """

    def __init__(self, profile: Profile, table: StreamTable, scale: NDArray[np.float64]) -> None:
        """Prepare the arrays; `scale` multiplies the reference sd of each statistic."""
        streams = profile.streams
        self.table = table
        self._bucket_ms = profile.bucket_ms
        self._clock: Clockwork = clockwork(profile.calendar)
        bins = int(table.first[-1])
        self.keep = np.zeros(bins, np.int64)
        self.rare_bins = np.zeros(bins, np.int64)
        self.x = np.zeros(bins, np.float64)
        for j, stream in enumerate(streams):
            low, high = table.first[j], table.first[j + 1]
            self.keep[low:high] = _kept(stream.reference)
            self.rare_bins[low:high][list(stream.reference.rare)] = 1
            if is_smooth(stream.reference):
                self.x[low:high] = stream.reference.scores
        self.stats, self._seasons = _statistics(profile, scale)
        total = int(self.stats.first[-1])
        self.value = np.zeros(total)
        self.scores = np.zeros(total)
        self.n = np.zeros(total, np.int64)
        self.last_z = np.zeros(total)
        self.last_w = np.zeros(total)
        self.rare = np.zeros(len(streams), np.int64)
        self.total = np.zeros(len(streams), np.int64)

    def score(self, closed: NDArray[np.int64], blocks: Blocks, end: int) -> None:
        """Score the blocks of these streams, which end before bucket `end`."""
        s = self.stats
        _values(
            closed,
            (blocks.counts, self.table.first, self.keep, self.x, self.rare_bins),
            (s.first, s.kind, s.bin, s.share),
            (self.value, self.n, self.rare, self.total),
        )
        _scores(
            closed,
            (blocks.start, end, self._bucket_ms, self._clock),
            (s.first, s.kind, s.mean, s.within, s.between, s.sd, s.phi, s.theta, *self._seasons),
            (self.value, self.n, self.scores, self.last_z, self.last_w),
        )

    def open_value(self, j: int, statistic: int, blocks: Blocks) -> tuple[int, float]:
        """Give events and statistic (by its place in the stream) of a block that is still open."""
        n, value = self._open_statistic(j, statistic, blocks)
        row = int(self._seasons.row[self.stats.first[j] + statistic])
        if not n or row < 0:
            return n, value
        start_ms = int(blocks.start[j]) * self._bucket_ms
        span = (start_ms, start_ms + self._bucket_ms)
        return n, value - season_of_span(self._seasons.effects[row], span, self._clock)

    def _open_statistic(self, j: int, statistic: int, blocks: Blocks) -> tuple[int, float]:
        low, high = self.table.first[j], self.table.first[j + 1]
        kind, d = self.stats.kind[j], int(self.stats.first[j]) + statistic
        counts, keep = blocks.counts[low:high], self.keep[low:high]
        if kind == _RATE:
            return 0, 0.0
        if kind == _MOMENTS:
            out = np.zeros(4)
            n = int(_moments(counts, keep, self.x[low:high], out))
            return n, float(out[statistic])
        n = int(counts @ keep)
        p = float(self.stats.share[d])
        seen = int(counts[self.stats.bin[d]])
        return n, (seen / n - p) / float(np.sqrt(p * (1 - p))) if n else 0.0

    def open_rare(self, j: int, blocks: Blocks) -> tuple[int, int]:
        """Count rare and all events of a block that is still open."""
        low, high = self.table.first[j], self.table.first[j + 1]
        counts = blocks.counts[low:high]
        return int(counts @ self.rare_bins[low:high]), int(counts.sum())

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Give what the next block's scores depend on, as named arrays."""
        return {"last_z": self.last_z, "last_w": self.last_w}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Take the state from a snapshot."""
        self.last_z[:], self.last_w[:] = state["last_z"], state["last_w"]


def _kept(reference: Reference) -> NDArray[np.int64]:
    """Mark the bins whose share of a block is scored: all that are not rare."""
    keep = np.ones(len(reference.counts), np.int64)
    keep[list(reference.rare)] = 0
    if not is_smooth(reference):
        keep &= (np.array(reference.counts) > 0).astype(np.int64)
    return keep


def _kind(channel: Channel, reference: Reference) -> int:
    """Say how a stream's statistics come from its counts."""
    if channel.kind == "rate":
        return _RATE
    # A stream of few blocks has scores but no statistics: nothing may be written for it.
    return _MOMENTS if is_smooth(reference) and reference.statistics else _SHARES


def _statistics(profile: Profile, scale: NDArray[np.float64]) -> tuple[_Statistics, Seasons]:
    """Flatten the statistics of all streams, and their seasons."""
    streams = profile.streams
    flat = [(s, stat) for s in streams for stat in s.reference.statistics]
    sizes = [len(s.reference.statistics) for s in streams]
    shares = []
    for stream, stat in flat:
        reference = stream.reference
        share = reference.counts[stat.bin] / reference.n_scored if stat.bin != _SHARE else 0.5
        shares.append(share)
    kinds = [_kind(profile.channels[s.channel], s.reference) for s in streams]

    def column(name: str) -> NDArray[np.float64]:
        return np.array([getattr(stat, name) for _, stat in flat], np.float64)

    statistics = _Statistics(
        first=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        kind=np.array(kinds, np.int64),
        bin=np.array([stat.bin for _, stat in flat], np.int64),
        share=np.array(shares, np.float64),
        mean=column("mean"),
        within=column("within"),
        between=column("between"),
        sd=column("sd") * scale,
        phi=column("phi"),
        theta=column("theta"),
    )
    return statistics, seasons_of([stat.season for _, stat in flat])
