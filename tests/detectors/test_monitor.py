"""The monitor: what it finds depends on the log, not on partitions, interleaving or restarts."""

from collections import Counter
from collections.abc import Sequence
from functools import cache

import logs
import msgspec
import pytest
from logs import LATENESS_MS, PANE_MS, SEMANTICS, START_MS, Record, Shift

from detectors.alert import Alert, Metric, encode
from detectors.errors import StateRefused
from detectors.events import Event
from detectors.monitor import Monitor
from detectors.panes import Entry, Part
from detectors.profile import ProfileBook, seal

N = 6_000
QUIET_MS = 1_000_000
Effects = Sequence[Alert | Metric]


@cache
def broken() -> tuple[Event, ...]:
    """Draw a log in which `amount` breaks in DE half-way."""
    return tuple(logs.events(N, seed=21, shifts=(Shift(N // 2, 1.5, "DE"),)))


@cache
def book() -> ProfileBook:
    return logs.book(logs.profile())


@cache
def of_file() -> Counter[bytes]:
    return bodies(logs.judged(broken(), book(), metrics=True))


@cache
def four_partitions() -> list[list[Part]]:
    return logs.parts_of_topic(logs.topic(broken(), 4, seed=1, quiet_ms=QUIET_MS), book())


def monitor(held: ProfileBook | None = None) -> Monitor:
    return Monitor(held or book(), SEMANTICS)


def bodies(found: Effects) -> Counter[bytes]:
    return Counter(map(encode, found))


def without_silence(found: Effects) -> list[Alert | Metric]:
    """Leave out the zero rates of the time behind the last event, where a file has ended."""
    end = broken()[-1].time_ms
    return [
        e
        for e in found
        if not isinstance(e, Metric)
        or e.channel != "rate"
        or e.n
        or logs.instant_ms(e.block.start) <= end
    ]


def test_the_broken_feature_is_found_in_its_slice_and_nothing_else_is() -> None:
    found = logs.alerts(broken(), book())
    assert {a.channel for a in found} == {"feature:amount"}
    assert {"country": "DE"} in [a.slice for a in found]
    assert {tuple(a.slice.values()) for a in found} <= {(), ("DE",)}
    assert all(logs.instant_ms(a.time) > broken()[N // 2].time_ms for a in found)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_four_partitions_in_any_interleaving_give_the_bytes_of_the_file(seed: int) -> None:
    parts = logs.interleaved(four_partitions(), seed)
    assert bodies(without_silence(logs.effects(monitor(), parts))) == of_file()


def test_one_partition_read_far_ahead_of_the_others_changes_nothing() -> None:
    parts = [partition[:1_000] for partition in four_partitions()]
    one_after_the_other = [part for partition in reversed(parts) for part in partition]
    together = logs.effects(monitor(), logs.interleaved(parts, 1))
    assert logs.effects(monitor(), one_after_the_other) == together


@pytest.mark.parametrize("partitions", [1, 3])
def test_another_number_of_partitions_gives_the_same_bytes(partitions: int) -> None:
    spread = logs.topic(broken(), partitions, seed=9, quiet_ms=QUIET_MS)
    parts = logs.interleaved(logs.parts_of_topic(spread, book()), seed=9)
    assert bodies(without_silence(logs.effects(monitor(), parts))) == of_file()


def test_repeated_panes_change_nothing() -> None:
    twice = [part for part in logs.interleaved(four_partitions(), 4) for part in (part, part)]
    assert bodies(without_silence(logs.effects(monitor(), twice))) == of_file()


def test_a_lost_pane_is_refused() -> None:
    parts = list(four_partitions()[0])
    del parts[5]
    with pytest.raises(StateRefused, match="missing from the summaries"):
        logs.effects(monitor(), parts)


def test_every_event_is_judged_late_or_unprofiled() -> None:
    log = [*broken()[:500], *logs.renamed(broken()[500:600], "toys"), *broken()[600:800]]
    spread = logs.topic(log, 3, seed=2, quiet_ms=60_000)
    with_late = [*spread[0], Record(spread[0][-1].record_ms + 1, broken()[3])]
    parts = logs.parts_of_topic([_ticking(with_late), *map(_ticking, spread[1:])], book())
    subject = monitor()
    logs.effects(subject, logs.interleaved(parts, 2))
    counts = [judge.counts for judge in subject.judges.values()]
    headers = [part.header for partition in parts for part in partition]
    assert sum(h.accepted for h in headers) == 801
    assert sum(h.unprofiled for h in headers) == 100
    assert sum(c.late for c in counts) == 1
    assert sum(c.judged for c in counts) == 700


def _ticking(records: Sequence[Record]) -> list[Record]:
    last = records[-1].record_ms
    return [*records, *(Record(last + 2_000 * (i + 1), tick=True) for i in range(40))]


def late_topic(*, arrive: bool) -> list[list[Record]]:
    """Bring every 100th event of the first half a minute late, or as a reject instead."""
    log = broken()
    behind = [e for i, e in enumerate(log[: N // 2]) if i % 100 == 50]
    spread = logs.topic([e for e in log if e not in behind], 2, seed=5, quiet_ms=QUIET_MS)
    more = [Record(e.time_ms + 60_000, e if arrive else None) for e in behind]
    return [sorted([*spread[0], *more], key=lambda r: r.record_ms), spread[1]]


def test_late_events_are_counted_and_change_nothing_else() -> None:
    found = []
    subjects = [monitor(), monitor()]
    for subject, arrive in zip(subjects, (True, False), strict=True):
        parts = logs.interleaved(logs.parts_of_topic(late_topic(arrive=arrive), book()), 6)
        found.append(logs.effects(subject, parts))
    assert [judge.counts.late for judge in subjects[0].judges.values()] == [30]
    late = [e.late for e in found[0] if isinstance(e, Metric)]
    assert sum(late) >= 30
    plain = [_not_late(e) for e in found[0]]
    assert plain == found[1]


def _not_late(effect: Alert | Metric) -> Alert | Metric:
    return msgspec.structs.replace(effect, late=0) if isinstance(effect, Metric) else effect


def test_events_within_lateness_are_not_late() -> None:
    log = broken()[:400]
    behind = [Record(e.time_ms + LATENESS_MS - PANE_MS, e) for e in log[::7]]
    spread = logs.topic([e for i, e in enumerate(log) if i % 7], 1, quiet_ms=60_000)
    records = sorted([*spread[0], *behind], key=lambda r: r.record_ms)
    subject = monitor()
    logs.effects(subject, logs.parts_of_topic([records], book())[0])
    (judge,) = subject.judges.values()
    assert (judge.counts.late, judge.counts.judged) == (0, 400)


def test_silence_gives_zero_rates_and_closes_the_open_blocks() -> None:
    spread = logs.topic(broken()[:330], 1, quiet_ms=5_000_000)
    found = logs.effects(monitor(), logs.parts_of_topic(spread, book())[0])
    rates = all_rates(found)
    assert [m.n for m in rates] == [330, 0, 0, 0, 0]
    assert rates[0].mean == pytest.approx(330 / 900)
    assert {e.channel for e in found if isinstance(e, Alert)} == {"rate"}
    values = [m for m in metrics_of(found) if m.channel == "feature:amount" and not m.slice]
    assert sum(m.n for m in values) == 330


def test_the_end_of_a_file_closes_the_open_blocks_and_ends_the_rates() -> None:
    found = logs.judged(broken()[:330], book(), metrics=True)
    assert [m.n for m in all_rates(found)] == [330]
    values = [m for m in metrics_of(found) if m.channel == "feature:amount" and not m.slice]
    assert sum(m.n for m in values) == 330


def test_a_monitor_without_metrics_finds_the_same_alerts() -> None:
    parts = logs.parts_of_file(broken(), book())
    bare = Monitor(book(), SEMANTICS, metrics=False)
    found = logs.effects(bare, parts)
    every = logs.judged(broken(), book(), metrics=True)
    assert found == [e for e in every if not isinstance(e, Metric)]


def test_two_models_are_judged_as_each_alone() -> None:
    toys = seal(msgspec.structs.replace(logs.profile(), model="toys"))
    both = logs.book(logs.profile(), toys)
    mixed = [e for pair in zip(broken(), logs.renamed(broken(), "toys"), strict=True) for e in pair]
    found = logs.judged(mixed, both, metrics=True)
    assert bodies([e for e in found if e.model == "shop"]) == of_file()
    assert len(found) == 2 * sum(of_file().values())


def test_a_partial_of_an_unknown_profile_is_refused_and_named_beforehand() -> None:
    part = logs.parts_of_file(broken()[:10], book())[0]
    strange = Part(part.header, (Entry("shop", "0" * 32, 1, 1, b""),))
    assert monitor().unknown_profiles(strange) == {"0" * 32}
    assert monitor().unknown_profiles(part) == set()
    with pytest.raises(StateRefused, match=r"0{32}, which the control topic does not hold"):
        logs.effects(monitor(), [strange])


def test_alert_ids_and_keys_are_unique_and_the_same_in_every_run() -> None:
    first, second = (logs.alerts(broken(), logs.book(logs.profile())) for _ in range(2))
    assert first == second
    keys = [a.key for a in first]
    assert len(set(keys)) == len(keys) > 0
    assert all(len(a.id) == 32 for a in first)


def test_an_alert_of_another_configuration_has_another_id() -> None:
    parts = logs.parts_of_file(broken(), book())
    other = Monitor(book(), SEMANTICS._replace(config="other"))
    ids = {a.id for a in logs.effects(other, parts) if isinstance(a, Alert)}
    assert ids.isdisjoint(a.id for a in logs.alerts(broken(), book()))


@pytest.mark.parametrize("seed", [101, 102, 103, 104])
def test_a_log_like_its_reference_gives_no_alert(seed: int) -> None:
    log = logs.events(20_000, seed=seed, start_ms=START_MS + 10**9)
    assert logs.alerts(log, book()) == []


@pytest.mark.parametrize(("country", "seed"), [("DE", 7), ("FR", 8), ("US", 9), (None, 10)])
def test_a_shift_of_one_sigma_is_found_soon_where_it_is(country: str | None, seed: int) -> None:
    log = logs.events(9_000, seed=seed, shifts=(Shift(4_000, 1.0, country),))
    found = logs.alerts(log, book())
    assert {a.channel for a in found} == {"feature:amount"}
    assert {tuple(a.slice.values()) for a in found} <= {(), (country,)} or country is None
    blocks = (logs.instant_ms(found[0].time) - log[4_000].time_ms) / 60_000
    assert 0 < blocks <= 25
    assert found[0].detectors[0] == "sr:level"
    assert found[0].direction == "up"


def test_after_a_change_of_profile_only_the_new_one_reports_the_rate() -> None:
    held = logs.book(logs.profile())
    held.add(seal(msgspec.structs.replace(logs.profile(), block_events=60)), START_MS + 1_800_000)
    spread = logs.topic(broken(), 1)
    found = logs.effects(monitor(held), logs.parts_of_topic(spread, held)[0])
    assert set(Counter(m.block.start for m in all_rates(found)).values()) == {1}


def test_a_long_silence_has_the_same_rates_in_a_file_and_in_a_topic_with_ticks() -> None:
    days_ms = 20 * 86_400_000
    early = broken()[:100]
    later = [msgspec.structs.replace(e, time_ms=e.time_ms + days_ms) for e in early]
    first, last = ([Record(e.time_ms, e) for e in half] for half in (early, later))
    ticks = [Record(early[-1].time_ms + i, tick=True) for i in range(600_000, days_ms, 600_000)]
    topic = logs.parts_of_topic([[*first, *ticks, *last]], book())[0]
    of_topic = all_rates(logs.effects(monitor(), topic))
    assert (
        all_rates(logs.judged([*early, *later], book(), metrics=True))[: len(of_topic)] == of_topic
    )


def metrics_of(found: Effects) -> list[Metric]:
    return [e for e in found if isinstance(e, Metric)]


def all_rates(found: Effects) -> list[Metric]:
    """Give the rates over all events."""
    return [m for m in metrics_of(found) if m.channel == "rate" and not m.slice]
