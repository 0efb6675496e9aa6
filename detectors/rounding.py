"""Nine significant digits of many numbers at once: the floats that records carry.

A number is scaled by a power of ten to nine digits before the point, rounded, and scaled back.
The first step is off by less than 1.2e-7, so where the fraction is not that near to a half the
digits are right; the last one is a single operation on two exact numbers, so its result is the
float that those digits name.  What is left (one number in a million, halves, and what is very
large or small) is rounded through its text.

References: Clinger 1990, PLDI, 92-101 (exact powers of ten).
"""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.alert import nine_digits

__all__ = ["rounded"]

_DIGITS = 9
_EXACT_MAX = 22
_POWERS = np.array([float(10**k) for k in range(_EXACT_MAX + 1)])
_LOG10_2 = 0.30102999566398120
_UNSURE = 1e-6


@njit(cache=True)
def _round(values: Any, out: Any, unsure: Any) -> int:
    """Round values; note the places of those that it cannot, and give their number."""
    found = 0
    for i in range(values.shape[0]):
        x = values[i]
        out[i] = x
        if x == 0.0 or x != x:
            continue
        a = abs(x)
        if not 1e-12 < a < 1e24:
            unsure[found] = i
            found += 1
            continue
        # Of two neighbouring powers the exponent tells the lower: a digit may be lacking.
        power = _DIGITS - 1 - int(np.floor(math.frexp(a)[1] * _LOG10_2))
        scaled = a * _POWERS[power] if power >= 0 else a / _POWERS[-power]
        if scaled < 1e8:
            power += 1
            scaled = a * _POWERS[power] if power >= 0 else a / _POWERS[-power]
        whole = np.floor(scaled)
        part = scaled - whole
        if abs(part - 0.5) < _UNSURE:
            unsure[found] = i
            found += 1
            continue
        if part > 0.5:
            whole += 1.0
        near = whole / _POWERS[power] if power >= 0 else whole * _POWERS[-power]
        out[i] = near if x > 0 else -near
    return found


def rounded(values: NDArray[np.float64]) -> list[float]:
    """Round each value to 9 significant digits: the floats of `nine_digits`.

    >>> rounded(np.array([1 / 3, -2e10 / 3, 0.0]))
    [0.333333333, -6666666670.0, 0.0]
    """
    out = np.empty(len(values))
    unsure = np.empty(len(values), np.int64)
    found = _round(values, out, unsure)
    for i in unsure[:found].tolist():
        out[i] = nine_digits(values[i])
    return out.tolist()
