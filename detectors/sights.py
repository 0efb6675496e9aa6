"""Sights: by what a change was seen, and what the same statistic says in every other slice.

What a detector has gathered says most at the alarm, and of blocks that are still open too.  Later
the tally says more: it goes on adding up whatever the detectors do, and nothing has selected it.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.arithmetic import exp
from detectors.blocks import Blocks
from detectors.drift.rare import RareBank
from detectors.drift.shiryaev_roberts import ShiryaevRobertsBank
from detectors.profile import Profile
from detectors.scores import VOLUME, Scorer
from detectors.tally import Tally

__all__ = ["Moved", "Sight", "Sights"]

_NEVER = -1


class Sight(NamedTuple):
    """Say by what a change was seen: statistic, accumulator (side, shift), and since when.

    `since` is the earliest bucket that another slice may date the same change to.
    """

    name: str
    bin: int
    side: int
    shift: int
    since: int


class Moved(NamedTuple):
    """Say by how much n events are off on the mean, in standard deviations of one event."""

    n: int
    mean: float


class Sights:
    """Look at one model's streams with the eyes of the stream that has alarmed."""

    def __init__(
        self,
        profile: Profile,
        blocks: Blocks,
        seeing: tuple[Scorer, ShiryaevRobertsBank, RareBank],
    ) -> None:
        """Start before the first block; `seeing` are what scores it and what gathers it."""
        self.profile = profile
        self.end = _NEVER
        self.scorer, self.sr, self.rare = seeing
        self.tally = Tally(int(self.sr.first[-1]), len(profile.streams))
        self.shown: dict[tuple[int, bool, Sight], Any] = {}
        self._blocks = blocks
        self._just_closed = np.zeros(len(profile.streams), np.bool_)
        self._siblings: dict[tuple[int, bool], list[int]] = {}
        for j, stream in enumerate(profile.streams):
            self._siblings.setdefault((stream.channel, stream.missing), []).append(j)

    def update(
        self,
        closed: tuple[NDArray[np.int64], int],
        fresh: NDArray[np.bool_],
        n: NDArray[np.int64],
    ) -> None:
        """Take note of scored blocks: (streams, end), and which statistics have n events."""
        streams, self.end = closed
        self.shown.clear()
        self._just_closed[:] = False
        self._just_closed[streams] = True
        self.tally.add(streams, fresh, n, self.scorer)

    def siblings(self, channel: int, *, missing: bool) -> list[int]:
        """List the streams of one channel in all slices."""
        return self._siblings[channel, missing]

    def of(self, j: int, *, rare: bool) -> Sight:
        """Say what stream j's evidence was seen by: rare things, or a score."""
        lead = self.rare.lead_of(j) if rare else self.sr.lead_of(j)
        since = 2 * lead.onset - self.end
        if rare:
            return Sight("rare", -1, 0, lead.shift, since)
        stat = self.profile.streams[j].reference.statistics[lead.statistic - int(self.sr.first[j])]
        return Sight(stat.name, stat.bin, lead.side, lead.shift, since)

    def moved(self, j: int, sight: Sight, before: tuple[int, float] | None = None) -> Moved:
        """Say by how much stream j is off since the onset, or since its `sums` were these.

        The events of a block that is still open count.
        """
        reference = self.profile.streams[j].reference
        at = self._place(j, sight)
        if at == _NEVER:
            return Moved(0, 0.0)
        n, value = self._gathered(j, at, sight) if before is None else self.sums(j, sight)
        if before is not None:
            n, value = n - before[0], value - before[1]
        mean = value / n if n > 0 else 0.0
        if sight.name == "rare":
            rate = max(min(reference.rare_rate, 0.5), 1e-9)
            return Moved(n, (mean - rate) / float(np.sqrt(rate * (1 - rate))) if n else 0.0)
        stat = reference.statistics[at]
        off = mean - stat.mean if n else 0.0
        if sight.name == VOLUME:
            # What all events gain or lose is the sum over slices of events, not of logarithms.
            return Moved(int(n * reference.block_n), float(exp(off)) - 1.0)
        return Moved(n, off / float(np.sqrt(stat.within)))

    def sums(self, j: int, sight: Sight) -> tuple[int, float]:
        """Give what a statistic of stream j has added up to since the judge began, and over n."""
        at = self._place(j, sight)
        if at == _NEVER:
            return 0, 0.0
        n, value = self._open(j, at, sight)
        if sight.name == "rare":
            return n + int(self.tally.total[j]), value + float(self.tally.rare[j])
        d = int(self.sr.first[j]) + at
        return n + int(self.tally.n[d]), value + float(self.tally.value[d])

    def _place(self, j: int, sight: Sight) -> int:
        """Find a statistic among stream j's; 0 for rare things, -1 if it has none like it."""
        if sight.name == "rare":
            return 0
        keys = [(stat.name, stat.bin) for stat in self.profile.streams[j].reference.statistics]
        key = (sight.name, sight.bin)
        return keys.index(key) if key in keys else _NEVER

    def _gathered(self, j: int, at: int, sight: Sight) -> tuple[int, float]:
        """Give what the detector that saw the change has gathered in stream j since its onset."""
        n, value = self._open(j, at, sight)
        if sight.name == "rare":
            if (
                self.rare.gain[j, sight.shift] > 0
                and self.rare.onset[j, sight.shift] >= sight.since
            ):
                n += int(self.rare.sums_n[j, sight.shift])
                value += float(self.rare.sums_rare[j, sight.shift])
            return n, value
        where = (int(self.sr.first[j]) + at, sight.side, sight.shift)
        if self.sr.gain[where] > 0 and self.sr.onset[where] >= sight.since:
            n, value = n + int(self.sr.sums_n[where]), value + float(self.sr.sums_value[where])
        return n, value

    def _open(self, j: int, at: int, sight: Sight) -> tuple[int, float]:
        """Give what the open block of stream j adds; one that has just closed is counted."""
        if self._just_closed[j]:
            return 0, 0.0
        if sight.name == "rare":
            hits, total = self.scorer.open_rare(j, self._blocks)
            return total, float(hits)
        n, value = self.scorer.open_value(j, at, self._blocks)
        return n, n * value
