"""Shiryaev-Roberts mixture: the default detector, whose threshold *is* the alarm budget.

For each statistic, side and shift lambda it accumulates

    R <- (1 + R) * exp(lambda (+-w - delta) - psi(lambda))
    psi(lambda) = v lambda^2 / 2 + max(0, +-kappa3) lambda^3 / 6 + kappa4 lambda^4 / 24

where w is a standardised score.  While the score's mean is at most delta and its cumulants are
those of the reference, R_t - t is a martingale, so the mean of all R reaches A about once in A
steps at most: no tables, no calibration, and dependence between statistics does not matter.

It sees: shifts of a mean from .1 to 4 standard deviations, abrupt or slow, in any statistic.
It does not see: a change that leaves every statistic where it was, or one smaller than delta.
One score is bounded by 5, so one block alone never alarms: use a threshold on the value itself
for single outliers.  It takes autocorrelation and seasons for shifts, so whiten first.

Use ADWIN instead when no reference exists; CUSUM when one shift is known in advance and every
block of delay counts.

Cost: 10 accumulators a statistic, one exp each.  Sources: Shiryaev 1963, Roberts 1966, Pollak
1987 (mixtures); Shin, Ramdas & Rinaldo 2024, doi 10.51387/23-NEJSDS51 (e-detectors).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.arithmetic import exp

__all__ = ["CLIP", "SHIFTS", "Lead", "ShiryaevRobertsBank", "grown", "log_ratio", "peak", "psi_of"]

SHIFTS = np.array([0.125, 0.25, 0.5, 1.0, 2.0])
# Beyond it a score is cut, so that no block alone alarms.
CLIP = 5.0
_CEILING = 1e250
_NONE = -1


@dataclass(frozen=True)
class Lead:
    """Say what drives a stream's evidence: statistic, side (0 up, 1 down), onset, sums since.

    `shift` is the index of the leading accumulator among SHIFTS, or MULTIPLIERS of rare things.
    `onset` is the end of the last block at which the sum of the leading accumulator's log
    likelihood ratios was at its least: the most likely time of the change for its shift.
    `n`, `value` and `units` are the sums since then of events, statistic x events, and Sigma q
    (for a number) or the count (for a share or a rare thing).
    """

    statistic: int
    side: int
    onset: int
    n: int
    value: float
    units: int
    shift: int


@njit(cache=True, inline="always")
def log_ratio(w: float, shift: float, delta: float, psi: float) -> float:
    """Give the log of what one score says for a shift, at least, against none."""
    return shift * (w - delta) - psi


@njit(cache=True, inline="always")
def grown(r: float, step: float) -> float:
    """Give R after a block whose log likelihood ratio is `step`."""
    return min((1.0 + r) * exp(step), _CEILING)


@njit(cache=True)
def _step(closed: Any, tuning: Any, seen: Any, state: Any) -> None:
    """Advance every accumulator of the closed streams by one block; write mean R a stream."""
    first, delta, psi, shifts = tuning
    scores, n_of, value, units, start = seen
    r, gain, onset, sums_n, sums_value, sums_units, evidence, lead = state
    for j in closed:
        total = 0.0
        top = -1.0
        for d in range(first[j], first[j + 1]):
            if n_of[d] == 0:
                continue
            for side in range(2):
                w = scores[d] if side == 0 else -scores[d]
                for k in range(shifts.shape[0]):
                    if gain[d, side, k] <= 0.0:
                        onset[d, side, k] = start[j]
                        sums_n[d, side, k] = 0
                        sums_value[d, side, k] = 0.0
                        sums_units[d, side, k] = 0
                    step = log_ratio(w, shifts[k], delta[d], psi[d, side, k])
                    r[d, side, k] = grown(r[d, side, k], step)
                    gain[d, side, k] = max(gain[d, side, k] + step, 0.0)
                    sums_n[d, side, k] += n_of[d]
                    sums_value[d, side, k] += n_of[d] * value[d]
                    sums_units[d, side, k] += units[d]
                    total += r[d, side, k]
                    if r[d, side, k] > top:
                        top = r[d, side, k]
                        lead[j] = (d * 2 + side) * shifts.shape[0] + k
        accumulators = (first[j + 1] - first[j]) * 2 * shifts.shape[0]
        evidence[j] = total / accumulators if accumulators > 0 else 0.0


class ShiryaevRobertsBank:
    """Run the mixture over all streams of a model at once.

    `first` (streams + 1) names each stream's statistics; `delta` and `cumulants` (statistics x
    3: v, kappa3, kappa4) are what the reference knows and does not know about each.
    """

    def __init__(
        self, first: NDArray[np.int64], delta: NDArray[np.float64], cumulants: NDArray[np.float64]
    ) -> None:
        """Start all accumulators at zero."""
        statistics = len(delta)
        shape = (statistics, 2, len(SHIFTS))
        self.first = first
        self._tuning = (first, delta, psi_of(cumulants), SHIFTS)
        self.r = np.zeros(shape)
        self.gain = np.zeros(shape)
        self.onset = np.full(shape, _NONE, np.int64)
        self.sums_n = np.zeros(shape, np.int64)
        self.sums_value = np.zeros(shape)
        self.sums_units = np.zeros(shape, np.int64)
        self.evidence = np.zeros(len(first) - 1)
        self.lead = np.zeros(len(first) - 1, np.int64)

    def update(
        self, closed: NDArray[np.int64], scores: NDArray[np.float64], since: tuple[Any, ...]
    ) -> None:
        """Take one block of each closed stream.

        `scores` and the first three of `since` = (n, value, units, start) are by statistic,
        `start` (the bucket that a block began with) by stream.
        """
        _step(closed, self._tuning, (scores, *since), self._state)

    def lead_of(self, stream: int) -> Lead:
        """Name what drives a stream's evidence."""
        at = np.unravel_index(int(self.lead[stream]), self.r.shape)
        statistic, side, shift = (int(i) for i in at)
        return Lead(
            statistic=statistic,
            side=side,
            onset=int(self.onset[at]),
            n=int(self.sums_n[at]),
            value=float(self.sums_value[at]),
            units=int(self.sums_units[at]),
            shift=shift,
        )

    def reset(self, stream: int) -> None:
        """Restart a stream's accumulators after an alarm."""
        low, high = self.first[stream], self.first[stream + 1]
        self.r[low:high] = 0.0
        self.gain[low:high] = 0.0
        self.evidence[stream] = 0.0

    @property
    def _state(self) -> tuple[Any, ...]:
        sums = (self.sums_n, self.sums_value, self.sums_units)
        return (self.r, self.gain, self.onset, *sums, self.evidence, self.lead)

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Give the state as named arrays."""
        names = ("r", "gain", "onset", "sums_n", "sums_value", "sums_units", "evidence", "lead")
        return {name: getattr(self, name) for name in names}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Take the state from a snapshot."""
        for name, array in self.snapshot().items():
            array[:] = state[name]


@njit(cache=True)
def _peak(scores: Any, delta: float, psi: Any, shifts: Any) -> float:
    """Find the largest mean R over one statistic's scores."""
    r = np.zeros((2, shifts.shape[0]))
    top = 0.0
    for w in scores:
        total = 0.0
        for side in range(2):
            x = w if side == 0 else -w
            for k in range(shifts.shape[0]):
                r[side, k] = grown(r[side, k], log_ratio(x, shifts[k], delta, psi[side, k]))
                total += r[side, k]
        top = max(top, total / (2 * shifts.shape[0]))
    return top


def peak(scores: NDArray[np.float64], delta: float, cumulants: NDArray[np.float64]) -> float:
    """Give the largest evidence that one statistic's scores gather; `cumulants` is 1 x 3."""
    return float(_peak(scores, delta, psi_of(cumulants)[0], SHIFTS))


def psi_of(cumulants: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bound the cumulant generating function for both sides; only adverse skew counts."""
    v, kappa3, kappa4 = (column[:, None] for column in cumulants.T)
    s = SHIFTS[None, :]
    tail = kappa4 * s * s * s * s / 24
    sides = [
        v * s * s / 2 + np.maximum(0.0, sign * kappa3) * s * s * s / 6 + tail for sign in (1, -1)
    ]
    return np.stack(sides, axis=1)
