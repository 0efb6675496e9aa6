"""The streams of the experiments: thirteen families in which nothing changes, and changes.

A stream is blocks x events.  Times of day and week follow local time, since people do.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from detectors.season import Calendar, clockwork, hour_of_week

__all__ = ["CHANGES", "FAMILIES", "Change", "Clock", "autoregressive", "seasonal"]

_ZIPF_8 = 1.5
_ZIPF_12 = 2.0
Draw = np.random.Generator
Stream = NDArray[np.float64] | NDArray[np.int64]


class Clock(NamedTuple):
    """Say when blocks are: the first one's start, their length, and the calendar."""

    start_ms: int
    block_ms: int
    calendar: Calendar

    def hours(self, blocks: int) -> NDArray[np.float64]:
        """Give the local hour of the week in the middle of each block."""
        clock = clockwork(self.calendar)
        first = self.start_ms + self.block_ms // 2
        return np.array([hour_of_week(first + i * self.block_ms, clock) for i in range(blocks)])


def autoregressive(draw: Draw, n: int, phi: float) -> NDArray[np.float64]:
    """Draw n values of a stationary AR(1) with variance 1."""
    noise = draw.normal(0.0, np.sqrt(1 - phi * phi), n)
    noise[0] = draw.normal()
    return lfilter([1.0], [1.0, -phi], noise)


def seasonal(hours: NDArray[np.float64], *, week: bool) -> NDArray[np.float64]:
    """Give a level that follows the day, and the weekend too if there is a `week`."""
    day = 2 * np.pi * hours / 24
    if not week:
        return 0.5 * np.sin(day)
    return 0.5 * np.sin(day) + 0.2 * np.sin(2 * day + 1) - 0.4 * (hours >= 120)


def _zipf(draw: Draw, shape: tuple[int, int], values: int, power: float) -> NDArray[np.int64]:
    weights = 1 / np.arange(1, values + 1) ** power
    cut = np.cumsum(weights) / weights.sum()
    cut[-1] = 1.0
    return np.searchsorted(cut, draw.random(shape))


def _latent(phi: float, part: float) -> Callable[[Draw, int, int, Clock], Stream]:
    """Make a family in which a slow AR(1) has `part` of an event's variance."""

    def family(draw: Draw, blocks: int, n: int, _clock: Clock) -> Stream:
        slow = np.sqrt(part) * autoregressive(draw, blocks, phi)
        return slow[:, None] + np.sqrt(1 - part) * draw.normal(size=(blocks, n))

    return family


def _season(*, week: bool, latent: float = 0.0) -> Callable[[Draw, int, int, Clock], Stream]:
    """Make a family with seasons, and perhaps an AR(.5) with `latent` of an event's variance."""

    def family(draw: Draw, blocks: int, n: int, clock: Clock) -> Stream:
        level = seasonal(clock.hours(blocks), week=week)
        if latent:
            level = level + np.sqrt(latent) * autoregressive(draw, blocks, 0.5)
        return level[:, None] + draw.normal(size=(blocks, n))

    return family


def _events(draw: Draw, blocks: int, n: int, _clock: Clock) -> Stream:
    return autoregressive(draw, blocks * n, 0.9).reshape(blocks, n)


FAMILIES: dict[str, Callable[[Draw, int, int, Clock], Stream]] = {
    "iid normal": lambda draw, blocks, n, _: draw.normal(size=(blocks, n)),
    "AR(.9) event by event": _events,
    "block AR(.5) 10 %": _latent(0.5, 0.1),
    "block AR(.9) 10 %": _latent(0.9, 0.1),
    "block AR(.9) 1 %": _latent(0.9, 0.01),
    "daily": _season(week=False),
    "daily + weekend": _season(week=True),
    "daily + weekend + AR(.5) 5 %": _season(week=True, latent=0.05),
    "Student t3": lambda draw, blocks, n, _: draw.standard_t(3, (blocks, n)),
    "lognormal": lambda draw, blocks, n, _: np.exp(draw.normal(size=(blocks, n))),
    "binary .02": lambda draw, blocks, n, _: (draw.random((blocks, n)) < 0.02).astype(np.int64),
    "8 categories": lambda draw, blocks, n, _: _zipf(draw, (blocks, n), 8, _ZIPF_8),
    "12 categories": lambda draw, blocks, n, _: _zipf(draw, (blocks, n), 12, _ZIPF_12),
}


class Change(NamedTuple):
    """Hold a stream before and after a change; targets and `watch` are in events.

    `most` bounds the median delay; None: it is only told.
    """

    before: Callable[[Draw, tuple[int, int]], Stream]
    after: Callable[[Draw, tuple[int, int]], Stream]
    most: float | None
    watch: int = 25_000


def _normal(draw: Draw, shape: tuple[int, int]) -> Stream:
    return draw.normal(size=shape)


def _moved(sigma: float) -> Callable[[Draw, tuple[int, int]], Stream]:
    return lambda draw, shape: draw.normal(sigma, 1.0, shape)


def _bimodal(draw: Draw, shape: tuple[int, int]) -> Stream:
    return draw.choice((-0.9, 0.9), shape) + np.sqrt(1 - 0.81) * draw.normal(size=shape)


def _outliers(draw: Draw, shape: tuple[int, int]) -> Stream:
    values = draw.normal(size=shape)
    return np.where(draw.random(shape) < 0.01, 1_000 * values, values)


def _missing(draw: Draw, shape: tuple[int, int]) -> Stream:
    return np.where(draw.random(shape) < 0.05, np.nan, draw.normal(size=shape))


def _shares(*weights: float) -> Callable[[Draw, tuple[int, int]], Stream]:
    """Draw categories 0, 1... with these shares."""
    cut = np.cumsum(weights)
    cut[-1] = 1.0
    return lambda draw, shape: np.searchsorted(cut, draw.random(shape), side="right")


_COMMON = (0.52, 0.18, 0.10, 0.08, 0.06, 0.06)
_SWAPPED = (0.52, 0.06, 0.10, 0.08, 0.18, 0.06)
_NEW = (*(0.98 * share for share in _COMMON), 0.02)
CHANGES: dict[str, Change] = {
    "mean .1 σ": Change(_normal, _moved(0.1), None, 100_000),
    "mean .25 σ": Change(_normal, _moved(0.25), 450),
    "mean .5 σ": Change(_normal, _moved(0.5), 200),
    "mean 1 σ": Change(_normal, _moved(1.0), 150),
    "mean 2 σ": Change(_normal, _moved(2.0), 150),
    "variance x 2": Change(_normal, lambda d, s: d.normal(0.0, np.sqrt(2), s), 250),
    "bimodal, same mean and variance": Change(_normal, _bimodal, 350),
    "skew only (gamma 4)": Change(_normal, lambda d, s: (d.gamma(4.0, 1.0, s) - 4) / 2, 400),
    "1 % of values x 1,000": Change(_normal, _outliers, 350),
    "missing 0 → 5 %": Change(_normal, _missing, 100),
    "new value 2 %": Change(_shares(*_COMMON), _shares(*_NEW), 200),
    "swap .18 and .06": Change(_shares(*_COMMON), _shares(*_SWAPPED), 350),
    "error .056 → .084": Change(_shares(0.944, 0.056), _shares(0.916, 0.084), 1_600),
}
