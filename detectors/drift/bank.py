"""The small contract that every detector here keeps, for one stream and for many.

A *bank* holds the state of one detector for many streams: one float64 array whose leading axis
is the stream, all numbers finite.  A *detector* is a bank of one stream with river's contract
(`update(x)`, then `drift_detected`).  Both call the same numba step, so they give the same bits.
"""

import math
import operator
from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LARGEST_VALUE",
    "Bank",
    "Detector",
    "PerStream",
    "Snapshot",
    "parameter_columns",
    "whole_number",
]

# Beyond it the square of a value times the size of a window could overflow, and the detector
# would be blind from then on.
LARGEST_VALUE = 1e100

Snapshot = dict[str, NDArray[np.float64]]
# A parameter: one number for all streams or an array of one number each.
PerStream = float | NDArray[np.float64]


class Bank(ABC):
    """Step one detector for many streams at once; values and flags are arrays.

    `state` is float64[streams, ...]; `parameters` float64[streams, parameters].
    """

    def __init__(self, state: NDArray[np.float64], parameters: NDArray[np.float64]) -> None:
        self.state = state
        self.parameters = parameters

    @property
    def streams(self) -> int:
        """Count the streams."""
        return len(self.state)

    def update(self, index: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Give stream `index[i]` the value `values[i]`; return where a drift was found.

        Streams that are not named keep their state.  A stream named more than once gets its
        values in their order.  A value that is not finite or above 1e100, or an index outside
        0...streams - 1, is a ValueError, and nothing is changed.
        """
        index = np.asarray(index, dtype=np.int64)
        values = np.asarray(values, dtype=np.float64)
        if index.ndim != 1 or index.shape != values.shape:
            raise ValueError(
                f"index and values must be one-dimensional and of one length, "
                f"not of shapes {index.shape} and {values.shape}."
            )
        if not np.all(np.abs(values) <= LARGEST_VALUE):
            raise ValueError("Values must be finite and at most 1e100 in magnitude.")
        if len(index) and not 0 <= index.min() <= index.max() < self.streams:
            raise ValueError(f"Stream indices must be in 0...{self.streams - 1}.")
        flags = np.empty(len(index), dtype=np.bool_)
        self._run(index, values, flags)
        return flags

    def reset(self, index: NDArray[np.int64]) -> None:
        """Start the named streams afresh."""
        self.state[index] = 0.0

    def snapshot(self) -> Snapshot:
        """Copy the state: all that `restore` needs, beside the same parameters."""
        return {"state": self.state.copy()}

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot of a bank of the same shape; else ValueError."""
        state = np.asarray(snapshot.get("state"))
        if set(snapshot) != {"state"} or state.shape != self.state.shape:
            raise ValueError(
                f"A snapshot of {type(self).__name__} with these parameters holds one array "
                f"'state' of shape {self.state.shape}; this one holds "
                f"{ {name: np.shape(array) for name, array in snapshot.items()} }."
            )
        if state.dtype != np.float64 or not np.all(np.isfinite(state)):
            raise ValueError("The state in a snapshot must be finite float64 numbers.")
        if not self._is_reachable(state):
            raise ValueError(
                f"No run of {type(self).__name__} reaches this state: it is not its snapshot."
            )
        self.state[:] = state

    @abstractmethod
    def _run(
        self, index: NDArray[np.int64], values: NDArray[np.float64], flags: NDArray[np.bool_]
    ) -> None:
        """Step the named streams in order; write the flags."""

    def _is_reachable(self, state: NDArray[np.float64]) -> bool:
        """Tell whether a run can reach this finite state, and going on from it is safe."""
        del state
        return True


class Detector(ABC):
    """Watch one stream of floats with river's contract: `update(x)`, then `drift_detected`."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        # Held beside the bank because they are arguments of every step; never replaced.
        self._state = bank.state
        self._parameters = bank.parameters
        self._drift_detected = False

    @property
    def drift_detected(self) -> bool:
        """Tell whether the last update found a drift."""
        return self._drift_detected

    def update(self, x: float) -> None:
        """Take in one value; NaN, infinities and magnitudes above 1e100 are a ValueError."""
        if not math.fabs(x) <= LARGEST_VALUE:
            raise ValueError(
                f"A value must be a finite number of magnitude at most 1e100, not {x}: "
                "leave missing values out and count them as a stream of their own."
            )
        self._drift_detected = self._step(float(x))

    def snapshot(self) -> Snapshot:
        """Copy the state: all that `restore` needs, beside the same parameters."""
        return {**self._bank.snapshot(), "drift_detected": np.array([float(self._drift_detected)])}

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot of a detector with the same parameters; else ValueError."""
        drifted = np.asarray(snapshot.get("drift_detected"))
        if drifted.shape != (1,) or drifted[0] not in (0.0, 1.0):
            raise ValueError("A snapshot of a detector holds an array 'drift_detected' of one 0/1.")
        self._bank.restore({k: v for k, v in snapshot.items() if k != "drift_detected"})
        self._drift_detected = bool(drifted[0])

    @abstractmethod
    def _step(self, x: float) -> bool:
        """Step stream 0 of the bank; return whether it drifted."""


def parameter_columns(streams: int, **parameters: PerStream) -> NDArray[np.float64]:
    """Lay parameters out as float64[streams, parameters], in the order given.

    Each is a finite number or an array of one number a stream; else ValueError.
    """
    columns = np.empty((whole_number("streams", streams, 0), len(parameters)))
    for position, (name, value) in enumerate(parameters.items()):
        column = np.asarray(value, dtype=np.float64)
        if column.shape not in ((), (streams,)):
            raise ValueError(
                f"{name} must be one number or an array of {streams}, not of shape {column.shape}."
            )
        if not np.all(np.isfinite(column)):
            raise ValueError(f"{name} must be finite, not {value}.")
        columns[:, position] = column
    return columns


def whole_number(name: str, value: int, least: int) -> int:
    """Return `value` if it is an integer of at least `least`; else ValueError."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be a whole number, not {value!r}.") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, not {number}.")
    return number
