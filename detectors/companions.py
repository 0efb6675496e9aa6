"""Companions: other detectors that run on the white block scores, beside the mixture or instead.

Each watches many statistics and is granted, by statistic, so many block steps to one false alarm.
Under the null a score has a mean within +-delta and a variance of at most v, so all divide it
by sqrt(v) and let the mean move by delta.  Their thresholds follow from the steps:

    CUSUM, Page-Hinkley    k = .5, h by Siegmund's approximation
    EWMA                   weight .1, limit from a Markov chain (`ewma_run_length`)
    ADWIN                  a check at every block, significance from a measured table
    river:NAME             none: its default parameters, at the user's own risk

Page-Hinkley and ADWIN compare the scores with their own past, so a mean that is off and stays is
no change to them.  Page-Hinkley does not forget (alpha = 1): with river's .9999 it would alarm
every 7,200 blocks where 500,000 are granted.

Measured steps to a false alarm (300 to 1,000 runs), scores of variance 1 and cut at 5:

    granted                10,000                           100,000
    scores         normal      t5   gamma 4       normal      t5   gamma 4
    CUSUM           9,800   4,900     3,600       99,000  38,000    21,000
    Page-Hinkley   10,300   4,700     3,600       99,000  39,000    20,000
    EWMA           10,800   4,000     3,900      105,000  21,000    14,000
    ADWIN          10,100   9,900     8,900       92,000  85,000    78,000

So where scores have heavy tails or are skewed (small blocks, rare categories), all but ADWIN alarm
two to seven times more often than granted: only the mixture knows kappa3 and kappa4.

Use the Shiryaev-Roberts mixture instead when scores are not normal, or the size is not known: a
shift of .25 standard deviations takes CUSUM 760 blocks, EWMA 690, ADWIN 3,300, Page-Hinkley
9,100 (its mean follows), and the mixture 160.

References: Siegmund 1985, Sequential Analysis, 2.6 (run length); Lucas & Saccucci 1990,
Technometrics 32, 1-12.
"""

import difflib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from detectors.arithmetic import exp, log
from detectors.drift.adwin import AdwinBank
from detectors.drift.bank import Bank, Snapshot
from detectors.drift.cusum import CusumBank
from detectors.drift.ewma import EwmaBank
from detectors.drift.page_hinkley import PageHinkleyBank
from detectors.drift.river_plugin import RiverBank
from detectors.errors import ConfigError

__all__ = ["COMPANIONS", "Companion", "companion"]

COMPANIONS = ("adwin", "page_hinkley", "cusum", "ewma")
_RIVER = "river:"
_K = 0.5
_WEIGHT = 0.1
# Beyond it nothing alarms in the life of a log; a stream that may not alarm is granted infinity.
_STEPS_MAX = 1e15

# Limit of an EWMA of weight .1, and its run length.
_EWMA_RUN_LENGTHS = (
    (2.5, 223.3),
    (3.0, 841.9),
    (3.5, 4_104.0),
    (4.0, 26_210.0),
    (4.5, 219_000.0),
    (5.0, 2_381_000.0),
    (5.5, 33_550_000.0),
    (6.0, 610_900_000.0),
    (6.5, 14_350_000_000.0),
    (7.0, 434_100_000_000.0),
)
# Significance of ADWIN with a check at every value, and its run length on N(0, 1): each the
# mean of 700 to 4,400 runs, known to 3 to 8 %.
_ADWIN_RUN_LENGTHS = (
    (0.5, 1_090.0),
    (0.2, 3_920.0),
    (0.08, 12_900.0),
    (0.03, 48_700.0),
    (0.012, 149_000.0),
    (0.005, 409_000.0),
)


class Companion:
    """Run one detector on the scores of many statistics."""

    def __init__(self, bank: Bank, sd: NDArray[np.float64]) -> None:
        self._bank = bank
        self._sd = sd

    @property
    def streams(self) -> int:
        """Count the statistics."""
        return self._bank.streams

    def update(self, index: NDArray[np.int64], scores: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Give statistic `index[i]` the score `scores[i]`; return where a drift was found."""
        return self._bank.update(index, scores / self._sd[index])

    def reset(self, index: NDArray[np.int64]) -> None:
        """Start the named statistics afresh."""
        self._bank.reset(index)

    def snapshot(self) -> Snapshot:
        """Copy the state: all that `restore` needs, beside the same arguments."""
        return self._bank.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot of the same detector on as many statistics; else ValueError."""
        self._bank.restore(snapshot)


def companion(
    name: str,
    steps: NDArray[np.float64],
    delta: NDArray[np.float64],
    variance: NDArray[np.float64],
) -> Companion:
    """Start a detector by name, with the thresholds that its budget gives it.

    `steps` are the block steps to one false alarm, `delta` and `variance` what the reference
    allows the scores' mean and variance to be; all by statistic.

    Raises
    ------
    ConfigError
        If there is no detector of this name.

    >>> one = np.ones(1)
    >>> watching = companion("cusum", 1e4 * one, 0 * one, one)
    >>> np.flatnonzero(watching.update(np.zeros(9, np.int64), np.full(9, 2.0))).tolist()
    [5]
    """
    sd = np.sqrt(variance)
    granted = np.minimum(steps, _STEPS_MAX).tolist()
    allowed = delta / sd
    n = len(sd)
    bank: Bank
    if name == "adwin":
        significances = np.array([_significance(a) for a in granted], np.float64)
        bank = AdwinBank(n, delta=significances, clock=1, allowance=allowed)
    elif name == "page_hinkley":
        h = np.array([_siegmund(a) for a in granted], np.float64)
        bank = PageHinkleyBank(n, delta=_K + allowed, threshold=h, alpha=1.0)
    elif name == "cusum":
        h = np.array([_siegmund(a) for a in granted], np.float64)
        bank = CusumBank(n, k=_K + allowed, h=h)
    elif name == "ewma":
        limits = np.array([_ewma_limit(a) for a in granted], np.float64)
        bank = EwmaBank(n, _WEIGHT, limits + allowed / np.sqrt(_WEIGHT / (2 - _WEIGHT)))
    elif name.startswith(_RIVER):
        bank = RiverBank(n, name=name.removeprefix(_RIVER))
    else:
        near = difflib.get_close_matches(name, COMPANIONS, 1, 0.0)[0]
        raise ConfigError(
            f"There is no detector {name!r}; did you mean {near!r}? There are "
            f"{', '.join(COMPANIONS)}, and river:NAME for a class of river.drift."
        )
    return Companion(bank, sd)


@lru_cache(maxsize=100_000)  # a judge is made at every restart and handover
def _siegmund(steps: float) -> float:
    """Solve (e^{2kb} - 2kb - 1) / (2 k^2) = 2 steps for b, and give h = b - 1.166.

    Twice the steps, since both sides are watched.  Right to 6 % for k = .5, and 33 % short for
    k = 2 (measured).
    """
    low, high = 0.0, 60.0
    for _ in range(60):
        b = (low + high) / 2
        if (exp(2 * _K * b) - 2 * _K * b - 1) / (2 * _K * _K) < 2 * steps:
            low = b
        else:
            high = b
    return max(low - 1.166, 1.0)


@lru_cache(maxsize=100_000)
def _ewma_limit(steps: float) -> float:
    """Find the limit of a run length: log steps is nearly a line in the limit's square."""
    table = [(log(length), limit * limit) for limit, length in _EWMA_RUN_LENGTHS]
    return float(np.sqrt(max(_between(log(steps), table), 1.0)))


@lru_cache(maxsize=100_000)
def _significance(steps: float) -> float:
    """Find the significance of a run length: both logarithms lie nearly on a line."""
    table = [(log(length), log(delta)) for delta, length in _ADWIN_RUN_LENGTHS]
    return min(exp(_between(log(steps), table)), 0.9)


def _between(x: float, table: list[tuple[float, float]]) -> float:
    """Interpolate a table of (x, y) linearly, and go on beyond its ends as at them."""
    at = sum(known <= x for known, _ in table[1:-1])
    (x0, y0), (x1, y1) = table[at], table[at + 1]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
