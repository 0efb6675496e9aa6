"""Rare things: values that a block hardly ever holds, counted and compared with a bound.

For the rates m p of m = 2, 4, 16 and 128 times a bound p it accumulates

    R <- (1 + R) * exp(hits log(m) - (m - 1) p n)        the Poisson likelihood ratio of a block

for n events of which `hits` are rare, and its evidence is the mean of the four: as in the
Shiryaev-Roberts mixture, R_t - t is a martingale while the rate is at most p.

It sees: more unseen categories, values out of range or missing ones than the reference bounds;
one block alone is enough.
It does not see: a rare thing that vanishes, or one that stays below the bound.
Cost: 4 accumulators a stream.

Use the Shiryaev-Roberts mixture instead when a block expects one such event or more.

Reference: Shin, Ramdas & Rinaldo 2024, doi 10.51387/23-NEJSDS51 (e-detectors).
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.arithmetic import log
from detectors.drift.shiryaev_roberts import Lead, grown

__all__ = ["MULTIPLIERS", "RareBank"]

MULTIPLIERS = np.array([2.0, 4.0, 16.0, 128.0])
_NONE = -1


@njit(cache=True)
def _rare_step(closed: Any, tuning: Any, seen: Any, state: Any) -> None:
    """Advance the Poisson likelihood ratios of the closed streams by one block."""
    rare, total, start = seen
    rate, dispersion, multipliers = tuning
    r, gain, onset, sums_rare, sums_n, evidence, lead = state
    for j in closed:
        evidence[j] = 0.0
        if rate[j] <= 0.0:
            continue
        observed = rare[j] / dispersion[j]
        expected = rate[j] * total[j] / dispersion[j]
        top = -1.0
        for k in range(multipliers.shape[0]):
            m = multipliers[k]
            if gain[j, k] <= 0.0:
                onset[j, k] = start[j]
                sums_rare[j, k] = 0
                sums_n[j, k] = 0
            step = min(observed * log(m) - (m - 1.0) * expected, 500.0)
            new = grown(r[j, k], step)
            r[j, k] = new
            gain[j, k] = max(gain[j, k] + step, 0.0)
            sums_rare[j, k] += rare[j]
            sums_n[j, k] += total[j]
            evidence[j] += new / multipliers.shape[0]
            if new > top:
                top = new
                lead[j] = k


class RareBank:
    """Watch counts of rare things, upwards only: Poisson rates 2, 4, 16 and 128 times a bound.

    `rate` is the upper bound of each stream's reference rate (0: nothing rare to watch), and
    `dispersion` >= 1 divides the evidence where rare things come in clusters.  Unlike the
    mixture, one block alone can alarm.  A rare thing that vanishes is not seen.
    """

    def __init__(self, rate: NDArray[np.float64], dispersion: NDArray[np.float64]) -> None:
        """Start all accumulators at zero."""
        shape = (len(rate), len(MULTIPLIERS))
        self._tuning = (rate, dispersion, MULTIPLIERS)
        self.r = np.zeros(shape)
        self.gain = np.zeros(shape)
        self.onset = np.full(shape, _NONE, np.int64)
        self.sums_rare = np.zeros(shape, np.int64)
        self.sums_n = np.zeros(shape, np.int64)
        self.evidence = np.zeros(len(rate))
        self.lead = np.zeros(len(rate), np.int64)

    def update(
        self,
        closed: NDArray[np.int64],
        counts: tuple[NDArray[np.int64], NDArray[np.int64]],
        start: NDArray[np.int64],
    ) -> None:
        """Take one block of each closed stream: its (rare, total) counts, and its first bucket."""
        sums = (self.sums_rare, self.sums_n)
        state = (self.r, self.gain, self.onset, *sums, self.evidence, self.lead)
        _rare_step(closed, self._tuning, (*counts, start), state)

    def lead_of(self, stream: int) -> Lead:
        """Name the onset and the counts behind a stream's evidence."""
        k = int(self.lead[stream])
        hits, n = int(self.sums_rare[stream, k]), int(self.sums_n[stream, k])
        return Lead(-1, 0, int(self.onset[stream, k]), n, float(hits), hits, k)

    def reset(self, stream: int) -> None:
        """Restart a stream's accumulators after an alarm."""
        self.r[stream] = 0.0
        self.gain[stream] = 0.0
        self.evidence[stream] = 0.0

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Give the state as named arrays."""
        names = ("r", "gain", "onset", "sums_rare", "sums_n", "evidence", "lead")
        return {name: getattr(self, name) for name in names}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Take the state from a snapshot."""
        for name, array in self.snapshot().items():
            array[:] = state[name]
