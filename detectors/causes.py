"""Causes: which slice explains what a channel shows.

A break in one slice leaks into all events, and a break everywhere shows in every slice.  They
differ in the rest: without the slice that broke, all the others have hardly moved.  With X the
sum over events since the onset by how much a statistic is off, and n their number, slice s
explains the change if its rest is at rest:

    |X_all - X_s| / (n_all - n_s)  <=  0.35 |X_s| / n_s

The numbers are those that the detectors gathered, and the events of blocks still open: a slice
is named as soon as its events show it, not when its own alarm would come.
"""

from typing import NamedTuple

import numpy as np

from detectors.panel import Panel

__all__ = ["Cause", "find_cause"]

_REST_MAX = 0.35
_SURE = 3.0
_EVENTS_MIN = 20


class Cause(NamedTuple):
    """Name the slice (index) that explains a channel's change, and its share of the change."""

    slice: int
    share: float


class _Moved(NamedTuple):
    """Hold one slice's events since the onset, and by how much their statistic is off in sum."""

    slice: int
    n: int
    excess: float

    @property
    def mean(self) -> float:
        return self.excess / max(self.n, 1)


def find_cause(panel: Panel, j: int) -> Cause:
    """Find the slice that explains the change that stream j has alarmed with.

    `all` (index 0) where no slice does; a smaller slice is preferred only if it moved further.
    """
    profile = panel.profile
    stream = profile.streams[j]
    sight = panel.sight(j)
    moved = [
        _Moved(profile.streams[i].slice, *panel.moved(i, sight))
        for i in panel.siblings(stream.channel, missing=stream.missing)
    ]
    whole = next((m for m in moved if m.slice == 0), None)
    own = next(m for m in moved if m.slice == stream.slice)
    if whole is None or whole.n <= own.n:
        return Cause(stream.slice, 1.0)
    explaining = [m for m in moved if m.slice and _explains(m, whole)]
    if explaining:
        best = max(explaining, key=lambda m: (abs(m.mean), m.n))
        return Cause(best.slice, _share(best, whole))
    if stream.slice and not _stands_out(whole):
        return Cause(stream.slice, _share(own, whole))
    return Cause(0, 1.0)


def _stands_out(moved: _Moved) -> bool:
    """Say whether the events since the onset are off by more than chance."""
    return moved.n >= _EVENTS_MIN and abs(moved.excess) >= _SURE * float(np.sqrt(moved.n))


def _explains(part: _Moved, whole: _Moved) -> bool:
    """Say whether the rest of all events, without this slice, is at rest."""
    if not _stands_out(part) or part.n >= whole.n:
        return False
    rest = (whole.excess - part.excess) / (whole.n - part.n)
    doubt = 1.0 / float(np.sqrt(whole.n - part.n))
    return abs(rest) <= _REST_MAX * abs(part.mean) + doubt and abs(part.mean) > 2 * abs(rest)


def _share(part: _Moved, whole: _Moved) -> float:
    """Give the part of the change that a slice explains, 0 to 1."""
    if whole.excess * part.excess <= 0:
        return 1.0
    return min(part.excess / whole.excess, 1.0)
