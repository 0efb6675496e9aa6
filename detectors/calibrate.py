"""Calibrate: how each statistic of a stream behaves on its own reference.

Everything that needs more than counting is worked out here, once, and kept in the profile:
normal scores, bounds of rare rates, season, between-block variance, memory from block to block,
long-run variance, cumulants, and the widening that keeps a detector silent on its own reference.

Sources: Laney 2002 (between-block variance); Wilson & Hilferty 1931 (Gamma quantile).
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.alert import nine_digits
from detectors.drift.shiryaev_roberts import peak
from detectors.policy import Policy, tuning
from detectors.profile import Statistic, Stream
from detectors.scores import CLIP, VOLUME
from detectors.season import NO_SEASON
from detectors.season_fit import Spans, fit_season, season_at
from detectors.whitening import (
    cautious,
    fit_arma,
    inherited,
    latent_share,
    long_run,
    whiten,
)

__all__ = ["Family", "Seen", "fit_statistic", "normal_scores", "rare_bins", "rare_rate"]

_SMOOTH_BINS_MIN = 6
_GUARD = 3.0
_GUARD_STEP = 1.15
_GUARD_MAX = 9.0
_SD_MIN = 0.3
_WEEKS_KNOWN_DAYS = 14
_OWN_MEMORY_BLOCKS = 500
_EXPECTED_MIN = 0.5
_NORMAL = NormalDist()


def rare_bins(counts: NDArray[np.int64], blocks: int) -> tuple[int, ...]:
    """Name the values of which a block expects fewer than one."""
    return tuple(np.flatnonzero(counts < blocks).tolist())


def rare_rate(
    counts: NDArray[np.int64], rare: tuple[int, ...], tails: list[int]
) -> tuple[float, float]:
    """Bound the rate of rare things from above at .999, and measure how they cluster.

    The Gamma quantile is Wilson & Hilferty's (1931), up to 2.3 % above the true one.
    """
    dispersion = 1.0
    if tails and sum(tails):
        dispersion = max(1.0, float(np.var(tails) / np.mean(tails)))
    hits = int(counts[list(rare)].sum())
    shape = hits / dispersion + (2 if tails else 1)
    quantile = shape * (1 - 1 / (9 * shape) + _NORMAL.inv_cdf(0.999) / (3 * shape**0.5)) ** 3
    return min(quantile * dispersion / int(counts.sum()), 0.5), dispersion


def normal_scores(counts: NDArray[np.int64], rare: tuple[int, ...]) -> tuple[float, ...]:
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


class Family(NamedTuple):
    """Name what a statistic leans on where its own blocks are too few.

    `parent` is the same statistic of all events, already fitted, and `blocks` how many blocks
    that stands on; None for that one itself.  `level` is the level of the same stream: where it
    wanders slowly, it drags the shape along by a little that the shape itself hardly shows.
    """

    policy: Policy
    parent: Statistic | None = None
    blocks: int = 0
    level: Statistic | None = None


@dataclass(frozen=True)
class Seen:
    """Hold one statistic over a stream's m reference blocks: values, events, and when."""

    values: NDArray[np.float64]
    n: NDArray[np.float64]
    spans: Spans


def fit_statistic(stream: Stream, stat: Statistic, seen: Seen, family: Family) -> Statistic:
    """Fit season, variance between blocks, memory, sd and cumulants; widen until it is silent."""
    mean = float(seen.values.mean())
    above = family.parent.season if family.parent else NO_SEASON
    season, widening = fit_season(seen.values, seen.spans, above)
    effect = season_at(season, seen.spans)
    residual = seen.values - mean - effect
    n = seen.n
    if stat.name == VOLUME:
        n = np.maximum(np.exp(mean + effect), _EXPECTED_MIN)
    m = len(residual)
    noise = stat.within / n
    between = max(0.0, float((residual**2 * m / max(m - 1, 1) - noise).mean()))
    z = residual / np.sqrt(noise + between)
    share = between / (between + float(noise.mean()))
    phi, theta = _memory(z, share, family)
    w = whiten(z, phi, theta)
    sd = max(float(w[1:].std()), _SD_MIN)
    sd *= float(np.sqrt(long_run(w / sd) * widening))
    w = np.clip(w / sd, -CLIP, CLIP)
    kappa4 = max(0.0, float((w**4).mean()) - 3 * float((w**2).mean()) ** 2)
    fitted = msgspec.structs.replace(
        stat,
        mean=nine_digits(mean),
        between=nine_digits(between),
        sd=nine_digits(sd),
        kappa3=nine_digits(float((w**3).mean())),
        kappa4=nine_digits(kappa4),
        season=season,
        phi=nine_digits(phi),
        theta=nine_digits(theta),
        delta=nine_digits(_unknown_weekdays(z, seen.spans) / sd),
    )
    return _guarded(stream, fitted, w, family.policy)


def _memory(z: NDArray[np.float64], share: float, family: Family) -> tuple[float, float]:
    """Fit (phi, theta), or take the parent's where the stream has too few blocks to show them.

    `share` is the part of a residual's variance that is not sampling noise.
    """
    m = len(z)
    phi = theta = 0.0
    if m >= _OWN_MEMORY_BLOCKS or family.parent is None:
        phi, theta = fit_arma(z)
    elif family.parent.phi:
        return inherited(family.parent.phi, family.blocks / m, share)
    if not phi and family.level is not None:
        return inherited(family.level.phi, 1.0, latent_share(z, family.level.phi))
    return cautious(phi, m), theta


def _unknown_weekdays(z: NDArray[np.float64], spans: Spans) -> float:
    """Give by how much whole days were off, where the reference is too short to know weekdays.

    The largest mean of a day beyond what sampling explains; a weekend that was not seen may be
    as far off without an alarm.
    """
    if spans.days >= _WEEKS_KNOWN_DAYS - 0.02:
        return 0.0
    days = spans.day - spans.day.min()
    n = np.bincount(days)
    whole = n >= np.median(n[n > 0]) / 2
    means = np.bincount(days, z)[whole] / n[whole]
    return max(0.0, float(np.abs(means).max()) - 1 / float(np.sqrt(np.median(n[whole]))))


def _guarded(stream: Stream, stat: Statistic, w: NDArray[np.float64], policy: Policy) -> Statistic:
    """Widen the sd until the detector stays silent on its own reference: max R <= 3 m."""
    widening = 1.0
    quiet = _GUARD * len(w)
    while _peak(stream, stat, w / widening**0.5, policy) > quiet and widening < _GUARD_MAX:
        widening *= _GUARD_STEP
        sd = nine_digits(stat.sd * _GUARD_STEP**0.5)
        stat = msgspec.structs.replace(stat, sd=sd, widened=nine_digits(widening))
    return stat


def _peak(stream: Stream, stat: Statistic, w: NDArray[np.float64], policy: Policy) -> float:
    """Find the largest evidence that the reference's own scores would have gathered."""
    tuned = tuning(stream, stat, policy)
    return peak(w / tuned.scale, tuned.delta, np.array([tuned[2:]]))
