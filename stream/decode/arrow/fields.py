"""One column of a message: its numbers, or its names and a code for each row."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from detectors.events import canonical
from stream.decode.strict import RejectedError

__all__ = [
    "BOOL",
    "CODED",
    "FLOAT",
    "INTEGER",
    "MISSING",
    "NULL",
    "TEXT",
    "Coded",
    "Field",
    "coded_numbers",
    "kind_of",
    "nothing",
]

MISSING: Final = -1
FLOAT, INTEGER, BOOL, TEXT, CODED, NULL = "float", "integer", "bool", "text", "coded", "null"


class Coded(NamedTuple):
    """Hold a name for each row: int64[n] indices into `names`, -1 = missing."""

    codes: NDArray[np.int64]
    names: Sequence[str]

    def looked_up(self, codes: Sequence[int]) -> NDArray[np.int64]:
        """Give each row what stands in `codes` for its name; the last is for a missing one."""
        found: NDArray[np.int64] = np.array(codes, np.int64)[self.codes]
        return found

    def otherwise(self, other: "Coded") -> "Coded":
        """Fill what is missing from another column."""
        filled = np.where(other.codes >= 0, other.codes + len(self.names), MISSING)
        codes = np.where(self.codes >= 0, self.codes, filled)
        return Coded(codes, [*self.names, *other.names])


def nothing(rows: int) -> Coded:
    """Name nothing in any row."""
    return Coded(np.full(rows, MISSING, np.int64), [])


def coded_numbers(numbers: NDArray[np.float64]) -> Coded:
    """Name finite float64[n]; NaN is missing."""
    valid = np.isfinite(numbers)
    unique, codes = np.unique(np.where(valid, numbers, 0.0), return_inverse=True)
    return Coded(np.where(valid, codes, MISSING), [canonical(v) for v in unique.tolist()])


def kind_of(type_: Any) -> str:
    """Tell how a column is read; RejectedError where it is none that an event may have."""
    if pa.types.is_floating(type_):
        return FLOAT
    if pa.types.is_integer(type_):
        return INTEGER
    if pa.types.is_boolean(type_):
        return BOOL
    if _is_text(type_):
        return TEXT
    if pa.types.is_dictionary(type_) and _is_text(type_.value_type):
        return CODED
    if pa.types.is_null(type_):
        return NULL
    raise RejectedError("arrow")


def _is_text(type_: Any) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


class Field:
    """Hold one column of n rows; `exact` where an integer's name keeps all its digits."""

    def __init__(self, array: Any, kind: str, *, exact: bool = False) -> None:
        """Read nothing yet."""
        self.array = array
        self.kind = kind
        self._exact = exact

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.array)

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """Give float64[n]; NaN where there is no number."""
        array = self.array
        if self.kind in {TEXT, CODED, NULL}:
            return np.full(len(array), np.nan)
        if self.kind == BOOL:
            array = array.cast(pa.uint8())
        found: NDArray[np.float64] = array.to_numpy(zero_copy_only=False)
        with np.errstate(invalid="ignore"):  # a NaN that signals
            return found.astype(np.float64, copy=False)

    @cached_property
    def coded(self) -> Coded:
        """Give the name of each row's category."""
        if self.kind == NULL:
            return nothing(len(self))
        if self.kind in {TEXT, CODED}:
            return self._texts()
        if self.kind == BOOL or (self.kind == INTEGER and self._exact):
            array = self.array.cast(pa.uint8()) if self.kind == BOOL else self.array
            values = array.fill_null(0).to_numpy(zero_copy_only=False)
            valid = self.array.is_valid().to_numpy(zero_copy_only=False)
            unique, codes = np.unique(values, return_inverse=True)
            scalars = [bool(v) for v in unique] if self.kind == BOOL else unique.tolist()
            return Coded(np.where(valid, codes, MISSING), [canonical(v) for v in scalars])
        return coded_numbers(self.numbers)

    def _texts(self) -> Coded:
        array = self.array if self.kind == CODED else self.array.dictionary_encode()
        indices = array.indices.cast(pa.int64(), safe=False).fill_null(MISSING).to_numpy()
        dictionary = array.dictionary
        if len(dictionary) > len(indices):
            used = np.unique(indices[indices >= 0])
            dictionary = dictionary.take(pa.array(used))
            indices = np.where(indices >= 0, np.searchsorted(used, indices), MISSING)
        names = dictionary.to_pylist()
        if None in names:
            moved = np.array([*(MISSING if n is None else i for i, n in enumerate(names)), MISSING])
            indices = moved[indices]
            names = ["" if name is None else name for name in names]
        return Coded(indices, names)

    def doubtful(self, length_max: int) -> NDArray[np.bool_] | None:
        """Mark the rows that only the strict decoder can judge; None where there are none.

        Raises
        ------
        RejectedError
            If a dictionary has a text that is too long: each of its rows would repeat it.
        """
        if self.kind == FLOAT:
            # A finite sum has no infinity in it; it is the cheapest to ask.
            if np.isfinite(self.numbers.sum()):
                return None
            found = np.isinf(self.numbers)
            return found if found.any() else None
        if self.kind in {TEXT, CODED}:
            texts = self.array.dictionary if self.kind == CODED else self.array
            if not _longest(texts, "binary_length") > length_max:
                return None
            if self.kind == CODED and _longest(texts, "utf8_length") > length_max:
                raise RejectedError("limit")
            return _lengths(texts, "utf8_length") > length_max if self.kind == TEXT else None
        return None


def _lengths(texts: Any, function: str) -> NDArray[Any]:
    found: NDArray[Any] = pa.compute.call_function(function, [texts]).fill_null(0).to_numpy()
    return found


def _longest(texts: Any, function: str) -> int:
    return int(_lengths(texts, function).max(initial=0))
