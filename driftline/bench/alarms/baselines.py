"""What people run today, on the same events: when each first alarms, and how often it does.

ADWIN and Page-Hinkley run event by event on the raw values, with river's defaults: the banks
of this repository give river's alarms, index for index.  The others compare chunks with the
reference: PSI > .2 over deciles, Kolmogorov-Smirnov (chi-squared for categories) p < .05, and
NannyML's way, a distance (Jensen-Shannon) outside the mean +- 3 sd of the reference's chunks.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import kolmogorov, xlogy
from scipy.stats import chi2

from detectors.drift.adwin import AdwinBank
from detectors.drift.page_hinkley import PageHinkleyBank

__all__ = ["CHUNKS", "METHODS", "alarms_of", "every"]

CHUNKS = (250, 7_200)
_DECILES = 10
_SMOOTH = 1e-4
Values = NDArray[np.float64]


class _Chunks(NamedTuple):
    """Hold a reference and live chunks as counts over the same bins, and the values."""

    reference: Values
    chunks: Values
    p: Values
    counts: Values
    known: Values
    categorical: bool


def _chunked(reference: Values, live: Values, size: int) -> _Chunks:
    """Cut events into chunks, and count them over the reference's deciles or categories."""
    categorical = not np.issubdtype(reference.dtype, np.floating)
    if categorical:
        edges = np.arange(int(max(reference.max(), live.max()))) + 0.5
    else:
        edges = np.unique(np.quantile(reference, np.linspace(0, 1, _DECILES + 1)[1:-1]))
    bins = len(edges) + 1

    def counted(values: Values) -> tuple[Values, Values]:
        whole = values[: len(values) // size * size].reshape(-1, size)
        at = np.searchsorted(edges, whole) + bins * np.arange(len(whole))[:, None]
        return whole, np.bincount(at.ravel(), minlength=bins * len(whole)).reshape(-1, bins)

    chunks, counts = counted(live)
    _, known = counted(reference)
    p = known.sum(0) / known.sum()
    return _Chunks(reference, chunks, p, counts / size, known / size, categorical)


def _psi(c: _Chunks) -> NDArray[np.bool_]:
    q, p = c.counts + _SMOOTH, c.p + _SMOOTH
    return ((q - p) * np.log(q / p)).sum(1) > 0.2


def _p_value(c: _Chunks) -> NDArray[np.bool_]:
    """Test each chunk against the reference; asymptotic p values."""
    n, m = c.chunks.shape[1], len(c.reference)
    if c.categorical:
        pooled = (c.counts * n + c.p * m) / (n + m)
        expected = np.where(pooled > 0, pooled, 1.0)
        square = n * m / (n + m) * ((c.counts - c.p) ** 2 / expected).sum(1)
        return chi2.sf(square, max(int((c.p > 0).sum()) - 1, 1)) < 0.05
    known = np.sort(c.reference)
    rows = np.sort(c.chunks, axis=1)
    below = np.searchsorted(known, rows, side="left") / m
    upto = np.searchsorted(known, rows, side="right") / m
    steps = np.arange(1, n + 1) / n
    distance = np.maximum((steps - upto).max(1), (below - steps + 1 / n).max(1))
    return kolmogorov(np.sqrt(n * m / (n + m)) * distance) < 0.05


def _jensen_shannon(q: Values, p: Values) -> Values:
    middle = (q + p) / 2
    safe = np.where(middle > 0, middle, 1.0)
    return np.sqrt((xlogy(q, q / safe) + xlogy(p, p / safe)).sum(1) / 2)


def _three_sd(c: _Chunks) -> NDArray[np.bool_]:
    usual = _jensen_shannon(c.known, c.p)
    return np.abs(_jensen_shannon(c.counts, c.p) - usual.mean()) > 3 * usual.std()


def _by_event(make: Callable[[], AdwinBank | PageHinkleyBank], live: Values) -> NDArray[np.int64]:
    values = live.astype(np.float64)
    return np.flatnonzero(make().update(np.zeros(len(values), np.int64), values)) + 1


METHODS = (
    "raw ADWIN",
    "raw Page-Hinkley",
    *(f"{name} /{size:,}" for name in ("PSI > .2", "KS p < .05", "3 sd") for size in CHUNKS),
)
_TESTS = {"PSI > .2": _psi, "KS p < .05": _p_value, "3 sd": _three_sd}


def alarms_of(method: str, reference: Values, live: Values) -> NDArray[np.int64]:
    """Give the events, counted from 1, with which a method alarms; missing values are left out.

    Every method goes on after an alarm; ADWIN drops what is old, Page-Hinkley restarts.
    """
    if method == "raw ADWIN":
        return _by_event(lambda: AdwinBank(1), live)
    if method == "raw Page-Hinkley":
        return _by_event(lambda: PageHinkleyBank(1), live)
    name, _, size = method.partition(" /")
    events = int(size.replace(",", ""))
    return (np.flatnonzero(_TESTS[name](_chunked(reference, live, events))) + 1) * events


def every(k: int, events: int) -> float:
    """Give the median delay of an alarm every k events, whatever they say; infinite if late."""
    return k / 2 if k / 2 <= events else float("inf")
