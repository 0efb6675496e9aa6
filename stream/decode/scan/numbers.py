"""JSON numbers to doubles, correctly rounded: exact small cases first, then Eisel-Lemire.

A number of up to 19 significant digits is w * 10^e with w below 2^64.  Where w and 10^|e| are
both doubles, one operation rounds correctly (Clinger).  Else w, shifted to the left, is
multiplied by the upper 64 or 128 bits of 5^e, which decides the rounding for every such number
(Lemire, Number Parsing at a Gigabyte per Second, 2021; Mushtak and Lemire, 2023).  More digits,
subnormals and what is out of range are left to others.
"""

from typing import Any, Final

import numpy as np
from numba import njit

from stream.decode.scan.bits import (
    HIGH_BITS,
    double_of,
    first_byte,
    leading_zeros,
    load8,
    load64,
    product_high,
)

__all__ = ["BAD", "LONG", "NUMBER", "read_number"]

BAD: Final = 0
NUMBER: Final = 4
LONG: Final = 5
"""An integer of more digits than every double keeps."""

_DIGITS_KEPT: Final = np.uint64(15)
_DIGITS_MAX: Final = np.uint64(19)
_EXPONENT_MIN: Final = -342
_EXPONENT_MAX: Final = 308
_EXACT_POWER: Final = 22
_ZERO, _ONE, _TEN = np.uint64(0), np.uint64(1), np.uint64(10)
_EIGHT, _BYTE_BITS = np.uint64(8), np.uint64(3)
_DIGIT_0, _MINUS, _PLUS = np.uint64(ord("0")), np.uint64(ord("-")), np.uint64(ord("+"))
_POINT, _E, _LOWER = np.uint64(ord(".")), np.uint64(ord("e")), np.uint64(0x20)
_ZEROS, _SEVEN_BITS = np.uint64(0x3030303030303030), np.uint64(0x7F7F7F7F7F7F7F7F)
_ABOVE_9 = np.uint64(0x7676767676767676)
_PAIRS, _PAIRS_1 = np.uint64(0x000000FF000000FF), np.uint64(0x000F424000000064)
_PAIRS_2, _HALF = np.uint64(0x0000271000000001), np.uint64(32)
_SIXTEEN, _LOW_WORD = np.uint64(16), np.uint64(0xFFFFFFFF)
_POWERS: Final = 10 ** np.arange(9, dtype=np.uint64)
_EXACT: Final = 10.0 ** np.arange(_EXACT_POWER + 1)
_MANTISSA_MAX: Final = np.uint64(1 << 53)


def _fives() -> tuple[Any, Any]:
    """Make the upper 128 bits of 5^e: powers cut off, reciprocals rounded up."""
    words = []
    for e in range(_EXPONENT_MIN, _EXPONENT_MAX + 1):
        power = 5 ** abs(e)
        if e < 0:
            bits = (power - 1).bit_length()
            power = (1 << (bits + 127 if e >= -27 else 2 * bits + 128)) // power + 1
        length = power.bit_length()
        words.append(power << (128 - length) if length < 128 else power >> (length - 128))
    high = np.array([word >> 64 for word in words], np.uint64)
    return high, np.array([word & (2**64 - 1) for word in words], np.uint64)


_FIVES_HIGH, _FIVES_LOW = _fives()


@njit(cache=True, forceinline=True, error_model="numpy")
def _eight(word: Any) -> Any:
    """Read eight digits, already without their 0x30."""
    word = word * _TEN + (word >> _EIGHT)
    return (
        ((word & _PAIRS) * _PAIRS_1) + (((word >> _SIXTEEN) & _PAIRS) * _PAIRS_2)
    ) >> _HALF & _LOW_WORD


@njit(cache=True, forceinline=True, error_model="numpy")
def _more_digits(p: Any, w: Any) -> Any:
    """Append a run of digits to w (modulo 2^64); give it and where the run ends."""
    while True:
        word = load64(p) ^ _ZEROS
        others = (((word & _SEVEN_BITS) + _ABOVE_9) | word) & HIGH_BITS
        if others == _ZERO:
            w = w * _POWERS[8] + _eight(word)
            p += _EIGHT
            continue
        count = first_byte(others)
        if count > _ZERO:
            w = w * _POWERS[count] + _eight(word << ((_EIGHT - count) << _BYTE_BITS))
        return w, p + count


@njit(cache=True, forceinline=True, error_model="numpy")
def _double(w: Any, e: Any) -> Any:
    """Round w * 10^e to a double; the second is False where that is not decided here."""
    if w == _ZERO:
        return 0.0, True
    if w <= _MANTISSA_MAX and -_EXACT_POWER <= e <= _EXACT_POWER:
        exact = np.float64(w)
        return (exact / _EXACT[-e] if e < 0 else exact * _EXACT[e]), True
    if e < _EXPONENT_MIN or e > _EXPONENT_MAX:
        return 0.0, False
    zeros = leading_zeros(w)
    w <<= zeros
    five = np.uint64(e - _EXPONENT_MIN)
    high = product_high(w, _FIVES_HIGH[five])
    low = w * _FIVES_HIGH[five]
    if high & np.uint64(0x1FF) == np.uint64(0x1FF):
        carried = product_high(w, _FIVES_LOW[five])
        low += carried
        if low < carried:
            high += _ONE
        if low == np.uint64(0xFFFFFFFFFFFFFFFF) and not -27 <= e <= 55:
            return 0.0, False
    upper = high >> np.uint64(63)
    shift = upper + np.uint64(9)
    mantissa = high >> shift
    exponent = ((217_706 * e) >> 16) + 63 + np.int64(upper) - np.int64(zeros) + 1023
    if exponent <= 0 or exponent >= 2046:
        return 0.0, False
    # Half way between two doubles: only there is the rounding to even in question.
    if low <= _ONE and -4 <= e <= 23 and mantissa & np.uint64(3) == _ONE:
        if mantissa << shift == high:
            mantissa -= _ONE
    mantissa = (mantissa + (mantissa & _ONE)) >> _ONE
    if mantissa >= _MANTISSA_MAX:
        mantissa >>= _ONE
        exponent += 1
    mantissa &= np.uint64((1 << 52) - 1)
    return double_of(mantissa | (np.uint64(exponent) << np.uint64(52))), True


@njit(cache=True, forceinline=True, error_model="numpy")
def _zeros_before(p: Any) -> Any:
    """Count the zeros before the first other digit of a number that begins with one."""
    count = _ONE
    p += np.uint64(2)
    while load8(p) == _DIGIT_0:
        count += _ONE
        p += _ONE
    return count


@njit(cache=True, forceinline=True, error_model="numpy")
def _exponent(p: Any) -> Any:
    """Read what stands behind an e; a third of False says that it is no exponent, or long."""
    negative = load8(p) == _MINUS
    if negative or load8(p) == _PLUS:
        p += _ONE
    first, e = p, np.int64(0)
    digit = load8(p) - _DIGIT_0
    while digit < _TEN and p - first < _EIGHT:
        e = e * 10 + np.int64(digit)
        p += _ONE
        digit = load8(p) - _DIGIT_0
    return (-e if negative else e), p, p > first and digit >= _TEN


@njit(cache=True, forceinline=True, error_model="numpy")
def read_number(p: Any) -> Any:
    """Read the number at an address: (kind, double, address behind it).

    The kind is NUMBER, LONG, or BAD for what is no number or not decided here.
    """
    negative = load8(p) == _MINUS
    if negative:
        p += _ONE
    first = p
    w = load8(p) - _DIGIT_0
    if w >= _TEN:
        return BAD, 0.0, p
    p += _ONE
    digit = load8(p) - _DIGIT_0
    if w == _ZERO and digit < _TEN:
        return BAD, 0.0, p
    while digit < _TEN:
        w = w * _TEN + digit
        p += _ONE
        digit = load8(p) - _DIGIT_0
    digits, e, whole = p - first, np.int64(0), True
    if load8(p) == _POINT:
        p += _ONE
        begin = p
        w, p = _more_digits(p, w)
        if p == begin:
            return BAD, 0.0, p
        e = -np.int64(p - begin)
        digits += p - begin
        whole = False
    if load8(p) | _LOWER == _E:
        more, p, good = _exponent(p + _ONE)
        if not good:
            return BAD, 0.0, p
        e += more
        whole = False
    if digits > _DIGITS_MAX:
        if load8(first) == _DIGIT_0:
            digits -= _zeros_before(first)
        if digits > _DIGITS_MAX:
            return BAD, 0.0, p
    number, decided = _double(w, e)
    if not decided:
        return BAD, 0.0, p
    if negative and not (whole and w == _ZERO):
        number = -number
    return (LONG if whole and digits > _DIGITS_KEPT else NUMBER), number, p
