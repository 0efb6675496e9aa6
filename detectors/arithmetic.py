"""`exp` and `log` whose bits are the same on every machine.

Library versions differ between CPU levels in the last place, and a last place is enough to
change an alert.  These use + - * / and exact operations only, each rounded once as IEEE 754
says (numba without fastmath fuses nothing), so the same input gives the same output anywhere.
They stay within 2 units in the last place of the true value.  One call costs 3 to 10 ns.

Use `math.exp` and `math.log` instead where nothing reaches a record.

References: Tang 1989, ACM TOMS 15(2) (table-driven exp); W. J. Cody & W. Waite 1980, Software
Manual for the Elementary Functions (argument reduction with a constant in two parts).
"""

import math
from decimal import Context, Decimal

import numpy as np
from numba import njit

__all__ = ["exp", "log"]

# ln 2 and (ln 2)/32 in two parts: a whole multiple of the first part is exact.
_LN2_HIGH = float.fromhex("0x1.62e42fefa0000p-1")
_LN2_LOW = float.fromhex("0x1.cf79abc9e3b3ap-40")
_STEP_HIGH = float.fromhex("0x1.62e42fef80000p-6")
_STEP_LOW = float.fromhex("0x1.1cf79abc9e3b4p-41")
_STEPS_PER_UNIT = float.fromhex("0x1.71547652b82fep+5")
_SQRT_HALF = float.fromhex("0x1.6a09e667f3bcdp-1")

_EXACT = Context(prec=40)
# 2**(j/32), correctly rounded; 2**k for the normal numbers, exact.
_ROOTS = np.array([float(_EXACT.power(Decimal(2), Decimal(j) / 32)) for j in range(32)])
_POWERS = np.array([math.ldexp(1.0, k) for k in range(-1022, 1024)])


@njit(cache=True)
def exp(x: float) -> float:
    """Return e**x within 2 units in the last place; 0 and inf where it under- or overflows.

    Method: x = (32 k + j) (ln 2)/32 + r with |r| <= 0.011, and e**x = 2**k 2**(j/32) e**r.

    >>> exp(0.0), exp(-1000.0), exp(1000.0)
    (1.0, 0.0, inf)
    """
    if x > 710.0:
        return math.inf
    if x < -746.0:
        return 0.0
    if x != x:
        return x
    steps = math.floor(x * _STEPS_PER_UNIT + 0.5)
    rest = (x - steps * _STEP_HIGH) - steps * _STEP_LOW
    tail = 1 / 24 + rest * (1 / 120 + rest * (1 / 720))
    grown = rest + rest * rest * (0.5 + rest * (1 / 6 + rest * tail))
    root = float(_ROOTS[steps & 31])
    unscaled = root + root * grown
    power = steps >> 5
    if power > 1023:
        return unscaled * 2.0 * float(_POWERS[power + 1021])
    if power < -1022:
        # Two factors, so that a subnormal result is rounded once only.
        return unscaled * float(_POWERS[22]) * float(_POWERS[power + 2022])
    return unscaled * float(_POWERS[power + 1022])


@njit(cache=True)
def log(x: float) -> float:
    """Return the natural logarithm within 2 units in the last place.

    0 gives -inf, a negative number nan.  Method: x = 2**k (1 + f) with 1 + f in
    [0.707, 1.414], s = f/(2 + f), and log(1 + f) = f - s (f - 2 s**2/3 - 2 s**4/5 - ...).

    >>> log(1.0), log(0.0), log(-1.0)
    (0.0, -inf, nan)
    """
    if not x > 0.0:
        return -math.inf if x == 0.0 else math.nan
    if x == math.inf:
        return x
    mantissa, power = math.frexp(x)
    if mantissa < _SQRT_HALF:
        mantissa *= 2.0
        power -= 1
    f = mantissa - 1.0
    s = f / (2.0 + f)
    z = s * s
    high = 2 / 13 + z * (2 / 15 + z * (2 / 17 + z * (2 / 19 + z * (2 / 21))))
    series = z * (2 / 3 + z * (2 / 5 + z * (2 / 7 + z * (2 / 9 + z * (2 / 11 + z * high)))))
    return power * _LN2_HIGH - ((s * (f - series) - power * _LN2_LOW) - f)
