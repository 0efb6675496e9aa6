"""The life of an alert: firing, holding, resolved, armed again.

One stream has at most one open alert.  When its evidence reaches the threshold it fires
(revision 0) and its detectors restart; while the restarted detectors keep alarming the alert
holds, with a new revision only when its severity rises; when they have been silent for long
enough it resolves.  Long enough is at least HOLD_BLOCKS, and twice as long as the change took
to be found, so that a small change that takes long to find again does not flap.

The onset stays what it was when the alert fired: a detector that was restarted since cannot know.
"""

from collections.abc import Iterator

import msgspec

from detectors.alert import Alert, AlertEffect, Block, alert_id, instant, nine_digits
from detectors.arithmetic import log
from detectors.evidence import Alarm
from detectors.incident import Incidents, Place
from detectors.panel import Panel
from detectors.policy import Policy
from detectors.profile import Profile
from detectors.scores import VOLUME
from detectors.wording import Change, sentence, sentence_closed, sentence_resolved

__all__ = ["HOLD_BLOCKS", "AlertLife", "OpenAlert"]

HOLD_BLOCKS = 50
_CRITICAL = 3.0
_LN_10 = 2.302585092994046


class OpenAlert(msgspec.Struct):
    """Hold an alert that has fired and not resolved, with its last revision."""

    alert: Alert
    change: Change
    silent: int
    hold: int


class AlertLife:
    """Turn the alarms of one model's streams into alert revisions."""

    def __init__(self, profile: Profile, policy: Policy, config: str) -> None:
        """Start with every stream armed."""
        self.profile = profile
        self.policy = policy
        self.config = config
        self.incidents = Incidents(profile, config)
        self.open: dict[int, OpenAlert] = {}

    def alarmed(self, j: int, block: tuple[int, int, int], panel: Panel) -> Iterator[Alert]:
        """Take an alarm of stream j in the block (start, end, events); fire, raise, or hold."""
        alarm = panel.alarm(j)
        opened = self.open.get(j)
        if opened is not None and not self._rises(j, alarm, opened):
            opened.silent = 0
            self.incidents.held(j, opened.alert.id, panel, Place(alarm.onset, *block[:2]))
            return
        change = self._change(j, alarm)
        if opened is not None:
            change = msgspec.structs.replace(change, onset_ms=opened.change.onset_ms)
        alert = self._alert(j, (alarm, change), block, panel)
        if opened is None:
            at = Place(alarm.onset, *block[:2])
            incident = self.incidents.join(j, alert, panel, at)
            alert = msgspec.structs.replace(alert, incident=incident)
            steps = max(1, alarm.n // max(block[2], 1))
            self.open[j] = OpenAlert(alert, change, 0, max(HOLD_BLOCKS, 2 * steps))
            yield alert
            return
        opened.silent = 0
        self.incidents.held(j, opened.alert.id, panel, Place(alarm.onset, *block[:2]))
        first = opened.alert
        opened.alert = msgspec.structs.replace(
            alert,
            id=first.id,
            incident=first.incident,
            revision=first.revision + 1,
            onset=first.onset,
        )
        self.incidents.raised(opened.alert)
        yield opened.alert

    def silent(self, j: int, block: tuple[int, int, int]) -> Iterator[Alert]:
        """Take a block of stream j without an alarm; resolve what has been silent long enough."""
        opened = self.open.get(j)
        if opened is None:
            return
        opened.silent += 1
        if opened.silent < opened.hold:
            return
        del self.open[j]
        self.incidents.leave(opened.alert.id)
        start, end = (edge * self.profile.bucket_ms for edge in block[:2])
        yield msgspec.structs.replace(
            opened.alert,
            revision=opened.alert.revision + 1,
            status="resolved",
            time=instant(end),
            block=Block(instant(start), instant(end)),
            summary=sentence_resolved(opened.change, end),
            n=block[2],
        )

    def close(self, j: int, end: int, *, accepted: bool) -> Iterator[Alert]:
        """Resolve the open alert of stream j: another profile takes over at bucket `end`."""
        opened = self.open.pop(j)
        self.incidents.leave(opened.alert.id)
        end_ms = end * self.profile.bucket_ms
        yield msgspec.structs.replace(
            opened.alert,
            revision=opened.alert.revision + 1,
            status="resolved",
            time=instant(end_ms),
            summary=sentence_closed(opened.change, end_ms, accepted=accepted),
        )

    def _change(self, j: int, alarm: Alarm) -> Change:
        stream = self.profile.streams[j]
        return Change(
            model=self.profile.model,
            channel=self.profile.stream_name(stream),
            where=self.profile.slices[stream.slice],
            statistic=alarm.statistic,
            category=alarm.category,
            direction=alarm.direction,
            sigma=alarm.sigma,
            before=alarm.before,
            now=alarm.now,
            onset_ms=alarm.onset * self.profile.bucket_ms,
        )

    def _rises(self, j: int, alarm: Alarm, opened: OpenAlert) -> bool:
        """Say whether an open alert becomes critical by an alarm."""
        return opened.alert.severity != "critical" and self._severity(j, alarm) == "critical"

    def _severity(self, j: int, alarm: Alarm) -> str:
        """Call a change critical at three times the minimum effect, or where it costs most."""
        stream = self.profile.streams[j]
        if stream.slice == 0 and self.profile.stream_name(stream) in {"prediction", "error"}:
            return "critical"
        size = abs(alarm.sigma) / self.policy.min_effect_sigma
        if alarm.statistic in {"share", VOLUME} and alarm.before > 0:
            size = abs(alarm.now / alarm.before - 1) / self.policy.min_effect_relative
        return "critical" if size >= _CRITICAL else "warning"

    def _alert(
        self, j: int, what: tuple[Alarm, Change], block: tuple[int, int, int], panel: Panel
    ) -> Alert:
        alarm, change = what
        profile = self.profile
        stream = profile.streams[j]
        start, end = (edge * profile.bucket_ms for edge in block[:2])
        evidence, limit, _ = panel.evidence(j)
        identity = (profile.model, None, change.channel, change.where, alarm.onset)
        digest = alert_id(*identity, profile.hash, self.config)
        told = dict(alarm.shares)
        if alarm.category is not None:
            told = {alarm.category: (alarm.before, alarm.now)} | told
        shares = {name: (nine_digits(a), nine_digits(b)) for name, (a, b) in told.items()}
        return Alert(
            id=digest,
            revision=0,
            status="firing",
            time=instant(end),
            severity=self._severity(j, alarm),
            incident="",
            summary=sentence(change),
            model=profile.model,
            version=change.where.get("version"),
            channel=change.channel,
            slice=change.where,
            detectors=panel.named(j, alarm),
            direction=alarm.direction,
            block=Block(instant(start), instant(end)),
            onset=instant(change.onset_ms),
            score=nine_digits(float(log(evidence)) / _LN_10),
            threshold=nine_digits(float(log(limit)) / _LN_10),
            expected_false_alarms_per_week=nine_digits(panel.allowances[j].per_week),
            effect=AlertEffect(
                sigma=nine_digits(alarm.sigma),
                from_=nine_digits(alarm.before),
                to=nine_digits(alarm.now),
                unit="events/s" if alarm.statistic == VOLUME else None,
                shares=shares,
            ),
            n=block[2],
            n_reference=stream.reference.n,
            distances=panel.distances(j),
            profile=profile.hash,
            config=self.config,
        )

    def snapshot(self) -> list[tuple[int, OpenAlert]]:
        """Give the open alerts by stream, in a fixed order."""
        return [(j, msgspec.structs.replace(opened)) for j, opened in sorted(self.open.items())]

    def restore(self, state: list[tuple[int, OpenAlert]]) -> None:
        """Take the open alerts from a snapshot."""
        self.open = dict(state)
