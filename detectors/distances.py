"""Distances between two histograms over the same bins, for people to read beside an alert.

No alarm rests on them: how large they are by chance depends on the number of events.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.arithmetic import log

__all__ = ["jensen_shannon", "psi"]

_LN2 = 0.6931471805599453


@njit(cache=True)
def psi(counts: NDArray[np.int64], reference_counts: NDArray[np.int64]) -> float:
    """Return the population stability index: sum (p - q) ln(p/q), at least 0.

    p = (k + 1/2)/(n + B/2) over B bins on both sides (Krichevsky & Trofimov 1981), so an empty
    bin does not make it infinite.  Both are int64[B] and not negative; other lengths are a
    ValueError.  nan when a side holds no events.  Source: Siddiqi 2006, Credit Risk Scorecards,
    where above 0.2 counts as a large change.

    >>> round(psi(np.array([50, 30, 20]), np.array([500, 300, 200])), 9)
    2.6071e-05
    >>> round(psi(np.array([20, 30, 50]), np.array([500, 300, 200])), 3)
    0.54
    """
    if counts.shape[0] != reference_counts.shape[0]:
        raise ValueError("counts and reference_counts must have the same number of bins.")
    n = counts.sum()
    n_reference = reference_counts.sum()
    if n == 0 or n_reference == 0:
        return np.nan
    half = 0.5 * counts.shape[0]
    distance = 0.0
    for i in range(counts.shape[0]):
        p = (counts[i] + 0.5) / (n + half)
        q = (reference_counts[i] + 0.5) / (n_reference + half)
        distance += (p - q) * log(p / q)
    return distance


@njit(cache=True)
def jensen_shannon(counts: NDArray[np.int64], reference_counts: NDArray[np.int64]) -> float:
    """Return the Jensen-Shannon divergence in nats: 0 for equal shares, ln 2 without overlap.

    sum (p ln(p/m) + q ln(q/m))/2 with shares p, q and m = (p + q)/2 (Lin 1991, IEEE Transactions
    on Information Theory 37, 145-151); its square root is a metric.  Both are int64[B] and not
    negative; other lengths are a ValueError.  nan when a side holds no events.

    >>> jensen_shannon(np.array([5, 5, 0]), np.array([50, 50, 0]))
    0.0
    >>> round(jensen_shannon(np.array([5, 0]), np.array([0, 7])), 6)
    0.693147
    """
    if counts.shape[0] != reference_counts.shape[0]:
        raise ValueError("counts and reference_counts must have the same number of bins.")
    n = counts.sum()
    n_reference = reference_counts.sum()
    if n == 0 or n_reference == 0:
        return np.nan
    distance = 0.0
    for i in range(counts.shape[0]):
        p = counts[i] / n
        q = reference_counts[i] / n_reference
        middle = 0.5 * (p + q)
        if p > 0.0:
            distance += 0.5 * p * log(p / middle)
        if q > 0.0:
            distance += 0.5 * q * log(q / middle)
    return min(max(distance, 0.0), _LN2)
