"""Incidents: alerts that have one cause, told as one thing.

An incident opens with an alarm that belongs to no open one, and stays until all its alerts have
resolved.  An alarm that began before the incident had calmed down (GAP_BLOCKS blocks after the
latest alarm to join) belongs to it if

* the incident knows its channel already, in whatever slice, or
* it is of an outcome (prediction, error), or the incident has only outcomes so far, or
* the slices that explain the two are nested: equal, or one of them holds the other.

While its alerts are held, the change goes on, and what comes later belongs to it as well: a stream
that had resolved and alarms again, an outcome (labels are late), and a slice nested with one that
explains the same channel.

So five features that break everywhere are one incident, a feature that breaks in one of fifty
slices is one, and two features that break in two slices with nothing in common are two.  Nothing
is merged or split afterwards; what an incident says of its cause may sharpen, as long as the
stream that said it goes on alarming.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

import msgspec
import numpy as np

from detectors.alert import SEVERITIES, Alert, CauseShare, Incident, Member, instant, nine_digits
from detectors.causes import SURE, Cause, Witnessed, find_cause, witness
from detectors.findings import Finding, Witness, first_line, is_outcome
from detectors.gathered import Gathered
from detectors.members import members_at
from detectors.panel import Panel
from detectors.profile import Profile

__all__ = ["GAP_BLOCKS", "Incidents", "OpenIncident", "Place"]

GAP_BLOCKS = 20
# So that an incident of a whole model fits a record; every alert names its incident.
_ALERTS_MAX = 1_000
_MEMBERS_MAX = 100
# An incident may stay open for months, and streams come and go in it.
_FINDINGS_MAX = 256


class OpenIncident(msgspec.Struct):
    """Hold an incident that has not resolved: its findings, and its last revision.

    `calm` and `going_on` are buckets: until when an alarm may begin to belong, and one that
    is known or an outcome.  `forgotten` counts the findings that are told no more, and `worst`
    is their severity.
    """

    id: str
    calm: int
    going_on: int
    findings: list[Finding]
    witnesses: list[Witness]
    changed: bool = True
    last: Incident | None = None
    forgotten: int = 0
    worst: str = "info"


class Place(NamedTuple):
    """Say where and when an alarm was: the block (start, end) in buckets, and the onset."""

    onset: int
    start: int
    end: int

    @property
    def calm(self) -> int:
        """Give the bucket until which a change may begin that has the same cause."""
        return self.end + GAP_BLOCKS * (self.end - self.start)


class Incidents:
    """Gather the alerts of one model into incidents."""

    def __init__(self, profile: Profile, config: str) -> None:
        """Start with none open."""
        self._profile = profile
        self._config = config
        self.open: list[OpenIncident] = []
        self._of: dict[str, Gathered] = {}
        # An alert whose cause another profile lacks is in none.
        self._holding: dict[str, list[tuple[OpenIncident, Finding]]] = {}
        self._channels = np.array([stream.channel for stream in profile.streams], np.int64)

    def join(self, j: int, alert: Alert, panel: Panel, at: Place) -> str:
        """Find or open the incident of stream j's alarm; give its id."""
        cause = find_cause(panel, j)
        finding = Finding(
            stream=j,
            alert=alert.id,
            sentence=alert.summary,
            severity=alert.severity,
            strength=float(panel.strength[j]),
            slice=cause.slice,
            share=nine_digits(cause.share),
            sure=nine_digits(cause.sure),
            onset=at.onset,
        )
        # An incident that knows the channel comes before one that merely may share its cause,
        # and of two of a kind the one that began nearer to this change.
        ranked = sorted(self.open, key=lambda one: self._of[one.id].apart(at.onset))
        if not self._is_outcome(j):
            ranked.sort(key=lambda one: not self._knows(j, one))
        found = next((one for one in ranked if self._belongs(j, cause, at, one)), None)
        if found is None:
            digest = blake2b(f"incident/{alert.id}".encode(), digest_size=16).hexdigest()
            found = OpenIncident(digest, at.calm, at.calm, [], [])
            self.open.append(found)
            self._index(found)
        gathered = self._of[found.id]
        if gathered.witness(j) is None:
            found.witnesses.append(Witness(j, *witness(panel, j)))
            gathered.saw(found.witnesses[-1])
        found.findings.append(finding)
        gathered.add(finding)
        self._holding[alert.id] = [(found, finding)]
        if len(found.findings) > max(_FINDINGS_MAX, 2 * len(gathered.streams)):
            self._forget(found)
        if not self._is_outcome(j):
            # An outcome says nothing of how long features may still be joining.
            found.calm = max(found.calm, at.calm)
        found.changed = True
        return found.id

    def raised(self, alert: Alert) -> None:
        """Take note of an alert whose severity or onset has changed."""
        for one, finding in self._holding.get(alert.id, ()):
            finding.severity, finding.sentence = alert.severity, alert.summary
            self._of[one.id].changed()
            one.changed = True

    def held(self, j: int, alert_id: str, panel: Panel, at: Place) -> None:
        """Take note that stream j alarms again while its alert is open.

        By what has happened since the first alarm of its channel, its cause may be surer.
        """
        for one, _ in self._holding.get(alert_id, ()):
            one.going_on = max(one.going_on, at.calm)
            told = self._of[one.id].witness(j)
            if told is None or not told.before:
                continue
            if self._profile.streams[j].slice and j != told.stream:
                continue
            cause = find_cause(panel, told.stream, Witnessed(told.sight, told.before))
            if cause.sure < SURE or cause.sure <= told.sure:
                continue
            if cause.slice != told.slice or told.sure < SURE:
                told.slice, told.share = cause.slice, nine_digits(cause.share)
                one.changed = True
            told.sure = nine_digits(cause.sure)
            self._of[one.id].changed()

    def leave(self, alert_id: str) -> None:
        """Take note of an alert that has resolved."""
        for one, finding in self._holding.pop(alert_id, ()):
            finding.open = False
            self._of[one.id].open -= 1
            one.changed |= not self._of[one.id].open

    def _forget(self, one: OpenIncident) -> None:
        """Tell no more what has resolved and come again: one finding a stream stays, its latest."""
        latest = {finding.stream: finding.alert for finding in one.findings}
        gone = [f for f in one.findings if not f.open and latest[f.stream] != f.alert]
        one.findings = [f for f in one.findings if f.open or latest[f.stream] == f.alert]
        one.forgotten += len(gone)
        one.worst = max([one.worst, *(f.severity for f in gone)], key=SEVERITIES.index)
        self._index(one)

    def _index(self, one: OpenIncident) -> None:
        self._of[one.id] = Gathered(self._profile, one.findings, one.witnesses)
        self._holding |= {f.alert: [(one, f)] for f in one.findings if f.open}

    def revisions(self, end: int, panel: Panel) -> Iterator[Incident]:
        """Give a revision of each incident that has changed, as of the end of bucket `end`."""
        for one in [o for o in self.open if o.changed]:
            revision = self._revision(one, end, panel)
            one.changed = False
            if one.last is None or _tells_news(revision, one.last):
                one.last = revision
                yield revision
        self.open = [one for one in self.open if self._of[one.id].open]
        self._of = {one.id: self._of[one.id] for one in self.open}

    def _belongs(self, j: int, cause: Cause, at: Place, one: OpenIncident) -> bool:
        """Say whether an alarm has the cause of an open incident."""
        if j in self._of[one.id].streams:
            return True
        if self._is_outcome(j):
            return at.onset <= max(one.calm, one.going_on)
        if at.onset <= one.calm and self._knows(j, one):
            return True
        told = self._of[one.id].leading()
        causes = [f for f in told if not self._is_outcome(f.stream)]
        if at.onset <= one.calm and not causes:
            return True
        same = [f for f in causes if self._channel(f.stream) == self._channel(j)]
        fitting = causes if at.onset <= one.calm else same if at.onset <= one.going_on else []
        return any(self._nested(cause.slice, f.slice) for f in fitting)

    def _knows(self, j: int, one: OpenIncident) -> bool:
        """Say whether an incident has an alarm of the same channel."""
        return self._channel(j) in self._of[one.id].channels

    def _channel(self, j: int) -> int:
        return self._profile.streams[j].channel

    def _is_outcome(self, j: int) -> bool:
        return is_outcome(self._profile, j)

    def _nested(self, one: int, other: int) -> bool:
        """Say whether one slice holds all events of the other."""
        a, b = self._profile.slices[one].items(), self._profile.slices[other].items()
        return a <= b or b <= a

    def _revision(self, one: OpenIncident, end: int, panel: Panel) -> Incident:
        """Tell an incident as it stands."""
        profile = self._profile
        told = self._of[one.id].leading()
        is_open = self._of[one.id].open > 0
        severity = max([one.worst, *(f.severity for f in one.findings)], key=SEVERITIES.index)
        return Incident(
            id=one.id,
            revision=one.last.revision + 1 if one.last else 0,
            status="firing" if is_open else "resolved",
            time=instant(end * profile.bucket_ms),
            severity=severity,
            summary=self._summary(one, is_open=is_open),
            model=profile.model,
            alerts=tuple(f.alert for f in one.findings[:_ALERTS_MAX]),
            causes=tuple(
                CauseShare(
                    slice=profile.slices[f.slice],
                    channel=profile.stream_name(profile.streams[f.stream]),
                    share=f.share,
                )
                for f in told
            ),
            onset=instant(told[0].onset * profile.bucket_ms),
            members=self._members(one, panel),
            profile=profile.hash,
            config=self._config,
        )

    def _summary(self, one: OpenIncident, *, is_open: bool) -> str:
        text = first_line(self._profile, self._of[one.id].leading())
        alerts = len(one.findings) + one.forgotten
        return text if is_open else f"{text} (over: all {alerts} alerts have resolved)"

    def _members(self, one: OpenIncident, panel: Panel) -> tuple[Member, ...]:
        """List the streams that take part: those that alarmed, and those that e-d-BH adds.

        What another open incident knows is its own.
        """
        strengths = panel.strength.copy()
        others = [o for o in self.open if o is not one]
        theirs = set[int]().union(*(self._of[other.id].channels for other in others))
        theirs -= self._of[one.id].channels
        strengths[np.isin(self._channels, sorted(theirs))] = 0.0
        for other in others:
            strengths[list(self._of[other.id].streams)] = 0.0
        for finding in one.findings:
            strengths[finding.stream] = max(panel.strength[finding.stream], finding.strength)
        profile = self._profile
        found = []
        for j in members_at(strengths.tolist())[:_MEMBERS_MAX]:
            stream = profile.streams[j]
            found.append(
                Member(
                    channel=profile.stream_name(stream),
                    slice=profile.slices[stream.slice],
                    strength=nine_digits(float(strengths[j])),
                )
            )
        return tuple(found)

    def snapshot(self) -> list[OpenIncident]:
        """Give the open incidents; later alarms do not change them."""
        return [msgspec.json.decode(msgspec.json.encode(o), type=OpenIncident) for o in self.open]

    def restore(self, state: Sequence[OpenIncident]) -> None:
        """Take the open incidents from a snapshot."""
        self.open, self._of, self._holding = list(state), {}, {}
        for one in self.open:
            self._index(one)


def _tells_news(revision: Incident, last: Incident) -> bool:
    """Say whether a revision says anything that the one before did not."""
    names = ("status", "severity", "summary", "alerts", "causes")
    return any(getattr(revision, name) != getattr(last, name) for name in names)
