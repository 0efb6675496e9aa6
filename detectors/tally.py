"""Tally: what every statistic has added up to since the judge began.

A detector's sums begin at its own onset, so they look larger than what they are of, and each
slice's begin elsewhere.  The difference of two tallies does neither: it holds what happened.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.scores import Scorer

__all__ = ["Tally"]


class Tally:
    """Add up events and statistic x events, and rare and all events, of all closed blocks."""

    def __init__(self, statistics: int, streams: int) -> None:
        """Start at zero."""
        self.n = np.zeros(statistics, np.int64)
        self.value = np.zeros(statistics)
        self.rare = np.zeros(streams, np.int64)
        self.total = np.zeros(streams, np.int64)

    def add(
        self,
        closed: NDArray[np.int64],
        fresh: NDArray[np.bool_],
        n: NDArray[np.int64],
        scorer: Scorer,
    ) -> None:
        """Add the blocks of the closed streams; `fresh` statistics have a value over n events."""
        self.n[fresh] += n[fresh]
        self.value[fresh] += n[fresh] * scorer.value[fresh]
        self.rare[closed] += scorer.rare[closed]
        self.total[closed] += scorer.total[closed]

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Give the state as named arrays."""
        return {"n": self.n, "value": self.value, "rare": self.rare, "total": self.total}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Take the state from a snapshot."""
        for name, array in self.snapshot().items():
            array[:] = state[name]
