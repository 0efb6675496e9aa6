"""Beside the mixture: other detectors on the same white scores, to alarm or to be reported.

Each runs on the level, share or volume of every stream of single-segment slices.  What a stream
is granted is shared equally among the detectors that alarm, and each one's part among the
statistics that it watches.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.companions import companion
from detectors.policy import Allowance, Tuning
from detectors.profile import Profile

__all__ = ["REPORTED", "Beside"]

REPORTED = ("adwin", "page_hinkley")
_NEVER = -1
_WATCHED = {"level", "share", "volume"}


class Beside:
    """Run every detector that is reported or alarms, but for the mixture, on one model."""

    def __init__(
        self,
        profile: Profile,
        tuned: Sequence[Tuning],
        granted: Sequence[Allowance],
        alarming: Sequence[str],
    ) -> None:
        """Start all; `tuned` is by statistic, `granted` by stream."""
        sizes = [len(s.reference.statistics) for s in profile.streams]
        owner = np.repeat(np.arange(len(sizes)), sizes)
        single = [len(profile.slices[s.slice]) <= 1 for s in profile.streams]
        names = [stat.name for s in profile.streams for stat in s.reference.statistics]
        moves = np.array([name in _WATCHED for name in names], np.bool_)
        self.watched = np.flatnonzero(np.array(single, np.bool_)[owner] & moves)
        self._owner = owner[self.watched]
        self._position = np.full(len(names), _NEVER, np.int64)
        self._position[self.watched] = np.arange(len(self.watched))
        self.alarming = tuple(name for name in alarming if name != "sr")
        shares = np.bincount(self._owner, minlength=len(sizes)) * max(len(alarming), 1)
        steps = np.array([a.steps for a in granted], np.float64) * np.maximum(shares, 1)
        bounds = np.array([(t.delta, t.variance) for t in tuned], np.float64).reshape(-1, 2)
        bounds = bounds[self.watched]
        self._detectors = {
            name: companion(name, steps[self._owner], bounds[:, 0], np.maximum(bounds[:, 1], 1.0))
            for name in dict.fromkeys((*REPORTED, *self.alarming))
        }
        self.ends = {name: np.full(len(sizes), _NEVER, np.int64) for name in self._detectors}

    def update(self, fresh: NDArray[np.bool_], scores: NDArray[np.float64], end: int) -> None:
        """Show the scores of the statistics that have a new block, which ends before `end`."""
        at = self.watched[fresh[self.watched]]
        position = self._position[at]
        owner = self._owner[position]
        for name, detector in self._detectors.items():
            self.ends[name][owner[detector.update(position, scores[at])]] = end

    def alarms(self, streams: NDArray[np.int64], end: int) -> NDArray[np.bool_]:
        """Say for which of these streams a detector that alarms has found a drift just now."""
        found = np.zeros(len(streams), np.bool_)
        for name in self.alarming:
            found |= self.ends[name][streams] == end
        return found

    def since(self, j: int, onset: int) -> list[str]:
        """Name the detectors that found a drift in stream j since the onset (bucket)."""
        return [name for name, ends in self.ends.items() if ends[j] > onset]

    def verdicts(self, streams: NDArray[np.int64], end: int) -> list[dict[str, bool]]:
        """Say what each detector thinks of the blocks of streams that end before `end`."""
        found = [(ends[streams] == end).tolist() for ends in self.ends.values()]
        return [dict(zip(self.ends, row, strict=True)) for row in zip(*found, strict=True)]

    def reset(self, j: int) -> None:
        """Restart the detectors of stream j that alarm."""
        position = np.arange(*np.searchsorted(self._owner, [j, j + 1]))
        for name in self.alarming:
            self._detectors[name].reset(position)

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Give the state of all detectors as named arrays."""
        state: dict[str, NDArray[Any]] = {f"{name}.end": ends for name, ends in self.ends.items()}
        for name, detector in self._detectors.items():
            state |= {f"{name}.{key}": array for key, array in detector.snapshot().items()}
        return state

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Take the state of all detectors from a snapshot."""
        for name, detector in self._detectors.items():
            own = {
                key.removeprefix(f"{name}."): array
                for key, array in state.items()
                if key.startswith(f"{name}.")
            }
            self.ends[name][:] = own.pop("end")
            detector.restore(own)
