"""Detectors of river by name: any class of `river.drift` that takes numbers.

One object of river a stream, with river's default parameters; `seed`, where the class has one,
is the number of the stream, so that a replay draws what the first run drew.

It sees and does not see what river's documentation of the class says; what is known of every
detector of a mean holds here too: autocorrelation and seasons pass for changes, so whiten first.
No run length is known for it, so no alarm budget can be promised: that is the user's own risk.
A stream starts afresh after an alarm, and after 4,096 values without one: a snapshot is the values
since the last start, which are fed again.  A change slower than 4,096 values is therefore not seen.
Classes of 0/1 errors (river.drift.binary: DDM, EDDM, FHDDM, HDDMA, HDDMW) are refused: what is
watched here are standardised scores.
Cost: 33 kB a stream; 1 microsecond (ADWIN, PageHinkley) to 150 (KSWIN) a value, and the same again
for each kept value when a snapshot is restored: up to .6 s a stream for KSWIN.

Use ADWIN, CUSUM, EWMA or the Shiryaev-Roberts mixture of this package instead when the number of
false alarms matters.

Reference: Montiel et al. 2021, JMLR 22(110), 1-8 (river).
"""

import difflib
import inspect
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.drift.bank import Bank, Detector, Snapshot, whole_number
from detectors.errors import ConfigError

__all__ = ["KEPT_MAX", "RiverBank", "RiverDetector", "river_class"]

KEPT_MAX = 4_096
_COUNT = 0


def river_class(name: str) -> type[Any]:
    """Find a class of `river.drift` that watches numbers.

    Raises
    ------
    ConfigError
        If river is not installed, or has no such class.

    >>> river_class("PageHinkley").__name__
    'PageHinkley'
    """
    try:
        from river import drift
        from river.base import DriftDetector
    except ImportError as error:
        raise ConfigError(
            f"The detector river:{name} needs the package river, which is not installed."
        ) from error
    known = {
        key: one
        for key, one in vars(drift).items()
        if inspect.isclass(one) and issubclass(one, DriftDetector)
    }
    if name in known:
        return known[name]
    if name in vars(drift.binary):
        raise ConfigError(
            f"river:{name} watches errors of 0 and 1, not scores; of river.drift there are "
            f"{', '.join(sorted(known))}."
        )
    near = difflib.get_close_matches(name, sorted(known), 1, 0.0)[0]
    raise ConfigError(
        f"river.drift has no detector {name!r}; did you mean {near!r}? "
        f"There are {', '.join(sorted(known))}."
    )


class RiverBank(Bank):
    """Run one detector of river on many streams; state[j] is a count and that many values.

    >>> bank = RiverBank(1, name="PageHinkley")
    >>> flags = bank.update(np.zeros(200, dtype=np.int64), np.repeat([0.0, 50.0], 100))
    >>> np.flatnonzero(flags).tolist()
    [101]
    """

    def __init__(self, streams: int, *, name: str) -> None:
        self._class = river_class(name)
        self._has_seed = "seed" in inspect.signature(self._class).parameters
        super().__init__(
            np.zeros((whole_number("streams", streams, 0), 1 + KEPT_MAX)), np.zeros((streams, 0))
        )
        self._objects = [self._new(j) for j in range(streams)]

    def reset(self, index: NDArray[np.int64]) -> None:
        """Start the named streams afresh."""
        super().reset(index)
        for j in np.atleast_1d(index).tolist():
            self._objects[j] = self._new(j)

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot of a bank of the same class and size, by feeding it; else error."""
        super().restore(snapshot)
        for j, row in enumerate(self.state):
            self._objects[j] = self._new(j)
            for x in row[1 : 1 + int(row[_COUNT])].tolist():
                self._objects[j].update(x)

    def _new(self, j: int) -> Any:
        return self._class(seed=j) if self._has_seed else self._class()

    def _run(
        self, index: NDArray[np.int64], values: NDArray[np.float64], flags: NDArray[np.bool_]
    ) -> None:
        for i, (j, x) in enumerate(zip(index.tolist(), values.tolist(), strict=True)):
            flags[i] = self._step(j, x)

    def _step(self, j: int, x: float) -> bool:
        """Give one stream a value; return whether it drifted."""
        row = self.state[j]
        self._objects[j].update(x)
        row[_COUNT] += 1.0
        row[int(row[_COUNT])] = x
        drifted = bool(self._objects[j].drift_detected)
        if drifted or row[_COUNT] == KEPT_MAX:
            row[:] = 0.0
            self._objects[j] = self._new(j)
        return drifted

    def _is_reachable(self, state: NDArray[np.float64]) -> bool:
        counts = state[:, _COUNT]
        # A count out of range would write beside the array.
        in_range = (counts >= 0.0) & (counts < KEPT_MAX) & (counts == np.floor(counts))
        unused = np.arange(1, state.shape[1]) > counts[:, None]
        return bool(np.all(in_range) and not np.any(state[:, 1:][unused]))


class RiverDetector(Detector):
    """Watch one stream with a detector of river that can be snapshotted and refuses NaN.

    Parameters
    ----------
    name
        A class of `river.drift`, such as "KSWIN".

    Examples
    --------
    >>> detector = RiverDetector("ADWIN")
    >>> for i in range(200):
    ...     detector.update(float(i >= 100))
    ...     if detector.drift_detected:
    ...         i
    127
    """

    def __init__(self, name: str) -> None:
        super().__init__(RiverBank(1, name=name))

    def _step(self, x: float) -> bool:
        return bool(self._bank.update(np.zeros(1, np.int64), np.array([x]))[0])
