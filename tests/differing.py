"""Walk two values of one type, and name each place where they differ, to the bit."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["differing"]


def differing(path: str, ours: Any, theirs: Any) -> Iterator[str]:
    """Walk two values; name each place where they differ."""
    if type(ours) is not type(theirs):
        yield f"{path}: {_short(ours)}, not {_short(theirs)}"
    elif isinstance(ours, np.ndarray):
        yield from _arrays(path, ours, theirs)
    elif isinstance(ours, msgspec.Struct):
        for name in ours.__struct_fields__:
            yield from differing(f"{path}.{name}", getattr(ours, name), getattr(theirs, name))
    elif isinstance(ours, Mapping):
        for key in sorted({*ours, *theirs}):
            if key not in ours or key not in theirs:
                yield f"{path}[{key}]: {'missing' if key not in ours else 'too many'}"
            else:
                yield from differing(f"{path}[{key}]", ours[key], theirs[key])
    elif isinstance(ours, list | tuple):
        if len(ours) != len(theirs):
            yield f"{path}: {len(ours)} of them, not {len(theirs)}"
        for index, (one, other) in enumerate(zip(ours, theirs, strict=False)):
            yield from differing(f"{path}[{index}]", one, other)
    elif repr(ours) != repr(theirs):  # -0.0 is not 0.0, and one NaN is another
        yield f"{path}: {_short(ours)}, not {_short(theirs)}"


def _arrays(path: str, ours: NDArray[Any], theirs: NDArray[Any]) -> Iterator[str]:
    """Compare two arrays bit by bit."""
    if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
        yield f"{path}: {ours.dtype}{list(ours.shape)}, not {theirs.dtype}{list(theirs.shape)}"
        return
    width = ours.dtype.itemsize
    a, b = (np.frombuffer(one.tobytes(), np.uint8).reshape(-1, width) for one in (ours, theirs))
    for flat in np.flatnonzero((a != b).any(axis=1)).tolist():
        index = [int(i) for i in np.unravel_index(flat, ours.shape)]
        yield f"{path}{index}: {ours.flat[flat]!r}, not {theirs.flat[flat]!r}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
