"""Causes: which slice explains what a channel shows.

A break in one slice leaks into all events, and a break everywhere shows in every slice.  They
differ in the rest: without the slice that broke, all the others have hardly moved.  With d the
mean over the events since the onset by how much a statistic is off, and p the slice's part of
the reference's events, a slice explains the change if its rest is at rest:

    |d_all - p d_slice| / (1 - p)  <=  0.35 |d_slice| + one standard error

and makes up half of the change.  The means are those that the detectors
gathered, and the events of blocks still open: a slice is named as soon as its events show it, not
when its own alarm would come.
"""

from typing import NamedTuple

import numpy as np

from detectors.panel import Panel

__all__ = ["Cause", "find_cause"]

_REST_MAX = 0.35
_SHARE_MIN = 0.5
_SURE = 3.0
_EVENTS_MIN = 20


class Cause(NamedTuple):
    """Name the slice (index) that explains a channel's change, and its share of the change."""

    slice: int
    share: float


class _Moved(NamedTuple):
    """Hold one slice's part of the reference, its n events since the onset, and their mean."""

    slice: int
    part: float
    n: int
    mean: float

    @property
    def stands_out(self) -> bool:
        """Say whether the mean is off by more than chance."""
        return self.n >= _EVENTS_MIN and abs(self.mean) >= _SURE / float(np.sqrt(self.n))


def find_cause(panel: Panel, j: int) -> Cause:
    """Find the slice that explains the change that stream j has alarmed with.

    `all` (index 0) where no slice does; of several, the one that moved furthest.
    """
    own = panel.profile.streams[j]
    sight = panel.sight(j)
    siblings = panel.siblings(own.channel, missing=own.missing)
    streams = [panel.profile.streams[i] for i in siblings]
    total = max((s.reference.n for s in streams if s.slice == 0), default=0)
    moved = {}
    for i, stream in zip(siblings, streams, strict=True):
        n, excess = panel.moved(i, sight)
        part = stream.reference.n / max(total, 1)
        moved[stream.slice] = _Moved(stream.slice, part, n, excess / max(n, 1))
    whole = moved.pop(0, None)
    if whole is None or not whole.stands_out:
        return Cause(own.slice, 1.0)
    explaining = [m for m in moved.values() if _explains(m, whole)]
    if not explaining:
        alone = own.slice in moved and abs(_rest(moved[own.slice], whole)) < abs(
            moved[own.slice].mean / 2
        )
        return Cause(own.slice if alone else 0, 1.0)
    best = max(explaining, key=lambda m: (abs(m.mean), m.n))
    return Cause(best.slice, min(best.part * best.mean / whole.mean, 1.0))


def _explains(part: _Moved, whole: _Moved) -> bool:
    """Say whether the rest of all events, without this slice, is at rest."""
    if not part.stands_out or part.part >= 1 or part.part * part.mean / whole.mean < _SHARE_MIN:
        return False
    rest = _rest(part, whole)
    doubt = float(np.sqrt(1 / whole.n + part.part**2 / part.n)) / (1 - part.part)
    return abs(rest) <= min(_REST_MAX * abs(part.mean) + doubt, abs(part.mean) / 2)


def _rest(part: _Moved, whole: _Moved) -> float:
    """Give how far all events without this slice have moved."""
    return (whole.mean - part.part * part.mean) / max(1 - part.part, 1e-9)
