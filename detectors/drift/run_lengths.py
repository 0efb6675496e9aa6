"""Run lengths: how long a bank of detectors is silent, and how soon it sees a change.

The average run length of a detector, over streams in which nothing happens, is what an alarm
budget grants; its delay, over streams that move at a known step, is what the budget costs.
Everything here is drawn from what the caller passes, so a seed gives the same figures again.

References: Page 1954, Biometrika 41, 100-115 (average run length); Brook & Evans 1972,
Biometrika 59, 539-549 (Markov chains); Lucas & Saccucci 1990, Technometrics 32, 1-12 (EWMA).
"""

from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Draw",
    "RunLength",
    "Watching",
    "average_run_length",
    "delays",
    "ewma_run_length",
    "run_lengths",
]

_NORMAL = NormalDist()
# How many scores are drawn at a time.
_CHUNK = 65_536
# Two-sided 95 % of the normal distribution.
_Z = 1.959964

Draw = Callable[[int], NDArray[np.float64]]


class Watching(Protocol):
    """Watch many streams: what a bank and a companion have in common."""

    @property
    def streams(self) -> int:
        """Count the streams."""

    def update(self, index: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Give stream `index[i]` the value `values[i]`; return where it alarms."""


class RunLength(NamedTuple):
    """Give a mean over runs and its 95 % confidence interval, all in steps.

    `unfinished` of the `runs` had not alarmed when the experiment ended and count with the
    steps they had: where it is not 0, the mean is too low.
    """

    mean: float
    low: float
    high: float
    runs: int
    unfinished: int = 0


def run_lengths(
    watching: Watching, draw: Draw, *, steps_max: int = 2**40
) -> tuple[NDArray[np.int64], int]:
    """Feed every stream of a fresh bank until its first alarm.

    `draw(n)` gives n scores.  Returns the steps of each stream, its alarm's included, and how
    many of them had none within `steps_max`.

    >>> from detectors.drift.cusum import CusumBank
    >>> run_lengths(CusumBank(3, k=0.5, h=4.0), np.ones)
    (array([9, 9, 9]), 0)
    """
    lengths = np.zeros(watching.streams, np.int64)
    running = np.arange(watching.streams)
    done, chunk = 0, 1
    while len(running) and done < steps_max:
        steps = min(chunk, max(1, _CHUNK // len(running)), steps_max - done)
        values = draw(steps * len(running))
        flags = watching.update(np.tile(running, steps), values).reshape(steps, -1)
        found = flags.any(axis=0)
        lengths[running[found]] = done + 1 + flags.argmax(axis=0)[found]
        running = running[~found]
        done += steps
        chunk *= 2
    lengths[running] = done
    return lengths, len(running)


def average_run_length(watching: Watching, draw: Draw, *, steps_max: int = 2**40) -> RunLength:
    """Estimate the average run length of a fresh bank, one run a stream.

    >>> from detectors.drift.cusum import CusumBank
    >>> rng = np.random.default_rng(1)
    >>> average_run_length(CusumBank(2_000, k=0.5, h=4.0), rng.standard_normal)
    RunLength(mean=164.0, low=156.9, high=171.0, runs=2000, unfinished=0)
    """
    lengths, unfinished = run_lengths(watching, draw, steps_max=steps_max)
    return _averaged(lengths, unfinished)


def delays(watching: Watching, before: Draw, after: Draw, *, change: int = 200) -> RunLength:
    """Estimate the mean delay to a change that comes after `change` quiet steps.

    Streams that alarm before the change are left out; `after` has to make every other alarm.
    """
    streams = watching.streams
    quiet = watching.update(np.tile(np.arange(streams), change), before(change * streams))
    early = quiet.reshape(change, streams).any(axis=0)
    lengths, unfinished = run_lengths(watching, after)
    return _averaged(lengths[~early], unfinished)


def _averaged(lengths: NDArray[np.int64], unfinished: int) -> RunLength:
    """Average lengths, to one decimal; the interval is the normal one of a mean."""
    mean = float(lengths.mean())
    half = _Z * float(lengths.std(ddof=1)) / float(np.sqrt(len(lengths)))
    low, high = round(mean - half, 1), round(mean + half, 1)
    return RunLength(round(mean, 1), low, high, len(lengths), unfinished)


def ewma_run_length(weight: float, limit: float, shift: float = 0.0, states: int = 201) -> float:
    """Work out the average run length of a two-sided EWMA on N(shift, 1), without drawing.

    The average is one of `states` cells between its limits, which makes it a Markov chain with
    transitions Q; its run length from the middle is that entry of (I - Q)^-1 1.

    >>> round(ewma_run_length(0.5, 3.071)), round(ewma_run_length(0.03, 2.437, shift=1.0), 1)
    (500, 12.6)
    """
    bound = limit * (weight / (2.0 - weight)) ** 0.5
    width = 2.0 * bound / states
    middles = -bound + width * (np.arange(states) + 0.5)
    edges = -bound + width * np.arange(states + 1)
    reached = (edges - (1.0 - weight) * middles[:, None]) / weight - shift
    below = np.array([_NORMAL.cdf(x) for x in reached.ravel().tolist()]).reshape(reached.shape)
    steps = np.linalg.solve(np.eye(states) - np.diff(below, axis=1), np.ones(states))
    return float(steps[states // 2])
