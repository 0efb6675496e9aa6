"""The Shiryaev-Roberts mixture over single standardised streams, with the contract of the others.

The mathematics, what it sees and what it does not, are those of `shiryaev_roberts`, whose step
this calls: a stream here has the bits of a stream of one statistic there.  It alarms when the
mean of its ten accumulators reaches steps / 2, and goes on from 0.

It sees: shifts of a mean from .1 to 4 standard deviations, abrupt or slow.
It does not see: a change that leaves the mean where it was, or one smaller than `delta`; values
beyond 5 count as 5.  It takes autocorrelation and seasons for shifts, so whiten first.
With steps = 10,000 it raises a false alarm every 7,300 values of N(0, 1) and finds shifts of
.25, .5, 1 and 2 standard deviations after 163, 53, 17 and 6 values.
Cost: 10 numbers a stream, 100 ns a value.

Use ADWIN instead when neither mean nor scale is known; CUSUM when the size of the shift is known.

References: Shiryaev 1963, Theory Probab. Appl. 8, 22-46; Roberts 1966, Technometrics 8, 411-430;
Pollak 1987, Ann. Statist. 15, 749-779 (mixtures).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.drift.bank import Bank, Detector, PerStream, parameter_columns
from detectors.drift.shiryaev_roberts import CLIP, SHIFTS, grown, log_ratio, psi_of

__all__ = ["MixtureBank", "ShiryaevRoberts"]

_STEPS, _DELTA, _VARIANCE, _KAPPA3, _KAPPA4 = range(5)
_PSI = 2
# What the evidence goes beyond its threshold by at an alarm, and more: half the budget is enough.
_OVERSHOOT = 0.55


@njit(cache=True)
def _step(
    state: NDArray[np.float64], parameters: NDArray[np.float64], stream: int, x: float
) -> bool:
    """Give one stream a value; return whether it drifted."""
    r = state[stream]
    limit = parameters[stream, 0]
    delta = parameters[stream, 1]
    shifts = SHIFTS.shape[0]
    total = 0.0
    for side in range(2):
        w = min(max(x if side == 0 else -x, -CLIP), CLIP)
        for k in range(shifts):
            at = side * shifts + k
            r[at] = grown(r[at], log_ratio(w, SHIFTS[k], delta, parameters[stream, _PSI + at]))
            total += r[at]
    drifted = total / (2 * shifts) >= limit
    if drifted:
        r[:] = 0.0
    return bool(drifted)


@njit(cache=True)
def _run(
    bank: tuple[NDArray[np.float64], NDArray[np.float64]],
    index: NDArray[np.int64],
    values: NDArray[np.float64],
    flags: NDArray[np.bool_],
) -> None:
    """Step the named streams one after the other."""
    state, parameters = bank
    for i in range(index.shape[0]):
        flags[i] = _step(state, parameters, index[i], values[i])


class MixtureBank(Bank):
    """Run the mixture on many streams; every parameter is a number or an array over streams.

    >>> bank = MixtureBank(2, steps=np.array([1_000.0, 1e9]))
    >>> bank.update(np.array([0, 1, 0, 1]), np.array([4.0, 4.0, 4.0, 4.0])).tolist()
    [False, False, True, False]
    """

    def __init__(
        self,
        streams: int,
        *,
        steps: PerStream = 10_000.0,
        delta: PerStream = 0.0,
        variance: PerStream = 1.0,
        kappa3: PerStream = 0.0,
        kappa4: PerStream = 0.0,
    ) -> None:
        given = parameter_columns(
            streams, steps=steps, delta=delta, variance=variance, kappa3=kappa3, kappa4=kappa4
        )
        if np.any(given[:, [_DELTA, _KAPPA4]] < 0):
            raise ValueError(f"delta and kappa4 must be at least 0, not {delta} and {kappa4}.")
        if np.any(given[:, [_STEPS, _VARIANCE]] <= 0):
            raise ValueError(f"steps and variance must be above 0, not {steps} and {variance}.")
        psi = psi_of(given[:, _VARIANCE:]).reshape(streams, -1)
        limit = _OVERSHOOT * given[:, [_STEPS]]
        parameters = np.concatenate([limit, given[:, [_DELTA]], psi], axis=1)
        super().__init__(np.zeros((streams, 2 * len(SHIFTS))), parameters)

    def _run(
        self, index: NDArray[np.int64], values: NDArray[np.float64], flags: NDArray[np.bool_]
    ) -> None:
        _run((self.state, self.parameters), index, values, flags)

    def _is_reachable(self, state: NDArray[np.float64]) -> bool:
        return bool(np.all(state >= 0.0))


class ShiryaevRoberts(Detector):
    """Find a shift of unknown size of the mean of a standardised stream, in both directions.

    Parameters
    ----------
    steps
        Values to one false alarm: the budget, and with that the threshold.
    delta
        Mean that is tolerated, in standard deviations.
    variance, kappa3, kappa4
        Largest variance of the stream as long as nothing changes, and its third and fourth
        cumulants (kappa4 at least 0).

    Examples
    --------
    >>> detector = ShiryaevRoberts(steps=10_000)
    >>> for i, x in enumerate([0.3, -0.8, 0.1] + [2.0] * 8):
    ...     detector.update(x)
    ...     if detector.drift_detected:
    ...         i
    8
    """

    def __init__(
        self,
        steps: float = 10_000.0,
        *,
        delta: float = 0.0,
        variance: float = 1.0,
        kappa3: float = 0.0,
        kappa4: float = 0.0,
    ) -> None:
        super().__init__(
            MixtureBank(
                1,
                steps=float(steps),
                delta=float(delta),
                variance=float(variance),
                kappa3=float(kappa3),
                kappa4=float(kappa4),
            )
        )

    @property
    def evidence(self) -> float:
        """Return the mean of the accumulators: it alarms at steps / 2, and starts again at 0."""
        return float(self._state.mean())

    def _step(self, x: float) -> bool:
        return bool(_step(self._state, self._parameters, 0, x))
