"""EWMA: a moving average of a standardised stream, for shifts that are small and lasting.

    z <- (1 - weight) z + weight x      alarm when |z| > limit sqrt(weight / (2 - weight)),
                                        then z goes on from 0

where x has mean 0 and standard deviation 1 as long as nothing changes; the square root is the
standard deviation that z settles at.

It sees: lasting shifts of the mean; a weight of 0.03 those of a quarter of a standard
deviation, a weight of 0.5 those of two.
It does not see: a change that leaves the mean where it was; it takes any autocorrelation or
season for a shift, so whiten first.
(weight, limit) = (0.03, 2.437) and (0.5, 3.071) raise a false alarm every 500 values of N(0, 1).
Cost: 1 number a stream, 10 ns a value.

Use CUSUM instead when the size of the shift is known; the Shiryaev-Roberts mixture when neither
size nor duration is.

References: Roberts 1959, Technometrics 1, 239-250; Lucas & Saccucci 1990, Technometrics 32,
1-12 (run lengths).
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.drift.bank import Bank, Detector, PerStream, parameter_columns

__all__ = ["EWMA", "EwmaBank"]

_AVERAGE = 0
_WEIGHT, _LIMIT = range(2)


@njit(cache=True, inline="always")
def _step(
    state: NDArray[np.float64], parameters: NDArray[np.float64], stream: int, x: float
) -> bool:
    """Give one stream a value; return whether it drifted."""
    weight = parameters[stream, _WEIGHT]
    average = (1.0 - weight) * state[stream, _AVERAGE] + weight * x
    bound = parameters[stream, _LIMIT] * math.sqrt(weight / (2.0 - weight))
    drifted = abs(average) > bound
    state[stream, _AVERAGE] = 0.0 if drifted else average
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


class EwmaBank(Bank):
    """Run an EWMA on many streams; `weight` and `limit` are numbers or arrays over streams.

    >>> bank = EwmaBank(2, weight=np.array([0.5, 0.03]), limit=2.5)
    >>> bank.update(np.array([0, 1]), np.array([3.0, 3.0])).tolist()
    [True, False]
    """

    def __init__(self, streams: int, weight: PerStream = 0.03, limit: PerStream = 2.437) -> None:
        parameters = parameter_columns(streams, weight=weight, limit=limit)
        weights = parameters[:, _WEIGHT]
        if np.any(weights <= 0) or np.any(weights > 1) or np.any(parameters[:, _LIMIT] <= 0):
            raise ValueError(
                f"weight must be above 0 and at most 1, and limit above 0, "
                f"not weight = {weight} and limit = {limit}."
            )
        super().__init__(np.zeros((streams, 1)), parameters)

    def _run(
        self, index: NDArray[np.int64], values: NDArray[np.float64], flags: NDArray[np.bool_]
    ) -> None:
        _run((self.state, self.parameters), index, values, flags)


class EWMA(Detector):
    """Find a small lasting shift of the mean of a standardised stream, in both directions.

    Parameters
    ----------
    weight
        Share of the newest value in the average, above 0 and at most 1.
    limit
        Threshold, in standard deviations of the average.

    Examples
    --------
    >>> detector = EWMA(weight=0.5, limit=3.071)
    >>> for i, x in enumerate([0.3, -0.8, 0.1] + [3.0] * 3):
    ...     detector.update(x)
    ...     if detector.drift_detected:
    ...         i
    4
    """

    def __init__(self, weight: float = 0.03, limit: float = 2.437) -> None:
        super().__init__(EwmaBank(1, float(weight), float(limit)))

    def _step(self, x: float) -> bool:
        return bool(_step(self._state, self._parameters, 0, x))
