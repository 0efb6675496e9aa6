"""When a profile takes over, what is the same goes on, and what is not resolves and says so."""

from collections.abc import Sequence
from functools import cache

import logs
import msgspec
import pytest
from logs import SEMANTICS, START_MS, Shift

from detectors.alert import Alert, Incident, Metric
from detectors.events import Event
from detectors.handover import kept_streams
from detectors.monitor import Monitor
from detectors.panes import Part
from detectors.profile import Profile, ProfileBook, seal
from detectors.references import replaced

N = 9_000
AMOUNT, AGE = "feature:amount", "feature:age"
Effects = Sequence[Alert | Incident | Metric]


@cache
def log() -> tuple[Event, ...]:
    """Draw a log in which `amount` breaks everywhere, and comes back long after the takeover."""
    return tuple(logs.events(N, seed=21, shifts=(Shift(2_000, 1.5, until=6_000),)))


def index(profile: Profile, channel: str) -> int:
    return next(j for j, s in enumerate(profile.streams) if profile.stream_name(s) == channel)


def without(profile: Profile, channel: str, *, parent: str = "") -> Profile:
    """Change one stream's reference a little, over all events."""
    streams = list(profile.streams)
    j = index(profile, channel)
    streams[j] = replaced(streams[j], mean=streams[j].reference.mean + 1.0)
    return seal(msgspec.structs.replace(profile, streams=tuple(streams), parent=parent))


def book(next_one: Profile | None, at_event: int) -> ProfileBook:
    held = logs.book(logs.profile())
    if next_one is not None:
        held.add(next_one, START_MS + at_event * 1_000 // 15_000 * 15_000)
    return held


def run(held: ProfileBook, partitions: int = 0) -> Effects:
    if not partitions:
        return logs.judged(log(), held, metrics=True)
    spread = logs.topic(log(), partitions, seed=1, quiet_ms=400_000)
    parts = logs.interleaved(logs.parts_of_topic(spread, held), 1)
    return logs.effects(Monitor(held, SEMANTICS), parts)


def told(found: Effects, but: str) -> list[tuple[object, ...]]:
    """Give alerts and metrics of all streams but one, without what names the profile."""
    kept = []
    for e in found:
        if isinstance(e, Incident) or e.channel == "budget" or (e.channel == but and not e.slice):
            continue
        fields = msgspec.structs.asdict(e) | {"profile": "", "id": "", "incident": ""}
        kept.append(tuple(sorted((k, str(v)) for k, v in fields.items())))
    return sorted(kept)


@pytest.mark.parametrize("at_event", [1_000, 2_040, 2_500, 4_567, 6_020, 8_000])
def test_streams_whose_reference_is_the_same_go_on_as_if_nothing_had_been(at_event: int) -> None:
    """Open blocks, detectors and alerts are carried over, wherever the takeover falls."""
    plain = run(book(None, 0))
    changed = run(book(without(logs.profile(), AGE), at_event))
    assert told(plain, AGE) == told(changed, AGE)


@pytest.mark.parametrize("at_event", [1_500, 3_000, 5_000])
def test_a_stream_more_or_less_moves_nothing_of_the_others(at_event: int) -> None:
    """Arrays are by stream, statistic, watched place or bin: each finds its new place."""
    fewer = [s for j, s in enumerate(logs.profile().streams) if j != index(logs.profile(), AGE)]
    other = seal(msgspec.structs.replace(logs.profile(), streams=tuple(fewer)))
    kept = kept_streams(logs.profile(), other)
    assert len(kept) == len(other.streams)
    plain = {(e.channel, str(e.slice), e.time) for e in run(book(None, 0)) if _fires(e)}
    changed = {(e.channel, str(e.slice), e.time) for e in run(book(other, at_event)) if _fires(e)}
    assert plain == changed


def _fires(effect: Alert | Incident | Metric) -> bool:
    return isinstance(effect, Alert) and effect.revision == 0


@pytest.mark.parametrize(
    ("accepted", "says"),
    [(True, "is accepted as the new level"), (False, "is measured by another profile")],
)
def test_an_alert_whose_reference_is_another_resolves_there(*, accepted: bool, says: str) -> None:
    """The summary says whether somebody accepted the level or pushed another profile."""
    parent = logs.profile().hash if accepted else ""
    held = book(without(logs.profile(), AMOUNT, parent=parent), 3_000)
    found = [e for e in run(held) if isinstance(e, Alert) and e.channel == AMOUNT and not e.slice]
    assert [a.status for a in found[:2]] == ["firing", "resolved"]
    assert found[0].id == found[1].id
    assert logs.instant_ms(found[1].time) - START_MS == 3_000 * 1_000
    assert says in found[1].summary


def test_an_incident_lives_on_with_the_alerts_that_are_kept() -> None:
    """Its id stays, and it resolves with its last alert, under the new profile."""
    long = logs.events(25_000, seed=21, shifts=(Shift(2_000, 1.5, until=6_000),))
    found = logs.judged(long, book(without(logs.profile(), AMOUNT), 3_000))
    incidents = [e for e in found if isinstance(e, Incident)]
    assert len({e.id for e in incidents}) == 1
    assert [e.revision for e in incidents] == list(range(len(incidents)))
    assert incidents[0].profile == logs.profile().hash != incidents[-1].profile
    assert [e.status for e in incidents][-2:] == ["firing", "resolved"]


def test_an_incident_resolves_with_the_profile_where_nothing_is_kept() -> None:
    """Another block size is another monitor: all alerts end, and so do their incidents."""
    other = seal(msgspec.structs.replace(logs.profile(), block_events=60))
    found = run(book(other, 3_000))
    end = START_MS + 3_000_000
    before = [e for e in found if isinstance(e, Incident) and logs.instant_ms(e.time) <= end]
    alerts = [e for e in found if isinstance(e, Alert) and logs.instant_ms(e.time) <= end]
    assert {"resolved"} == {{e.id: e.status for e in before}[one] for one in {e.id for e in before}}
    assert {"resolved"} == set({a.id: a.status for a in alerts}.values())


@pytest.mark.parametrize("accepted", [True, False])
def test_a_takeover_is_the_same_in_a_file_and_in_four_partitions(*, accepted: bool) -> None:
    """Live and replay agree on every alert and incident."""
    parent = logs.profile().hash if accepted else ""
    held = book(without(logs.profile(), AMOUNT, parent=parent), 3_000)
    of_file = [e for e in run(held) if not isinstance(e, Metric)]
    assert of_file == [e for e in run(held, 4) if not isinstance(e, Metric)]


@pytest.mark.parametrize("share", [0.2, 0.33, 0.34, 0.5])
def test_a_monitor_restored_around_the_takeover_finds_the_same(share: float) -> None:
    """What is handed over is in the snapshot."""
    held = book(without(logs.profile(), AMOUNT), 3_000)
    spread = logs.topic(log(), 2, seed=1, quiet_ms=100_000)
    parts: list[Part] = logs.interleaved(logs.parts_of_topic(spread, held), 1)
    at = int(share * len(parts))
    first, second = Monitor(held, SEMANTICS), Monitor(held, SEMANTICS)
    logs.effects(first, parts[:at])
    second.restore(first.snapshot())
    assert logs.effects(second, parts[at:]) == logs.effects(first, parts[at:])


def test_every_event_is_counted_once_over_a_takeover() -> None:
    """The counts of an ended profile's judge go on in the next one's."""
    held = book(without(logs.profile(), AGE), 3_000)
    monitor = Monitor(held, SEMANTICS)
    logs.effects(monitor, logs.parts_of_file(log(), held))
    assert [judge.counts.judged for judge in monitor.judges.values()] == [N]
