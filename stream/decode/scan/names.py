"""Exact lookups of short texts and numbers, in one table of many named parts.

A text is its first eight bytes, its last eight bytes and its length; beyond 16 bytes the rest
is compared too.  A number is the bits of its double.  So equal means equal, whatever the hash.
"""

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.events import canonical
from stream.decode.scan.bits import load8, load64

__all__ = ["COMBINED", "NUMERAL", "Names", "find", "mixed", "same_text", "text_words"]

NUMERAL: Final = np.uint64(1 << 62)
"""Stands for the length where the key is a double."""
COMBINED: Final = np.uint64(1 << 63)
"""Stands for the length where the key is a combination of codes."""

_LONG: Final = np.uint64(16)
_ZERO, _ONE, _BYTE_BITS = np.uint64(0), np.uint64(1), np.uint64(3)
_EIGHT = np.uint64(8)
_MIX_1, _MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_MIX_3, _HALF = np.uint64(0x165667B19E3779F9), np.uint64(32)
_FIRST, _LAST, _LENGTH, _PART, _CODE, _REST = range(6)
_WORDS: Final = 6


@njit(cache=True, forceinline=True, error_model="numpy")
def text_words(p: Any, length: Any) -> Any:
    """Give the first and the last eight bytes of a text; one of fewer than eight has one word."""
    if length < _EIGHT:
        return load64(p) & ((_ONE << (length << _BYTE_BITS)) - _ONE), _ZERO
    return load64(p), load64(p + length - _EIGHT)


@njit(cache=True, forceinline=True, error_model="numpy")
def mixed(first: Any, last: Any, length: Any, part: Any) -> Any:
    """Hash a key."""
    word = (first ^ (length * _MIX_2) ^ (part * _MIX_3)) * _MIX_1
    word = ((word ^ (word >> _HALF)) + last) * _MIX_2
    return word ^ (word >> _HALF)


@njit(cache=True, error_model="numpy")
def same_text(p: Any, q: Any, length: Any) -> bool:
    """Compare two texts where they lie."""
    for i in range(length):
        if load8(p + np.uint64(i)) != load8(q + np.uint64(i)):
            return False
    return True


@njit(cache=True, forceinline=True, error_model="numpy")
def find(table: Any, key: Any, part: Any, p: Any) -> Any:
    """Look a key up in one part; -1 if it is not there.  Long texts are compared at p.

    `table` holds pointers to entries and slots, the address of the texts, and slots less one.
    """
    entries, slots, texts, within = table
    first, last, length = key
    slot = mixed(first, last, length, part) & within
    while True:
        e = slots[slot]
        if e < 0:
            return np.int64(-1)
        if entries[e + _FIRST] == first and entries[e + _LENGTH] == length:
            if entries[e + _LAST] == last and entries[e + _PART] == part:
                short = length <= _LONG or length >= NUMERAL
                if short or same_text(p, texts + entries[e + _REST], length):
                    return np.int64(entries[e + _CODE])
        slot = (slot + _ONE) & within


@njit(cache=True, error_model="numpy")
def _fill(entries: Any, slots: Any) -> None:
    within = np.uint64(slots.shape[0] - 1)
    for e in range(entries.shape[0]):
        entry = entries[e]
        slot = mixed(entry[_FIRST], entry[_LAST], entry[_LENGTH], entry[_PART]) & within
        while slots[slot] >= 0:
            slot = (slot + _ONE) & within
        slots[slot] = e * _WORDS


class Names:
    """Collect what is to be found; `table` is what `find` takes."""

    def __init__(self) -> None:
        """Start empty."""
        self._rows: list[tuple[int, ...]] = []
        self._texts = bytearray()

    def add_text(self, text: str, part: int, code: int) -> tuple[int, ...]:
        """Give a text a code, and give its entry."""
        content = text.encode()
        first = int.from_bytes(content[:8], "little")
        last = int.from_bytes(content[-8:], "little") if len(content) >= 8 else 0
        self._rows.append((first, last, len(content), part, code, len(self._texts)))
        self._texts += content
        return self._rows[-1]

    def add_category(self, text: str, part: int, code: int) -> None:
        """Give a category a code, as a text and as the number of which it is the name."""
        self.add_text(text, part, code)
        try:
            number = float(text)
            named = canonical(number) == text
        except (ValueError, OverflowError):
            return
        if named:
            bits = int(np.float64(number).view(np.uint64))
            self._rows.append((bits, 0, int(NUMERAL), part, code, 0))

    def add_combined(self, combined: int, part: int, code: int) -> None:
        """Give a combination of codes a code."""
        self._rows.append((combined, 0, int(COMBINED), part, code, 0))

    def table(self) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.uint8]]:
        """Lay out uint64[entries, 6], the slots of their hashes, and the bytes of all texts."""
        entries = np.array(self._rows, np.uint64).reshape(len(self._rows), _WORDS)
        slots = np.full(1 << (4 * len(entries) + 1).bit_length(), -1, np.int64)
        _fill(entries, slots)
        return entries, slots, np.array(self._texts + b"\0", np.uint8)
