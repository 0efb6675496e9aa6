"""Calibrate: how each statistic of a stream behaves on its own reference.

Everything that needs more than counting is worked out here, once, and kept in the profile:
normal scores, bounds of rare rates, between-block variance, long-run variance, cumulants, and
the widening that keeps a detector silent on its own reference.

Sources: Laney 2002 (between-block variance); Wilson & Hilferty 1931 (Gamma quantile).
"""

from statistics import NormalDist

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.alert import nine_digits
from detectors.drift.shiryaev_roberts import peak
from detectors.policy import Policy, error_of_reference, half_effect
from detectors.profile import Statistic, Stream
from detectors.scores import CLIP

__all__ = ["fit_statistic", "normal_scores", "rare_bins", "rare_rate"]

_SMOOTH_BINS_MIN = 6
_GUARD = 3.0
_GUARD_STEP = 1.15
_GUARD_MAX = 9.0
_SD_MIN = 0.3
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


def fit_statistic(
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
    quiet = _GUARD * len(w)
    while _peak(stream, stat, w / widening**0.5, policy) > quiet and widening < _GUARD_MAX:
        widening *= _GUARD_STEP
        stat = msgspec.structs.replace(stat, sd=nine_digits(stat.sd * _GUARD_STEP**0.5))
    return stat


def _peak(stream: Stream, stat: Statistic, w: NDArray[np.float64], policy: Policy) -> float:
    """Find the largest evidence that the reference's own scores would have gathered."""
    error, variance = error_of_reference(stream, stat)
    delta = max(error, half_effect(stream, stat, policy))
    cumulants = np.array([[variance, stat.kappa3, stat.kappa4]])
    return peak(w / max(delta, 1.0), min(delta, 1.0), cumulants)
