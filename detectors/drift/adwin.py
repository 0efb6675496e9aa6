"""ADWIN: a window that grows while nothing changes and drops its old part when something did.

The window is kept as buckets of 1, 2, 4, ... values, at most `max_buckets` of each size.  Every
`clock` values each cut between buckets is tried: a part W0 of n0 old and a part W1 of n1 new
values, both of at least l = `min_window_length`, differ when

    |mean(W0) - mean(W1)| > sqrt(2 m v d) + 2/3 d m
    m = 1/(n0 - l + 1) + 1/(n1 - l + 1),  d = ln(2 ln(n)/delta),  v the variance of the window;

then the oldest bucket goes, and the search starts again.  After an alarm the whole window is
forgotten with the next value.  Parameters, alarm indices, `width`, `total`, `variance` and
`estimation` are those of river 0.26.1 (checked against it; for `max_buckets` = 1 wherever river
itself does not fail).
MOA's ADWIN cuts the same window but goes on with the new part of it: on nine streams with three
deltas the first alarm is always the same, but MOA raises 124 alarms and this one 57.

It sees: a change of the mean, without a reference and in any units.
It does not see: a change that leaves the mean where it was.  It takes autocorrelation and
seasons for changes: 628 alarms in 100,000 values of an AR(0.9) stream, so whiten first.
Cost: 2.2 kB a stream in a bank, 50 to 100 ns a value (300 ns with a check at every value).

Use PageHinkley instead when the scale is known and memory counts; the Shiryaev-Roberts mixture
when there is a reference.

References: Bifet & Gavalda 2007, SIAM SDM, 443-448; Babcock et al. 2003, PODS, 234-243 (variance
of a window).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.drift.bank import Bank, Detector, PerStream, parameter_columns, whole_number
from detectors.drift.window import (
    COUNT,
    DRIFTED,
    SINCE_CHECK,
    TOTAL,
    VARIANCE,
    WIDTH,
    drop_oldest,
    insert,
    parts_differ,
)

__all__ = ["ADWIN", "AdwinBank"]

_DELTA, _CLOCK, _MIN_LENGTH, _GRACE, _ALLOWANCE = range(5)
# 20 rows hold 5 million values, 40 more than any stream has.
_BANK_ROWS = 20
_DETECTOR_ROWS = 40


@njit(cache=True, inline="always")
def _step(
    state: NDArray[np.float64], parameters: NDArray[np.float64], stream: int, x: float
) -> bool:
    """Give one stream a value; return whether it drifted."""
    window = state[stream]
    chosen = parameters[stream]
    head = window[0]
    if head[DRIFTED] > 0.0:
        window[:] = 0.0
    insert(window, x)
    head[SINCE_CHECK] += 1.0
    if head[SINCE_CHECK] < chosen[_CLOCK]:
        return False
    head[SINCE_CHECK] = 0.0
    if head[WIDTH] > chosen[_GRACE]:
        while parts_differ(window, chosen[_MIN_LENGTH], chosen[_DELTA], chosen[_ALLOWANCE]):
            drop_oldest(window)
            head[DRIFTED] = 1.0
    return bool(head[DRIFTED] > 0.0)


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


class AdwinBank(Bank):
    """Run ADWIN on many streams; `delta` and `allowance` may be arrays over streams.

    Means no further apart than `allowance` do not differ, however many values say so (river: 0).

    A window holds `rows` sizes of buckets: 5 million values with the defaults.  When it is full
    the oldest bucket is forgotten, so that it slides over the newest values and goes on.

    >>> bank = AdwinBank(1)
    >>> flags = bank.update(np.zeros(200, dtype=np.int64), np.repeat([0.0, 1.0], 100))
    >>> np.flatnonzero(flags).tolist()
    [127]
    """

    def __init__(
        self,
        streams: int,
        *,
        delta: PerStream = 0.002,
        clock: int = 32,
        max_buckets: int = 5,
        min_window_length: int = 5,
        grace_period: int = 10,
        rows: int = _BANK_ROWS,
        allowance: PerStream = 0.0,
    ) -> None:
        parameters = parameter_columns(
            streams,
            delta=delta,
            clock=whole_number("clock", clock, 1),
            min_window_length=whole_number("min_window_length", min_window_length, 1),
            grace_period=whole_number("grace_period", grace_period, 0),
            allowance=allowance,
        )
        if np.any(parameters[:, _ALLOWANCE] < 0.0):
            raise ValueError(f"allowance must be at least 0, not {allowance}.")
        deltas = parameters[:, _DELTA]
        if np.any(deltas <= 0.0) or np.any(deltas >= 1.0):
            raise ValueError(f"delta must be above 0 and below 1, not {delta}.")
        if not 1 <= rows <= 62:
            raise ValueError(f"rows must be in 1...62, not {rows}.")
        slots = whole_number("max_buckets", max_buckets, 1) + 1
        super().__init__(np.zeros((streams, 1 + rows, 1 + 2 * slots)), parameters)

    def _run(
        self, index: NDArray[np.int64], values: NDArray[np.float64], flags: NDArray[np.bool_]
    ) -> None:
        _run((self.state, self.parameters), index, values, flags)

    def _is_reachable(self, state: NDArray[np.float64]) -> bool:
        counts = state[:, 1:, COUNT]
        # A count out of range would write beside the array.
        in_range = (counts >= 0.0) & (counts < state.shape[2] // 2)
        return bool(np.all(in_range & (counts == np.floor(counts))))


class ADWIN(Detector):
    """Find a change of the mean of a stream with a window that adapts its length.

    Parameters
    ----------
    delta
        Significance of one check, above 0 and below 1: smaller alarms less.
    clock
        Values between checks.
    max_buckets
        Buckets of each size.
    min_window_length
        Shortest part of the window that is compared.
    grace_period
        Values before the first check.

    Examples
    --------
    >>> import random
    >>> rng = random.Random(12345)
    >>> detector = ADWIN()
    >>> for i, x in enumerate(rng.choices([0, 1], k=1000) + rng.choices(range(4, 8), k=1000)):
    ...     detector.update(x)
    ...     if detector.drift_detected:
    ...         i
    1023
    """

    def __init__(  # noqa: PLR0917  (river's parameters, in river's order)
        self,
        delta: float = 0.002,
        clock: int = 32,
        max_buckets: int = 5,
        min_window_length: int = 5,
        grace_period: int = 10,
    ) -> None:
        super().__init__(
            AdwinBank(
                1,
                delta=float(delta),
                clock=clock,
                max_buckets=max_buckets,
                min_window_length=min_window_length,
                grace_period=grace_period,
                rows=_DETECTOR_ROWS,
            )
        )

    @property
    def width(self) -> int:
        """Count the values in the window."""
        return int(self._state[0, 0, WIDTH])

    @property
    def total(self) -> float:
        """Sum the values in the window."""
        return float(self._state[0, 0, TOTAL])

    @property
    def variance(self) -> float:
        """Sum the squared deviations in the window (river's name for it; not divided by n)."""
        return float(self._state[0, 0, VARIANCE])

    @property
    def estimation(self) -> float:
        """Return the mean of the window, 0 when it is empty."""
        return self.total / self.width if self.width else 0.0

    def _step(self, x: float) -> bool:
        return bool(_step(self._state, self._parameters, 0, x))
