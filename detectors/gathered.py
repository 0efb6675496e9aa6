"""Gathered: what an open incident's findings say together, kept as they come.

When a whole model breaks, thousands of streams alarm in one step: what is asked at each alarm must
not go through all that came before it.  Everything here follows from the findings.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence

from detectors.findings import Finding, Witness, leading, measured
from detectors.profile import Profile

__all__ = ["Gathered"]


class Gathered:
    """Index the findings and witnesses of one open incident."""

    def __init__(
        self, profile: Profile, findings: Sequence[Finding], witnesses: Sequence[Witness]
    ) -> None:
        """Take in what there is; both lists stay the incident's, and may grow."""
        self._profile = profile
        self._findings = findings
        self._witnesses = witnesses
        self._told: list[Finding] | None = None
        self._onsets: list[int] = []
        self._witness: dict[tuple[int, bool], Witness] = {}
        self.streams: set[int] = set()
        self.channels: set[int] = set()
        self.open = 0
        for finding in findings:
            self.add(finding)
        for told in witnesses:
            self.saw(told)

    def add(self, finding: Finding) -> None:
        """Take in a finding."""
        if finding.stream not in self.streams:
            self.streams.add(finding.stream)
            self.channels.add(self._profile.streams[finding.stream].channel)
        at = bisect_left(self._onsets, finding.onset)
        if at == len(self._onsets) or self._onsets[at] != finding.onset:
            insort(self._onsets, finding.onset)
        self.open += finding.open
        self._told = None

    def saw(self, told: Witness) -> None:
        """Take in a witness; the first of what is measured is heard."""
        self._witness.setdefault(measured(self._profile, told.stream), told)
        self._told = None

    def changed(self) -> None:
        """Take note that a finding or a witness says something else now."""
        self._told = None

    def witness(self, j: int) -> Witness | None:
        """Give what has been taken down of what stream j measures."""
        return self._witness.get(measured(self._profile, j))

    def apart(self, onset: int) -> int:
        """Count the buckets between an onset and the nearest one of a finding."""
        at = bisect_left(self._onsets, onset)
        return min(abs(near - onset) for near in self._onsets[max(at - 1, 0) : at + 1])

    def leading(self) -> list[Finding]:
        """Give the finding that tells each channel best."""
        if self._told is None:
            self._told = leading(self._profile, self._findings, self._witnesses)
        return self._told
