"""Incidents: one cause is one incident, two causes are two, and each names feature and slice."""

from collections.abc import Iterator, Sequence
from functools import cache

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import instant_ms
from shops import Shop, block_of, judged

from detectors import incident as incident_module
from detectors.alert import SEVERITIES, Alert, Incident
from detectors.judge import ModelJudge
from detectors.members import members_at
from detectors.panes import UNSET, Entry
from detectors.policy import Policy

REFERENCE, CHANGE, END = 1_000, 1_060, 1_300
EVENTS = 100
FEATURES = ("feature:a", "feature:b", "feature:c", "prediction")
COUNTRY, DEVICE = ("DE", "FR", "US"), ("ios", "web", "tv")
SHARES = (0.5, 0.3, 0.2)
Break = tuple[int, int, float]


def slices() -> list[dict[str, str]]:
    return [{}, *({"country": c} for c in COUNTRY), *({"device": d} for d in DEVICE)]


def shop(breaks: Sequence[Break], seed: int) -> Shop:
    """Move features from block CHANGE on: (feature, slice index or 0 for all, sigma)."""
    draw = np.random.default_rng(seed)
    n = END * EVENTS
    buckets = np.repeat(np.arange(END), EVENTS)
    codes = np.stack([1 + draw.choice(3, n, p=SHARES), 4 + draw.choice(3, n, p=SHARES)], axis=1)
    values = draw.normal(0, 1, (n, 3))
    for feature, where, sigma in breaks:
        moved = (buckets >= CHANGE) & ((where == 0) | (codes == where).any(axis=1))
        values[moved, feature] += sigma
    prediction = 0.4 * values.sum(axis=1) + 0.7 * draw.normal(0, 1, n)
    return Shop(
        values=np.column_stack([values, prediction]),
        buckets=buckets,
        channels=FEATURES,
        slices=slices(),
        codes=codes.astype(np.int32),
    )


@cache
def effects(breaks: tuple[Break, ...], seed: int = 0) -> tuple[Alert | Incident, ...]:
    made = shop(breaks, seed)
    profile = made.fit(REFERENCE, Policy())
    found = judged(made, profile, Policy(), REFERENCE)
    return tuple(e for e in found if isinstance(e, Alert | Incident))


def last(found: Sequence[Alert | Incident]) -> dict[str, Incident]:
    return {e.id: e for e in found if isinstance(e, Incident)}


DE_AND_TV = ((0, 1, 1.5), (1, 6, 1.5))


def test_a_break_of_one_feature_in_one_slice_is_one_incident_that_names_them() -> None:
    found = effects(((1, 6, 1.0),))
    (incident,) = last(found).values()
    assert "b in device=tv" in incident.summary
    assert (
        incident.causes[0].channel,
        incident.causes[0].slice,
    ) == ("feature:b", {"device": "tv"})


def test_two_breaks_with_nothing_in_common_are_two_incidents_in_nine_of_ten() -> None:
    right = 0
    for seed in range(10):
        found = last(effects(DE_AND_TV, seed)).values()
        named = sorted((i.causes[0].channel, *i.causes[0].slice.values()) for i in found)
        right += named == [("feature:a", "DE"), ("feature:b", "tv")]
    assert right >= 9


@pytest.mark.parametrize("seed", range(2))
def test_features_that_break_everywhere_are_one_incident(seed: int) -> None:
    found = last(effects(((0, 0, 0.6), (1, 0, 0.6), (2, 0, 0.6)), seed))
    (incident,) = found.values()
    channels = {cause.channel for cause in incident.causes}
    assert {"feature:a", "feature:b", "feature:c"} <= channels
    assert all(not cause.slice for cause in incident.causes if cause.channel != "prediction")


def test_nothing_changed_is_no_incident() -> None:
    assert effects(()) == ()


def test_the_onset_of_an_incident_is_near_the_change() -> None:
    (incident,) = last(effects(((1, 0, 1.0),))).values()
    assert abs(block_of(instant_ms(incident.onset)) - CHANGE) <= 3


def test_outcomes_are_not_named_before_the_feature_that_explains_them() -> None:
    for incident in last(effects(((0, 0, 1.0),))).values():
        assert incident.causes[0].channel == "feature:a"
        assert "prediction" in {cause.channel for cause in incident.causes}


@pytest.mark.parametrize("breaks", [DE_AND_TV, ((0, 0, 0.6), (1, 0, 0.6), (2, 0, 0.6))])
def test_every_alert_belongs_to_one_incident_that_lists_it(breaks: tuple[Break, ...]) -> None:
    found = effects(breaks)
    listed = {alert: i.id for i in last(found).values() for alert in i.alerts}
    alerts = [e for e in found if isinstance(e, Alert)]
    assert {a.id for a in alerts} == set(listed)
    assert all(listed[a.id] == a.incident for a in alerts)
    assert len(listed) == sum(len(i.alerts) for i in last(found).values())


@pytest.mark.parametrize("breaks", [DE_AND_TV])
def test_revisions_count_up_and_only_add_alerts(breaks: tuple[Break, ...]) -> None:
    seen: dict[str, Incident] = {}
    for e in effects(breaks):
        if isinstance(e, Incident):
            before = seen.get(e.id)
            assert e.revision == (before.revision + 1 if before else 0)
            assert set(before.alerts if before else ()) <= set(e.alerts)
            seen[e.id] = e


def test_an_incident_resolves_once_all_its_alerts_have() -> None:
    made = shop(((1, 0, 1.0),), seed=5)
    calm = made.buckets >= CHANGE + 30
    made.values[calm, 1] -= 1.0
    made.values[calm, 3] -= 0.4
    profile = made.fit(REFERENCE, Policy())
    open_alerts: set[str] = set()
    resolved = 0
    for e in judged(made, profile, Policy(), REFERENCE):
        if isinstance(e, Alert):
            (open_alerts.add if e.status == "firing" else open_alerts.discard)(e.id)
        elif isinstance(e, Incident) and e.status == "resolved":
            resolved += 1
            assert not open_alerts & set(e.alerts)
    assert (resolved, open_alerts) == (1, set())


def test_an_incident_that_stays_open_forgets_what_came_and_went(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(incident_module, "_FINDINGS_MAX", 6)
    monkeypatch.setitem(globals(), "END", END + 900)
    made = shop(((1, 0, 1.0),), seed=3)  # it stays, and holds its incident open
    since = made.buckets - CHANGE  # and a comes and goes
    made.values[(since > 0) & (since % 100 >= 88), 0] += 1.5
    profile = made.fit(REFERENCE, Policy())
    judge = ModelJudge(profile, Policy(), "config", metrics=False)
    alerts: dict[str, set[str]] = {}
    worst: dict[str, str] = {}
    for cell in made.cells(profile, REFERENCE, END):
        entry = Entry("shop", profile.hash, cell.bucket, cell.events, cell.data)
        judge.take(entry, UNSET, 0)
        for e in judge.finalise((cell.bucket + 1) * profile.bucket_ms):
            if isinstance(e, Alert):
                alerts.setdefault(e.incident, set()).add(e.id)
            elif isinstance(e, Incident):
                before = worst.get(e.id, "info")
                assert e.severity == max(before, e.severity, key=SEVERITIES.index)
                worst[e.id] = e.severity
        again = ModelJudge(profile, Policy(), "config", metrics=False)
        again.restore(judge.snapshot())
        judge = again
        for one in judge.life.incidents.open:
            assert len(one.findings) <= max(6, 2 * len({f.stream for f in one.findings}))
    for one in judge.life.incidents.open:
        told = {finding.alert for finding in one.findings}
        assert told <= alerts[one.id]
        assert len(told) + one.forgotten == len(alerts[one.id])
    assert max(one.forgotten for one in judge.life.incidents.open) > 20


@pytest.mark.parametrize("cut", [CHANGE + 3, CHANGE + 7, CHANGE + 20, CHANGE + 100])
def test_a_restart_anywhere_goes_on_with_the_same_bytes(cut: int) -> None:
    made = shop(DE_AND_TV, seed=1)
    profile = made.fit(REFERENCE, Policy())

    def run(judge: ModelJudge, first: int, end: int) -> Iterator[bytes]:
        for cell in made.cells(profile, first, end):
            entry = Entry("shop", profile.hash, cell.bucket, cell.events, cell.data)
            judge.take(entry, UNSET, 0)
            done = judge.finalise((cell.bucket + 1) * profile.bucket_ms)
            yield from map(msgspec.json.encode, done)

    one = ModelJudge(profile, Policy(), "config", metrics=False)
    whole = list(run(one, REFERENCE, END))
    first, second = (ModelJudge(profile, Policy(), "config", metrics=False) for _ in range(2))
    found = list(run(first, REFERENCE, cut))
    second.restore(first.snapshot())
    assert whole == [*found, *run(second, cut, END)]


@given(st.lists(st.floats(0, 5), max_size=30))
def test_members_are_the_largest_k_of_which_k_pass_the_level_divided_by_k(
    strengths: list[float],
) -> None:
    found = members_at(strengths)
    k = len(found)
    assert all(strengths[j] * k >= 0.05 for j in found)
    ranked = sorted(strengths, reverse=True)
    larger = range(k + 1, len(strengths) + 1)
    assert all(ranked[m - 1] * m < 0.05 for m in larger)
