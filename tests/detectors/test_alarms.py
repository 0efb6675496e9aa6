"""The life of an alert: it fires, holds, is raised, resolves; a stream has one open alert."""

from dataclasses import dataclass, field

import logs
import msgspec
import numpy as np
import pytest
from logs import Shift

from detectors.alarms import HOLD_BLOCKS, AlertLife
from detectors.alert import Alert
from detectors.evidence import Alarm
from detectors.policy import Allowance, Policy
from detectors.profile import Profile
from detectors.sights import Moved, Sight

LEVEL = Alarm(
    statistic="level",
    category=None,
    direction="up",
    onset=1_000,
    n=200,
    sigma=0.2,
    before=10.0,
    now=12.0,
)


@dataclass
class StagedSights:
    """See nothing in any slice."""

    profile: Profile
    shown: dict[object, object] = field(default_factory=dict)

    def of(self, _: int, *, rare: bool) -> Sight:
        return Sight("rare" if rare else "level", -1, 0, 0, 0)

    def siblings(self, channel: int, *, missing: bool) -> list[int]:
        streams = enumerate(self.profile.streams)
        return [j for j, s in streams if (s.channel, s.missing) == (channel, missing)]

    def moved(self, *_: object) -> Moved:
        return Moved(0, 0.0)

    def sums(self, *_: object) -> tuple[int, float]:
        return 0, 0.0


@dataclass
class StagedPanel:
    """Say of every stream what the test wants said."""

    said: Alarm = LEVEL
    allowances: list[Allowance] = field(default_factory=lambda: [Allowance(20_000.0, 0.01)] * 100)

    def __post_init__(self) -> None:
        self.profile = logs.profile()
        self.strength = np.full(len(self.profile.streams), 2.0)
        self.sights = StagedSights(self.profile)

    def alarm(self, _: int) -> Alarm:
        return self.said

    def evidence(self, _: int) -> tuple[float, float, bool]:
        return 20_000.0, 10_000.0, False

    def named(self, _: int, alarm: Alarm) -> tuple[str, ...]:
        return f"sr:{alarm.statistic}", "adwin"

    def distances(self, _: int) -> dict[str, float]:
        return {"psi": 0.3}


class Staged:
    """Give an AlertLife block after block."""

    def __init__(self) -> None:
        self.profile = logs.profile()
        self.life = AlertLife(self.profile, Policy(), "config")
        self.end = 1_004
        names = [(s.slice, self.profile.stream_name(s)) for s in self.profile.streams]
        self.amount = names.index((0, "feature:amount"))
        self.prediction = names.index((0, "prediction"))

    def _block(self) -> tuple[int, int, int]:
        self.end += 4
        return (self.end - 4, self.end, 60)

    def alarmed(self, j: int, **changed: object) -> list[Alert]:
        panel = StagedPanel(msgspec.structs.replace(LEVEL, **changed))
        return list(self.life.alarmed(j, self._block(), panel))

    def silent(self, j: int, blocks: int = 1) -> list[Alert]:
        return [alert for _ in range(blocks) for alert in self.life.silent(j, self._block())]


def test_the_first_alarm_fires_with_what_it_knows() -> None:
    stage = Staged()
    (alert,) = stage.alarmed(stage.amount)
    assert (alert.status, alert.revision, alert.severity) == ("firing", 0, "warning")
    assert alert.detectors == ("sr:level", "adwin")
    assert (alert.effect.sigma, alert.effect.from_, alert.effect.to) == (0.2, 10.0, 12.0)
    assert alert.incident == stage.life.incidents.open[0].id
    assert logs.instant_ms(alert.onset) == 1_000 * stage.profile.bucket_ms
    assert logs.instant_ms(alert.time) == stage.end * stage.profile.bucket_ms
    assert (round(alert.score, 3), round(alert.threshold, 3)) == (4.301, 4.0)
    assert alert.profile == stage.profile.hash


def test_further_alarms_of_an_open_alert_are_held() -> None:
    stage = Staged()
    stage.alarmed(stage.amount)
    assert stage.alarmed(stage.amount, onset=1_010) == []


def test_every_stream_has_an_alert_of_its_own() -> None:
    stage = Staged()
    ids = [stage.alarmed(j)[0].id for j in (stage.amount, stage.prediction)]
    assert len(set(ids)) == 2


def test_an_open_alert_is_raised_once_and_keeps_its_id_and_onset() -> None:
    stage = Staged()
    (first,) = stage.alarmed(stage.amount)
    (raised,) = stage.alarmed(stage.amount, sigma=0.4, onset=1_010, now=14.0)
    assert (raised.revision, raised.severity, raised.status) == (1, "critical", "firing")
    assert (raised.id, raised.incident, raised.onset) == (first.id, first.incident, first.onset)
    assert raised.effect.to == 14.0
    assert stage.alarmed(stage.amount, sigma=0.6) == []


def test_severity_never_falls() -> None:
    stage = Staged()
    stage.alarmed(stage.amount, sigma=0.5)
    assert stage.alarmed(stage.amount, sigma=0.1) == []
    assert stage.silent(stage.amount, HOLD_BLOCKS)[0].severity == "critical"


def test_an_alert_resolves_when_its_detectors_were_silent_long_enough() -> None:
    stage = Staged()
    (fired,) = stage.alarmed(stage.amount)
    assert stage.silent(stage.amount, HOLD_BLOCKS - 1) == []
    (resolved,) = stage.silent(stage.amount)
    assert (resolved.status, resolved.revision, resolved.id) == ("resolved", 1, fired.id)
    assert logs.instant_ms(resolved.time) == stage.end * stage.profile.bucket_ms
    assert "is like its reference again" in resolved.summary
    assert stage.silent(stage.amount, 200) == []


def test_an_alarm_during_the_silence_starts_it_anew() -> None:
    stage = Staged()
    stage.alarmed(stage.amount)
    stage.silent(stage.amount, HOLD_BLOCKS - 1)
    stage.alarmed(stage.amount)
    assert stage.silent(stage.amount, HOLD_BLOCKS - 1) == []
    assert len(stage.silent(stage.amount)) == 1


def test_a_change_that_took_long_to_find_is_held_twice_as_long() -> None:
    stage = Staged()
    stage.alarmed(stage.amount, n=60 * 80)
    assert stage.silent(stage.amount, 2 * 80 - 1) == []
    assert len(stage.silent(stage.amount)) == 1


def test_a_resolved_stream_is_armed_again_with_a_new_id() -> None:
    stage = Staged()
    (first,) = stage.alarmed(stage.amount)
    stage.silent(stage.amount, HOLD_BLOCKS)
    (again,) = stage.alarmed(stage.amount, onset=2_000)
    assert (again.status, again.revision) == ("firing", 0)
    assert again.id != first.id


def test_a_change_of_the_prediction_over_all_events_is_critical() -> None:
    stage = Staged()
    assert stage.alarmed(stage.prediction, sigma=0.11)[0].severity == "critical"


@pytest.mark.parametrize(
    ("now", "severity"), [(0.12, "warning"), (0.14, "critical"), (0.05, "critical")]
)
def test_a_share_is_critical_at_three_times_the_relative_effect(now: float, severity: str) -> None:
    stage = Staged()
    alarm = {"statistic": "share", "category": "pro", "sigma": 0.01, "before": 0.1, "now": now}
    (alert,) = stage.alarmed(stage.amount, **alarm)
    assert alert.severity == severity
    assert alert.effect.shares == {"pro": (0.1, now)}


def test_open_alerts_go_on_from_a_snapshot_that_later_blocks_do_not_change() -> None:
    stage, other = Staged(), Staged()
    stage.alarmed(stage.amount)
    stage.silent(stage.amount, 20)
    state = stage.life.snapshot()
    stage.silent(stage.amount, 20)
    other.life.restore(state)
    assert other.silent(stage.amount, HOLD_BLOCKS - 21) == []
    assert len(other.silent(stage.amount)) == 1


def test_a_break_that_ends_and_comes_back_gives_two_alerts_over_all_events() -> None:
    shifts = (Shift(2_000, 1.0, until=4_000), Shift(13_000, 1.0))
    log = logs.events(16_000, seed=31, shifts=shifts)
    found = [a for a in logs.alerts(log, logs.book(logs.profile())) if not a.slice]
    assert [(a.status, a.revision) for a in found] == [
        ("firing", 0),
        ("resolved", 1),
        ("firing", 0),
    ]
    times = [logs.instant_ms(a.time) for a in found]
    assert times == sorted(times)
    assert found[0].id == found[1].id != found[2].id


def test_a_break_from_the_first_event_on_begins_there_and_not_in_1970() -> None:
    log = logs.events(1_000, seed=31, shifts=(Shift(0, 1.0),))
    found = logs.alerts(log, logs.book(logs.profile()))
    assert {logs.instant_ms(a.onset) for a in found} == {logs.START_MS}


def test_at_no_time_are_two_alerts_of_a_stream_open() -> None:
    draw = np.random.default_rng(1)
    stage = Staged()
    open_ids: set[str] = set()
    for step in range(2_000):
        if draw.random() < 0.02:
            found = stage.alarmed(stage.amount, onset=step, sigma=float(draw.uniform(0.1, 0.6)))
        else:
            found = stage.silent(stage.amount)
        for alert in found:
            if alert.status == "resolved":
                open_ids.remove(alert.id)
            elif alert.revision == 0:
                assert not open_ids
                open_ids.add(alert.id)
            else:
                assert alert.id in open_ids
