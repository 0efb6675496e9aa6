"""CUSUM: the quickest way to see one shift of known size in a standardised stream.

    up   <- max(0, up   + x - k)        alarm when up > h or down > h,
    down <- max(0, down - x - k)        then both go on from 0

where x has mean 0 and standard deviation 1 as long as nothing changes.

It sees: a lasting shift of the mean; best at 2k standard deviations.
It does not see: a shift below k, or a change that leaves the mean where it was; it takes any
autocorrelation or season for a shift, so whiten first.
With k = 0.5, h = 4 it raises a false alarm every 168 values of N(0, 1) and finds a shift of
one standard deviation after 8.4.
Cost: 3 numbers a stream, 10 ns a value.

Use PageHinkley instead when the mean is not known beforehand; the Shiryaev-Roberts mixture when
the size of the shift is not known; EWMA for shifts that are small and slow.

References: Page 1954, Biometrika 41, 100-115; Lucas & Crosier 1982, Technometrics 24, 199-205
(run lengths).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.drift.bank import Bank, Detector, PerStream, parameter_columns

__all__ = ["CUSUM", "CusumBank"]

_UP, _DOWN = range(2)
_K, _H = range(2)


@njit(cache=True, inline="always")
def _step(
    state: NDArray[np.float64], parameters: NDArray[np.float64], stream: int, x: float
) -> bool:
    """Give one stream a value; return whether it drifted."""
    k = parameters[stream, _K]
    h = parameters[stream, _H]
    up = max(0.0, state[stream, _UP] + x - k)
    down = max(0.0, state[stream, _DOWN] - x - k)
    drifted = up > h or down > h
    state[stream, _UP] = 0.0 if drifted else up
    state[stream, _DOWN] = 0.0 if drifted else down
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


class CusumBank(Bank):
    """Run a two-sided CUSUM on many streams; `k` and `h` are numbers or arrays over streams.

    >>> bank = CusumBank(2, h=2.0)
    >>> bank.update(np.array([0, 1]), np.array([3.0, 0.1])).tolist()
    [True, False]
    """

    def __init__(self, streams: int, k: PerStream = 0.5, h: PerStream = 4.0) -> None:
        parameters = parameter_columns(streams, k=k, h=h)
        if np.any(parameters[:, _K] < 0) or np.any(parameters[:, _H] <= 0):
            raise ValueError(f"k must be at least 0 and h above 0, not k = {k} and h = {h}.")
        super().__init__(np.zeros((streams, 2)), parameters)

    def _run(
        self, index: NDArray[np.int64], values: NDArray[np.float64], flags: NDArray[np.bool_]
    ) -> None:
        _run((self.state, self.parameters), index, values, flags)

    def _is_reachable(self, state: NDArray[np.float64]) -> bool:
        return bool(np.all(state >= 0.0))


class CUSUM(Detector):
    """Find a shift of the mean of a standardised stream, in both directions.

    Parameters
    ----------
    k
        Allowance in standard deviations: half the shift to be found quickest.
    h
        Threshold in standard deviations.

    Examples
    --------
    >>> detector = CUSUM(k=0.5, h=4.0)
    >>> for i, x in enumerate([0.3, -0.8, 0.1] + [2.0] * 4):
    ...     detector.update(x)
    ...     if detector.drift_detected:
    ...         i
    5
    """

    def __init__(self, k: float = 0.5, h: float = 4.0) -> None:
        super().__init__(CusumBank(1, float(k), float(h)))

    def _step(self, x: float) -> bool:
        return bool(_step(self._state, self._parameters, 0, x))
