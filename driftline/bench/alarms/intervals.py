"""95 % intervals: of a rate of rare events, of a median, of a share."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import beta, chi2

__all__ = ["median_interval", "poisson_interval", "share_interval", "times"]


def poisson_interval(count: int, exposure: float) -> tuple[float, float]:
    """Bound a rate by what was counted (Garwood's exact interval).

    >>> low, high = poisson_interval(10, 10.0)
    >>> round(low, 2), round(high, 2)
    (0.48, 1.84)
    """
    low = chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    return float(low / exposure), float(chi2.ppf(0.975, 2 * count + 2) / 2 / exposure)


def median_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Bound a median by 2,000 bootstrap samples; a missed change counts as infinitely late."""
    sample = np.asarray(values, np.float64)
    draw = np.random.default_rng(seed).integers(0, len(sample), (2_000, len(sample)))
    # Sorted, since the mean of two infinities would be no number.
    middle = np.sort(sample[draw], axis=1)[:, len(sample) // 2]
    low, high = np.quantile(middle, (0.025, 0.975), method="inverted_cdf")
    return float(low), float(high)


def share_interval(hits: int, n: int) -> tuple[float, float]:
    """Bound a share by hits of n (Clopper & Pearson's exact interval)."""
    low = beta.ppf(0.025, hits, n - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, n - hits) if hits < n else 1.0
    return float(low), float(high)


def times(count: int, nominal: float) -> str:
    """Write a count of false alarms as a multiple of the nominal one, with its interval.

    >>> times(16, 32.0)
    '.50 (.29-.81)'
    """
    low, high = poisson_interval(count, nominal)
    return f"{_short(count / nominal)} ({_short(low)}-{_short(high)})"


def _short(value: float) -> str:
    if value >= 10:
        return f"{value:,.0f}"
    return f"{value:.2f}".removeprefix("0") if value < 1 else f"{value:.1f}"
