"""The arrays behind a profile: where each slice, channel and bin sits in a row of integers.

One bucket of one model is a dense matrix `slices x width`: for each slice a row that holds the
bins of every channel one after the other, then (present, missing) for each channel whose
missing values are watched.  Everything that counts, sends, merges or judges uses this layout.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from detectors.profile import Profile

__all__ = ["STEPS", "STEPS_A_SCALE", "Layout", "layout_of"]

STEPS = 1024
STEPS_A_SCALE = 128


@dataclass(frozen=True)
class Layout:
    """Hold the offsets of a profile's channels; numeric channels come first.

    `first_bin` has channels + 1 entries; `edge_start` numeric channels + 1 entries into `edges`.
    """

    slices: int
    numeric: int
    channels: int
    first_bin: NDArray[np.int64]
    edges: NDArray[np.float64]
    edge_start: NDArray[np.int64]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]

    @property
    def width(self) -> int:
        """Count the bins of all channels together."""
        return int(self.first_bin[-1])

    @cached_property
    def guesses(self) -> NDArray[np.uint8]:
        """Say how many edges lie below each step of (x - centre) / scale: so many, or more.

        uint8[numeric channels, STEPS], STEPS_A_SCALE of them a scale and the middle one at the
        centre; the first one also stands for everything below it.
        """
        steps = (np.arange(STEPS) - STEPS // 2) / STEPS_A_SCALE
        found = np.zeros((self.numeric, STEPS), np.uint8)
        for c in range(self.numeric):
            edges = self.edges[self.edge_start[c] : self.edge_start[c + 1]]
            below = np.searchsorted((edges - self.centre[c]) / self.scale[c], steps)
            found[c] = np.minimum(below, np.iinfo(np.uint8).max)
        found[:, :1] = 0
        return found


def layout_of(profile: Profile) -> Layout:
    """Lay out a profile's channels; the rate has no bins here: it counts every event.

    Raises
    ------
    ValueError
        If channels stand in another order (in a profile they never do).
    """
    numeric = [c for c in profile.channels if c.kind == "numeric"]
    binned = [c for c in profile.channels if c.kind != "rate"]
    if list(profile.channels[: len(binned)]) != binned or binned[: len(numeric)] != numeric:
        raise ValueError("A profile lists its numeric channels first, and the rate last.")
    bins = np.array([c.bins for c in binned], np.int64)
    lengths = np.array([len(c.edges) for c in numeric], np.int64)
    return Layout(
        slices=len(profile.slices),
        numeric=len(numeric),
        channels=len(binned),
        first_bin=np.concatenate([np.zeros(1, np.int64), np.cumsum(bins)]).astype(np.int64),
        edges=np.array([edge for c in numeric for edge in c.edges], np.float64),
        edge_start=np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]).astype(np.int64),
        centre=np.array([c.centre for c in numeric], np.float64),
        scale=np.array([c.scale if c.scale > 0 else 1.0 for c in numeric], np.float64),
    )
