"""Incidents: alerts that have one cause, told as one thing.

An incident opens with an alarm that belongs to no open one, and stays until all its alerts have
resolved.  An alarm belongs to an open incident if it began before the incident had calmed down
(GAP_BLOCKS blocks after the latest alarm to join; for outcomes, that the change still went on)
and their causes agree:

* the incident knows its channel already, in whatever slice, or
* it is of an outcome (prediction, error), or the incident has only outcomes so far, or
* the slices that explain the two are nested: equal, or one of them holds the other.

So five features that break everywhere are one incident, a feature that breaks in one of fifty
slices is one, and two features that break in two slices with nothing in common are two.  Nothing
is merged or split afterwards; what an incident says of its cause may sharpen.

Sources: Dandapanthula & Ramdas 2025, arXiv 2501.04130 (e-d-BH, for the list of members).
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

import msgspec
import numpy as np

from detectors.alert import Alert, CauseShare, Incident, Member, instant, nine_digits
from detectors.causes import Cause, find_cause
from detectors.panel import Panel
from detectors.profile import Profile
from detectors.wording import place

__all__ = ["GAP_BLOCKS", "Finding", "Incidents", "OpenIncident", "Place", "members_at"]

GAP_BLOCKS = 20
_MEMBER_LEVEL = 0.1
_OUTCOMES = {"prediction", "error"}
_SEVERITIES = ("info", "warning", "critical")


class Finding(msgspec.Struct):
    """Hold what one stream's alarm has to say in its incident."""

    stream: int
    alert: str
    sentence: str
    severity: str
    strength: float
    slice: int
    share: float
    onset: int
    open: bool = True


class OpenIncident(msgspec.Struct):
    """Hold an incident that has not resolved: its findings, and its last revision.

    `calm` and `going_on` are buckets: an alarm belongs if it began before it had become
    calm, one of an outcome as long as the incident's alerts are held.
    """

    id: str
    calm: int
    going_on: int
    findings: list[Finding]
    changed: bool = True
    last: Incident | None = None


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
            onset=at.onset,
        )
        # An incident that knows the channel comes before one that merely may share its cause.
        ranked = sorted(self.open, key=lambda one: not self._knows(j, one))
        found = next((one for one in ranked if self._belongs(j, cause, at, one)), None)
        if found is None:
            digest = blake2b(f"incident/{alert.id}".encode(), digest_size=16).hexdigest()
            found = OpenIncident(digest, at.calm, at.calm, [])
            self.open.append(found)
        found.findings.append(finding)
        found.calm = max(found.calm, at.calm)
        found.changed = True
        return found.id

    def raised(self, alert: Alert) -> None:
        """Take note of an alert whose severity or onset has changed."""
        for one, finding in self._holding(alert.id):
            finding.severity, finding.sentence = alert.severity, alert.summary
            one.changed = True

    def held(self, alert_id: str, at: Place) -> None:
        """Take note that the change of an open alert goes on."""
        for one, _ in self._holding(alert_id):
            one.going_on = max(one.going_on, at.calm)

    def leave(self, alert_id: str) -> None:
        """Take note of an alert that has resolved."""
        for one, finding in self._holding(alert_id):
            finding.open = False
            one.changed |= all(not f.open for f in one.findings)

    def _holding(self, alert_id: str) -> list[tuple[OpenIncident, Finding]]:
        """Find the incident and the finding of an open alert."""
        every = [(one, finding) for one in self.open for finding in one.findings]
        return [(one, f) for one, f in every if f.alert == alert_id and f.open]

    def revisions(self, end: int, panel: Panel) -> Iterator[Incident]:
        """Give a revision of each incident that has changed, as of the end of bucket `end`."""
        for one in [o for o in self.open if o.changed]:
            one.last = self._revision(one, end, panel)
            one.changed = False
            yield one.last
        self.open = [one for one in self.open if any(f.open for f in one.findings)]

    def _belongs(self, j: int, cause: Cause, at: Place, one: OpenIncident) -> bool:
        """Say whether an alarm has the cause of an open incident."""
        until = max(one.calm, one.going_on) if self._is_outcome(j) else one.calm
        if at.onset > until:
            return False
        if self._knows(j, one):
            return True
        causes = [f.slice for f in self._leading(one) if not self._is_outcome(f.stream)]
        if self._is_outcome(j) or not causes:
            return True
        return any(self._nested(cause.slice, other) for other in causes)

    def _knows(self, j: int, one: OpenIncident) -> bool:
        """Say whether an incident has an alarm of the same channel."""
        streams = self._profile.streams
        return any(streams[f.stream].channel == streams[j].channel for f in one.findings)

    def _is_outcome(self, j: int) -> bool:
        stream = self._profile.streams[j]
        return not stream.missing and self._profile.channels[stream.channel].name in _OUTCOMES

    def _nested(self, one: int, other: int) -> bool:
        """Say whether one slice holds all events of the other."""
        a, b = self._profile.slices[one].items(), self._profile.slices[other].items()
        return a <= b or b <= a

    def _leading(self, one: OpenIncident) -> list[Finding]:
        """Give the strongest finding of each channel, causes before outcomes, strongest first."""
        best: dict[tuple[int, bool], Finding] = {}
        for finding in one.findings:
            stream = self._profile.streams[finding.stream]
            key = (stream.channel, stream.missing)
            known = best.get(key)
            # The slice that explains a channel says it best, once it has alarmed itself.
            told = stream.slice == finding.slice
            if known is None or (
                told and finding.strength > 0 and self._tells_more(finding, known)
            ):
                best[key] = finding
        return sorted(best.values(), key=lambda f: (self._is_outcome(f.stream), -f.strength))

    def _tells_more(self, finding: Finding, known: Finding) -> bool:
        """Say whether a finding names the cause of its channel better than the known one."""
        told = self._profile.streams[known.stream].slice == known.slice
        if finding.slice == known.slice:
            return not told or finding.strength > known.strength
        return known.slice == 0 and finding.slice != 0 and finding.share > 0.5 and not told

    def _revision(self, one: OpenIncident, end: int, panel: Panel) -> Incident:
        """Tell an incident as it stands."""
        profile = self._profile
        leading = self._leading(one)
        is_open = any(f.open for f in one.findings)
        severity = max((f.severity for f in one.findings), key=_SEVERITIES.index)
        return Incident(
            id=one.id,
            revision=one.last.revision + 1 if one.last else 0,
            status="firing" if is_open else "resolved",
            time=instant(end * profile.bucket_ms),
            severity=severity,
            summary=self._summary(one, leading, is_open=is_open),
            model=profile.model,
            alerts=tuple(f.alert for f in one.findings),
            causes=tuple(
                CauseShare(
                    slice=profile.slices[f.slice],
                    channel=profile.stream_name(profile.streams[f.stream]),
                    share=f.share,
                )
                for f in leading
            ),
            onset=instant(leading[0].onset * profile.bucket_ms),
            members=self._members(one, panel),
            profile=profile.hash,
            config=self._config,
        )

    def _summary(self, one: OpenIncident, leading: Sequence[Finding], *, is_open: bool) -> str:
        """Write the first line: what leads, and what else changed with it."""
        first = leading[0]
        profile = self._profile
        text = first.sentence
        if first.slice != profile.streams[first.stream].slice and first.slice:
            text += f", {first.share:.0%} of it{place(profile.slices[first.slice])}"
        others = [profile.stream_name(profile.streams[f.stream]) for f in leading[1:]]
        names = [name.removeprefix("feature:").replace("missing:", "missing ") for name in others]
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            text += f"; with it {', '.join(names[:3])}{more}"
        if is_open:
            return text
        return f"{text} (over: all {len(one.findings)} alerts have resolved)"

    def _members(self, one: OpenIncident, panel: Panel) -> tuple[Member, ...]:
        """List the streams that take part: those that alarmed, and those that e-d-BH adds."""
        strengths = panel.strength.copy()
        for finding in one.findings:
            strengths[finding.stream] = max(strengths[finding.stream], finding.strength)
        profile = self._profile
        found = []
        for j in members_at(strengths.tolist()):
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
        self.open = list(state)


def members_at(strengths: Sequence[float]) -> list[int]:
    """List the streams of the largest k of which k have a strength of 0.1 / k or more.

    Strength 1 is the stream's alarm, .5 A_i; the level of a member is A_i / (20 k).  The
    strongest come first.

    >>> members_at([0.001, 1.2, 0.06, 0.04])
    [1, 2, 3]
    """
    order = [int(j) for j in np.argsort(-np.asarray(strengths), kind="stable")]
    passing = [k for k, j in enumerate(order, 1) if strengths[j] * k >= _MEMBER_LEVEL]
    return order[: max(passing, default=0)]
