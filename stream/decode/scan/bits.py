"""What the scanner needs of the machine: unaligned loads, pointers, bit counts, doubles as bits.

Loads are little-endian, as on every processor that driftline's wheels exist for.  A load of
eight bytes reads up to seven behind the byte asked for; the caller answers for them.  Pointers
stand for arrays inside a kernel: numba counts references to an array at every call that takes
it, which was most of the time of an event.  Who holds the arrays holds them for the whole call.
"""

from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = [
    "HIGH_BITS",
    "ONES",
    "bits_of",
    "bytes_at",
    "double_of",
    "doubles_at",
    "first_byte",
    "integers_at",
    "leading_zeros",
    "load8",
    "load64",
    "product_high",
    "shorts_at",
    "words_at",
]

ONES: Final = np.uint64(0x0101010101010101)
HIGH_BITS: Final = np.uint64(0x8080808080808080)

_BYTE, _WORD, _LONG = ir.IntType(8), ir.IntType(64), ir.IntType(128)
_NOT_POISON = ir.Constant(ir.IntType(1), 0)


def _load8(_: Any, _address: Any) -> Any:
    """Load one byte."""

    def emit(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _BYTE.as_pointer())
        return builder.zext(builder.load(pointer, align=1, typ=_BYTE), _WORD)

    return types.uint64(types.uint64), emit


def _load64(_: Any, _address: Any) -> Any:
    """Load eight bytes; the first is the lowest."""

    def emit(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _WORD.as_pointer())
        return builder.load(pointer, align=1, typ=_WORD)

    return types.uint64(types.uint64), emit


def _product_high(_: Any, _left: Any, _right: Any) -> Any:
    """Multiply two words; give the upper word of the product."""

    def emit(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        wide = [builder.zext(one, _LONG) for one in arguments]
        high = builder.lshr(builder.mul(*wide), ir.Constant(_LONG, 64))
        return builder.trunc(high, _WORD)

    return types.uint64(types.uint64, types.uint64), emit


def _leading_zeros(_: Any, _word: Any) -> Any:
    """Count the zero bits above the highest one."""

    def emit(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], _NOT_POISON)

    return types.uint64(types.uint64), emit


def _first_byte(_: Any, _marks: Any) -> Any:
    """Say which byte holds the lowest bit that is set: 0 to 7, 8 where none is."""

    def emit(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        zeros = builder.cttz(arguments[0], _NOT_POISON)
        return builder.lshr(zeros, ir.Constant(_WORD, 3))

    return types.uint64(types.uint64), emit


def _double_of(_: Any, _bits: Any) -> Any:
    """Read a word as a double."""

    def emit(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.uint64), emit


def _bits_of(_: Any, _number: Any) -> Any:
    """Read a double as a word."""

    def emit(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _WORD)

    return types.uint64(types.float64), emit


def _pointer(kind: Any) -> Any:
    """Make the intrinsic that takes an address for that of an array of this kind."""
    pointer: Any = types.CPointer(kind)  # type: ignore[no-untyped-call]

    def typed(_: Any, _address: Any) -> Any:
        def emit(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(pointer))

        return pointer(types.uint64), emit

    return intrinsic(typed)


# Untyped, for a kernel calls them without the typing context that Python would have to give.
load8: Any = intrinsic(_load8)
load64: Any = intrinsic(_load64)
product_high: Any = intrinsic(_product_high)
leading_zeros: Any = intrinsic(_leading_zeros)
first_byte: Any = intrinsic(_first_byte)
double_of: Any = intrinsic(_double_of)
bits_of: Any = intrinsic(_bits_of)
words_at: Any = _pointer(types.uint64)
integers_at: Any = _pointer(types.int64)
shorts_at: Any = _pointer(types.int32)
doubles_at: Any = _pointer(types.float64)
bytes_at: Any = _pointer(types.uint8)
