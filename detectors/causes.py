"""Causes: which slice explains what a channel shows.

A break in one slice leaks into all events, and a break everywhere shows in every slice.  They
differ in the rest: without the slice that broke, all the others have hardly moved.  With d the
mean over the events since the onset by how much a statistic is off, in a unit that all slices
share, and p the slice's part of the reference's events, a slice explains the change if its rest
is at rest,

    |d_all - p d_slice| / (1 - p)  <=  0.35 |d_slice| + one standard error

and it makes up half of the change.  Of several, the one that explains most: the largest
p d_slice^2, so that of two nested slices neither the part nor the whole is named for the other.

At the alarm the means are those that the detectors gathered, and the events of blocks still open:
a slice is named as soon as its events show it, not when its own alarm would come.  Later they are
of what has happened since the alarm: nothing has selected that, and it grows.  How sure a cause
is, is told in standard errors: by how many a slice moved further than its rest, and all events in
spite of whichever slice is left out.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from detectors.measure import binned_quantiles
from detectors.panel import Panel
from detectors.profile import Channel, Reference, Stream
from detectors.sights import Moved, Sight

__all__ = ["SURE", "Cause", "Witnessed", "find_cause", "witness"]

SURE = 4.0
_CLEAR = 3.0

_REST_MAX = 0.35
_SHARE_MIN = 0.5
_EVENTS_MIN = 20
_SDS_OF_MIDDLE = 3.29
_ALL = 0


class Cause(NamedTuple):
    """Name the slice (index) that explains a channel's change, and its share of the change.

    `sure` is in standard errors, 0 where nothing speaks for the slice but its own alarm.
    """

    slice: int
    share: float
    sure: float


class Witnessed(NamedTuple):
    """Hold by what a change was seen, and what every slice's sums were at that time."""

    sight: Sight
    sums: list[tuple[int, float]]


def witness(panel: Panel, j: int) -> Witnessed:
    """Take down what every slice of stream j's channel has added up to by now."""
    own = panel.profile.streams[j]
    sight = panel.sights.of(j, rare=panel.evidence(j)[2])
    siblings = panel.sights.siblings(own.channel, missing=own.missing)
    return Witnessed(sight, [panel.sights.sums(i, sight) for i in siblings])


class _Part(NamedTuple):
    """Hold one slice's part of the reference's events, and by how much it has moved since.

    `unit` is what a standard deviation of one of its events was in a unit that all slices
    share, and `sd` what it is now.
    """

    slice: int
    part: float
    moved: Moved
    unit: float
    sd: float

    @property
    def mean(self) -> float:
        return self.moved.mean * self.unit

    @property
    def variance(self) -> float:
        """Give the variance of the mean; before the first event, that of one event."""
        return self.sd * self.sd / max(self.moved.n, 1)

    @property
    def stands_out(self) -> bool:
        """Say whether the mean is off by more than chance."""
        n = self.moved.n
        return n >= _EVENTS_MIN and abs(self.moved.mean) >= _CLEAR / float(np.sqrt(n))


def find_cause(panel: Panel, j: int, witnessed: Witnessed | None = None) -> Cause:
    """Find the slice that explains the change that stream j has alarmed with.

    `all` (index 0) where no slice does.  With `witnessed`, by what has happened since then.
    """
    own = panel.profile.streams[j]
    if witnessed:
        seen = _view(panel, own, witnessed.sight, witnessed.sums)
    else:
        sight = panel.sights.of(j, rare=panel.evidence(j)[2])
        key = (own.channel, own.missing, sight)
        # Until the next block a sight shows the same to all: they may be thousands.
        if key not in panel.sights.shown:
            panel.sights.shown[key] = _view(panel, own, sight)
        seen = panel.sights.shown[key]
    whole, part, best = seen.whole, seen.parts.get(own.slice), seen.best
    if whole is None:
        return Cause(own.slice, 1.0, 0.0)
    if not whole.stands_out:
        return Cause(own.slice, 1.0, _apart(part, whole) if part else 0.0)
    if best:
        share = min(best.part * best.mean / whole.mean, 1.0)
        return Cause(best.slice, share, _apart(best, whole))
    if part and abs(_rest(part, whole)[0]) < abs(part.mean / 2):
        return Cause(own.slice, 1.0, 0.0)
    return Cause(_ALL, 1.0, seen.everywhere)


class _View(NamedTuple):
    """Hold what a sight shows of a channel's slices, and the one that explains most of it.

    `everywhere` is by how many standard errors all events have moved, whichever is left out.
    """

    whole: _Part | None
    parts: dict[int, _Part]
    best: _Part | None = None
    everywhere: float = 0.0


def _view(
    panel: Panel, own: Stream, sight: Sight, sums: Sequence[tuple[int, float]] | None = None
) -> _View:
    parts = _parts(panel, own, sight, sums)
    whole = parts.pop(_ALL, None)
    if whole is None or not whole.stands_out:
        return _View(whole, parts)
    explaining = [part for part in parts.values() if _explains(part, whole)]
    best = max(explaining, key=lambda part: part.part * part.mean * part.mean, default=None)
    return _View(whole, parts, best, 0.0 if best else _everywhere(parts.values(), whole))


def _parts(
    panel: Panel, own: Stream, sight: Sight, sums: Sequence[tuple[int, float]] | None = None
) -> dict[int, _Part]:
    """Say of every slice of a channel how it has moved: since the onset, or since these sums."""
    siblings = panel.sights.siblings(own.channel, missing=own.missing)
    streams = [panel.profile.streams[i] for i in siblings]
    total = max((s.reference.n for s in streams if s.slice == _ALL), default=0)
    channel = panel.profile.channels[own.channel]
    parts = {}
    for at, (i, s) in enumerate(zip(siblings, streams, strict=True)):
        moved = panel.sights.moved(i, sight, sums[at] if sums is not None else None)
        units = _units(channel, s.reference, sight, moved)
        parts[s.slice] = _Part(s.slice, s.reference.n / max(total, 1), moved, *units)
    return parts


def _explains(part: _Part, whole: _Part) -> bool:
    """Say whether the rest of all events, without this slice, is at rest."""
    if not part.stands_out or part.part >= 1 or part.part * part.mean / whole.mean < _SHARE_MIN:
        return False
    rest, doubt = _rest(part, whole)
    return abs(rest) <= min(_REST_MAX * abs(part.mean) + doubt, abs(part.mean) / 2)


def _apart(part: _Part, whole: _Part) -> float:
    """Give by how many standard errors a slice has moved further than the rest."""
    rest, doubt = _rest(part, whole)
    error = float(np.sqrt(doubt * doubt + part.variance))
    return max(abs(part.mean) - abs(rest), 0.0) / error


def _everywhere(parts: Iterable[_Part], whole: _Part) -> float:
    """Give by how many standard errors all events have moved, whichever slice is left out."""
    rests = [_rest(part, whole) for part in parts if part.part < 1]
    return min((abs(rest) / doubt for rest, doubt in rests), default=SURE)


def _rest(part: _Part, whole: _Part) -> tuple[float, float]:
    """Give how far all events without this slice have moved, and its standard error."""
    others = max(1 - part.part, 1e-9)
    variance = whole.variance + part.part * part.part * part.variance
    mean = (whole.mean - part.part * part.mean) / others
    return mean, float(np.sqrt(variance)) / others


def _units(
    channel: Channel, reference: Reference, sight: Sight, moved: Moved
) -> tuple[float, float]:
    """Give a standard deviation of one event, in a unit that all slices share: then and now."""
    if sight.name == "rare":
        p = max(min(reference.rare_rate, 0.5), 1e-9)
    elif sight.bin >= 0:
        p = reference.counts[sight.bin] / max(reference.n_scored, 1)
    else:
        width = _middle(channel, reference) if sight.name == "level" else 1.0
        return width, width
    unit = float(np.sqrt(p * (1 - p)))
    now = min(max(p + moved.mean * unit, 0.0), 1.0)
    return unit, max(unit, float(np.sqrt(now * (1 - now))))


def _middle(channel: Channel, reference: Reference) -> float:
    """Measure one sd of a number by its reference's middle 90 %: one value cannot stretch it."""
    found = binned_quantiles(channel, np.array(reference.counts))
    return (found["0.95"] - found["0.05"]) / _SDS_OF_MIDDLE or 1.0
