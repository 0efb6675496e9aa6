"""Blocks to scores: every alarmable statistic is a function of a block's bin counts.

A number's bins carry the normal score x of their reference mid-rank.  From a block's counts
come the raw moments of x and from these `level = m1`, `spread = ln(m2 - m1^2)`, and skew and
tails from *central* moments, so that a level that moves leaves the others alone.  Ranks bound
what one event can do: lognormal, Student and normal data give the same scores.

A category's score is (share - p) / sqrt(p (1 - p)).  Values that the reference hardly knows
(fewer than one expected in a block, unseen, out of range) are counted as `rare` instead.

Sources: Neyman 1937, Rayner & Best 1989 (smooth tests); Laney 2002 (between-block variance).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.arithmetic import log
from detectors.blocks import Blocks, StreamTable
from detectors.profile import Profile, Reference

__all__ = ["CLIP", "SMOOTH", "Scorer", "influence_variances", "is_smooth"]

SMOOTH = ("level", "spread", "skew", "tails")
CLIP = 5.0
_VARIANCE_MIN = 0.02
_SKEW_MAX = 9.0
_TAILS_MAX = 30.0
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
    smooth: NDArray[np.bool_]
    bin: NDArray[np.int64]
    share: NDArray[np.float64]
    mean: NDArray[np.float64]
    within: NDArray[np.float64]
    between: NDArray[np.float64]
    sd: NDArray[np.float64]


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
def _score(closed: Any, blocks: Any, stats: Any, out: Any) -> None:
    """Write statistic, score and n for each statistic, rare and n for each closed stream."""
    counts, bins, keep, x, rare = blocks
    first, smooth, stat_bin, share, mean, within, between, sd = stats
    value, score, n_of, rare_of, total_of = out
    for j in closed:
        low, high = bins[j], bins[j + 1]
        n = total = hits = 0
        for b in range(low, high):
            total += counts[b]
            n += counts[b] * keep[b]
            hits += counts[b] * rare[b]
        rare_of[j] = hits
        total_of[j] = total
        if smooth[j]:
            at = first[j]
            _moments(counts[low:high], keep[low:high], x[low:high], value[at : at + 4])
        for d in range(first[j], first[j + 1]):
            n_of[d] = n
            if n == 0:
                score[d] = 0.0
                continue
            if not smooth[j]:
                p = share[d]
                value[d] = (counts[low + stat_bin[d]] / n - p) / np.sqrt(p * (1.0 - p))
            z = (value[d] - mean[d]) / np.sqrt(within[d] / n + between[d]) / sd[d]
            score[d] = min(max(z, -CLIP), CLIP)


class Scorer:
    """Turn the closed blocks of one model into standardised scores.

    After `score`, the arrays `value` (the statistic itself), `scores` (clipped at +-5) and `n`
    hold, for each statistic of the closed streams, the block's result; `rare` and `total` hold
    the rare and all events of each closed stream.
    """

    def __init__(self, profile: Profile, table: StreamTable, scale: NDArray[np.float64]) -> None:
        """Prepare the arrays; `scale` multiplies the reference sd of each statistic."""
        streams = profile.streams
        self.table = table
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
        self.stats = _statistics(profile, scale)
        total = int(self.stats.first[-1])
        self.value = np.zeros(total)
        self.scores = np.zeros(total)
        self.n = np.zeros(total, np.int64)
        self.rare = np.zeros(len(streams), np.int64)
        self.total = np.zeros(len(streams), np.int64)

    def score(self, closed: NDArray[np.int64], blocks: Blocks) -> None:
        """Score the blocks of these streams."""
        s = self.stats
        _score(
            closed,
            (blocks.counts, self.table.first, self.keep, self.x, self.rare_bins),
            (s.first, s.smooth, s.bin, s.share, s.mean, s.within, s.between, s.sd),
            (self.value, self.scores, self.n, self.rare, self.total),
        )


def _kept(reference: Reference) -> NDArray[np.int64]:
    """Mark the bins whose share of a block is scored: all that are not rare."""
    keep = np.ones(len(reference.counts), np.int64)
    keep[list(reference.rare)] = 0
    if not is_smooth(reference):
        keep &= (np.array(reference.counts) > 0).astype(np.int64)
    return keep


def _statistics(profile: Profile, scale: NDArray[np.float64]) -> _Statistics:
    """Flatten the statistics of all streams."""
    flat = [(s, stat) for s in profile.streams for stat in s.reference.statistics]
    sizes = [len(s.reference.statistics) for s in profile.streams]
    shares = []
    for stream, stat in flat:
        reference = stream.reference
        share = reference.counts[stat.bin] / reference.n_scored if stat.bin != _SHARE else 0.5
        shares.append(share)
    return _Statistics(
        first=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        # A stream of few blocks has scores but no statistics: nothing may be written for it.
        smooth=np.array([is_smooth(s.reference) for s in profile.streams]) & (np.array(sizes) > 0),
        bin=np.array([stat.bin for _, stat in flat], np.int64),
        share=np.array(shares, np.float64),
        mean=np.array([stat.mean for _, stat in flat], np.float64),
        within=np.array([stat.within for _, stat in flat], np.float64),
        between=np.array([stat.between for _, stat in flat], np.float64),
        sd=np.array([stat.sd for _, stat in flat], np.float64) * scale,
    )
