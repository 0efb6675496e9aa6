"""Page-Hinkley: a CUSUM against the mean of the stream so far, so that none is needed before.

    mean <- mean + (x - mean)/n
    up   <- alpha up   + (x - mean) - delta     alarm when up - min(up)     > threshold
    down <- alpha down + (x - mean) + delta     or max(down) - down         > threshold

checked from `min_instances` values on; after an alarm it starts afresh with the next value.
Parameters and alarm indices are those of river 0.26.1, bit for bit.
MOA's Page-Hinkley (upwards only, same parameters) is slower: on nine streams its first alarm comes
at the same index once, 1 to 44 values later six times, 3,544 values later once, and not at all
on a stream without a change, where this one raises 9 alarms in 200,000 values (mode "up").

It sees: a shift of the mean that is abrupt compared with the time since the start.
It does not see: a change that leaves the mean where it was, or a drift so slow that the mean
follows.  It takes autocorrelation and seasons for shifts, so whiten first.
`delta` and `threshold` are in the units of the stream: on N(0, 1) the defaults raise a false alarm
every 1,500 values, on the same data times 100 every 30, so standardise too.
An `alpha` below 1 lets the sums come to rest at delta/(1 - alpha), where noise alone alarms: with
delta = 0.5 and threshold = 12 a false alarm comes every 500,000 values, at alpha = 0.9999 every
7,200.  So forget only where alarms may be frequent.
Cost: 7 numbers a stream, 5 ns a value.

Use ADWIN instead when the units are not known; CUSUM when mean and scale are.

References: Page 1954, Biometrika 41, 100-115; Hinkley 1971, Biometrika 58, 509-523; Sebastiao &
Fernandes 2017, ISMIS, 492-498 (forgetting).
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.drift.bank import Bank, Detector, PerStream, parameter_columns, whole_number

__all__ = ["PageHinkley", "PageHinkleyBank"]

_COUNT, _MEAN, _UP, _DOWN, _LOWEST_UP, _HIGHEST_DOWN, _DRIFTED = range(7)
_MIN_INSTANCES, _DELTA, _ALPHA, _WATCH_UP, _WATCH_DOWN, _THRESHOLD = range(6)
# Whether (increases, decreases) of the mean are watched.
_MODES = {"up": (1, 0), "down": (0, 1), "both": (1, 1)}


@njit(cache=True, inline="always")
def _row(state: NDArray[np.float64], stream: int) -> Any:
    """Read a stream's state: as numbers, since steps on the array wait for its stores."""
    now = state[stream]
    return now[0], now[1], now[2], now[3], now[4], now[5], now[6]


@njit(cache=True, inline="always")
def _chosen(parameters: NDArray[np.float64], stream: int) -> Any:
    """Read a stream's parameters."""
    found = parameters[stream]
    return found[0], found[1], found[2], found[3], found[4], found[5]


@njit(cache=True, inline="always")
def _write(state: NDArray[np.float64], stream: int, now: Any) -> None:
    """Write a stream's state back."""
    row = state[stream]
    row[0], row[1], row[2], row[3], row[4], row[5], row[6] = now


@njit(cache=True, inline="always")
def _step(now: Any, chosen: Any, x: float) -> Any:
    """Give the state after one more value; its last number says whether it drifted."""
    count, mean, up, down, lowest_up, highest_down, drifted = now
    min_instances, delta, alpha, watch_up, watch_down, threshold = chosen
    if drifted > 0.0:
        count = mean = up = down = lowest_up = highest_down = 0.0
    count += 1.0
    # In river's order: (1/n)(x - mean) and (x - mean)/n differ in the last place.
    mean += (1.0 / count) * (x - mean)
    deviation = x - mean
    up = alpha * up + deviation - delta
    down = alpha * down + deviation + delta
    if count == 1.0 or up < lowest_up:
        lowest_up = up
    if count == 1.0 or down > highest_down:
        highest_down = down
    drifted = 0.0
    if count >= min_instances:
        rise = watch_up > 0.0 and up - lowest_up > threshold
        fall = watch_down > 0.0 and highest_down - down > threshold
        if rise or fall:
            drifted = 1.0
    return count, mean, up, down, lowest_up, highest_down, drifted


@njit(cache=True, error_model="numpy")
def _run(
    bank: tuple[NDArray[np.float64], NDArray[np.float64]],
    index: NDArray[np.int64],
    values: NDArray[np.float64],
    flags: NDArray[np.bool_],
) -> None:
    """Step the named streams one after the other; a stream's state is held while it goes on."""
    state, parameters = bank
    stream = -1
    now = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    chosen = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    for i in range(index.shape[0]):
        if index[i] != stream:
            if stream >= 0:
                _write(state, stream, now)
            stream = index[i]
            now, chosen = _row(state, stream), _chosen(parameters, stream)
        now = _step(now, chosen, values[i])
        flags[i] = now[_DRIFTED] > 0.0
    if stream >= 0:
        _write(state, stream, now)


@njit(cache=True, error_model="numpy")
def _one(state: NDArray[np.float64], parameters: NDArray[np.float64], x: float) -> bool:
    """Give the only stream one value; return whether it drifted."""
    now = _step(_row(state, 0), _chosen(parameters, 0), x)
    _write(state, 0, now)
    return bool(now[_DRIFTED] > 0.0)


class PageHinkleyBank(Bank):
    """Run Page-Hinkley on many streams; `delta` and `threshold` may be arrays over streams.

    >>> bank = PageHinkleyBank(2, min_instances=2, threshold=np.array([1.0, 100.0]))
    >>> for x in (0.0, 0.0, 5.0):
    ...     bank.update(np.array([0, 1]), np.array([x, x])).tolist()
    [False, False]
    [False, False]
    [True, False]
    """

    def __init__(
        self,
        streams: int,
        *,
        min_instances: int = 30,
        delta: PerStream = 0.005,
        threshold: PerStream = 50.0,
        alpha: float = 0.9999,
        mode: str = "both",
    ) -> None:
        if mode not in _MODES:
            raise ValueError(f"mode must be one of {sorted(_MODES)}, not {mode!r}.")
        watch_up, watch_down = _MODES[mode]
        parameters = parameter_columns(
            streams,
            min_instances=whole_number("min_instances", min_instances, 0),
            delta=delta,
            alpha=alpha,
            watch_up=watch_up,
            watch_down=watch_down,
            threshold=threshold,
        )
        out = np.any(parameters[:, _DELTA] < 0) or np.any(parameters[:, _THRESHOLD] <= 0)
        if out or not 0 < alpha <= 1:
            raise ValueError(
                "delta must be at least 0, alpha above 0 and at most 1, threshold above 0, "
                f"not delta = {delta}, alpha = {alpha}, threshold = {threshold}."
            )
        super().__init__(np.zeros((streams, 7)), parameters)

    def _run(
        self, index: NDArray[np.int64], values: NDArray[np.float64], flags: NDArray[np.bool_]
    ) -> None:
        _run((self.state, self.parameters), index, values, flags)

    def _is_reachable(self, state: NDArray[np.float64]) -> bool:
        return bool(np.all(state[:, _COUNT] >= 0.0))


class PageHinkley(Detector):
    """Find a change of the mean of a stream, upwards, downwards or both.

    Parameters
    ----------
    min_instances
        Values after a start before the first check.
    delta
        Change of the mean that is tolerated, in units of the stream.
    threshold
        Sum of deviations beyond `delta` that alarms, in units of the stream.
    alpha
        Factor of forgetting, above 0 and at most 1 (none).
    mode
        "up", "down" or "both".

    Examples
    --------
    >>> detector = PageHinkley(threshold=10.0)
    >>> for i in range(100):
    ...     detector.update(0.0 if i < 60 else 5.0)
    ...     if detector.drift_detected:
    ...         i
    62
    """

    def __init__(  # noqa: PLR0917  (river's parameters, in river's order)
        self,
        min_instances: int = 30,
        delta: float = 0.005,
        threshold: float = 50.0,
        alpha: float = 0.9999,
        mode: str = "both",
    ) -> None:
        super().__init__(
            PageHinkleyBank(
                1,
                min_instances=min_instances,
                delta=float(delta),
                threshold=float(threshold),
                alpha=float(alpha),
                mode=mode,
            )
        )

    def _step(self, x: float) -> bool:
        return bool(_one(self._state, self._parameters, x))
