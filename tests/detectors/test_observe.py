"""Observe: the panes of a partition are the same in any batching, and count every record."""

from collections.abc import Sequence
from itertools import pairwise

import logs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import START_MS, Record

from detectors.events import Event
from detectors.layout import layout_of
from detectors.observe import FILE_PANE_ROWS, OTHER_MODELS, Observer, Pane
from detectors.panes import FOREVER, UNSET, Clock, End
from detectors.profile import Profile, ProfileBook, seal
from detectors.summary.cells import Moments, add_cell


def observer(book: ProfileBook | None = None) -> Observer:
    return Observer(("events", 0, 1), book or logs.book(logs.profile()), logs.PANE_MS)


def mixed_log() -> list[Record]:
    """Mix two models, one without a profile, rejects and ticks."""
    shop = [Record(e.time_ms + 40, e) for e in logs.events(60, seed=3, step_ms=700)]
    other = [
        Record(r.record_ms + 1, e)
        for r, e in zip(shop, logs.renamed(_of(shop), "toys"), strict=True)
    ]
    bad = [
        Record(START_MS + i * 3_100, reject=code)
        for i, code in enumerate(("json", "empty", "json"))
    ]
    ticks = [Record(START_MS + 42_000 + i * 2_000, tick=True) for i in range(3)]
    return sorted([*shop, *other[::2], *bad, *ticks], key=lambda r: r.record_ms)


def _of(records: Sequence[Record]) -> list[Event]:
    return [r.event for r in records if r.event is not None]


@given(st.lists(st.integers(0, len(mixed_log())), max_size=6))
def test_any_batching_gives_the_same_panes_to_the_byte(bounds: list[int]) -> None:
    whole = logs.panes(mixed_log(), observer())
    assert logs.panes(mixed_log(), observer(), sorted(bounds)) == whole


def test_a_restart_at_any_pane_gives_the_same_panes() -> None:
    records = mixed_log()
    whole = logs.panes(records, observer())
    for k, pane in enumerate(whole[:-1], 1):
        again = observer()
        again.start(pane.header.o + 1, Clock.read(pane.clock.render()))
        batch = logs.batch(records[pane.header.o + 1 :], pane.header.o + 1)
        assert again.feed(batch) == whole[k:]


def ended_by_clocks(records: Sequence[Record], stops: dict[int, int]) -> list[Pane]:
    """Observe; end the pane that is open behind `stops` records so many ms after the last."""
    one, panes, low = observer(), [], 0
    for high in [*sorted(stops), len(records)]:
        panes += one.feed(logs.batch(records[low:high], low)) if high > low else []
        for wait_ms in (stops.get(high, 0), 2 * stops.get(high, 0)):
            pane = one.tick(max(one.clock.r, START_MS) + wait_ms)
            panes += [pane] if pane else []
        low = high
    return panes


STOPS = st.dictionaries(st.integers(0, len(mixed_log())), st.sampled_from([1, 900, 2_000, 30_000]))


@given(STOPS, st.lists(st.integers(0, len(mixed_log())), max_size=4))
def test_a_restart_repeats_the_pane_that_a_clock_ended(
    stops: dict[int, int], bounds: list[int]
) -> None:
    records = [r for r in mixed_log() if not r.tick]
    panes = ended_by_clocks(records, {at: ms for at, ms in stops.items() if at <= len(records)})
    for pane in panes:
        header, again = pane.header, observer()
        metadata = pane.before.render(End(header.o, pane.clock.r))
        again.start(header.a, Clock.read(metadata), End.read(metadata))
        first, told = header.a, []
        for bound in [*sorted(b for b in bounds if first < b < len(records)), len(records)]:
            told += again.feed(logs.batch(records[first:bound], first)) if bound > first else []
            first = max(first, bound)
        # An empty one is due at once; nothing else is, before its records are there.
        told = told or [again.tick(0)]
        assert told[0] == pane


def test_panes_that_clocks_end_follow_one_another_and_w_passes_as_with_a_tick() -> None:
    records = [r for r in mixed_log() if not r.tick]
    panes = ended_by_clocks(records, {0: 5_000, 7: 2_000, 8: 2_000, len(records): 4_000})
    assert [p.header.o - p.header.a + 1 for p in panes].count(0) >= 3
    for one, after in pairwise(panes):
        assert after.header.a == one.header.o + 1
        assert after.before == one.clock
        assert after.header.number > one.header.number
    assert sum(p.header.read for p in panes) == len(records)
    last, before = panes[-1], panes[-2]
    passed = last.clock.r - before.clock.r
    assert passed >= logs.PANE_MS
    assert last.clock.w - before.clock.w == passed


def test_a_clock_ends_no_pane_before_the_last_one_is_over() -> None:
    one = observer()
    one.feed(logs.batch([Record(START_MS, tick=True)], 0))
    for wait_ms in (-60_000, 0, logs.PANE_MS - 1):
        assert one.tick(START_MS + wait_ms) is None
    assert one.tick(START_MS + logs.PANE_MS) is not None


def test_panes_follow_one_another_without_a_gap() -> None:
    panes = logs.panes(mixed_log(), observer())
    assert panes[0].header.a == 0
    for before, after in pairwise(p.header for p in panes):
        assert after.a == before.o + 1
        assert after.w_before == before.w_after


def test_every_record_is_counted_once_as_what_it_is() -> None:
    headers = [p.header for p in logs.panes(mixed_log(), observer())]
    ticks = 3
    assert sum(h.read for h in headers) == len(mixed_log())
    assert sum(h.accepted for h in headers) == 90
    rejected = [h.rejected for h in headers]
    assert sum(r.get("json", 0) for r in rejected) == 2
    assert sum(r.get("empty", 0) for r in rejected) == 1
    for h in headers:
        assert h.read - h.accepted - sum(h.rejected.values()) in {0, 1}
    assert sum(h.read - h.accepted for h in headers) == 3 + ticks


def test_events_of_a_model_without_a_profile_are_counted_and_in_no_cell() -> None:
    panes = logs.panes(mixed_log(), observer())
    assert sum(p.header.unprofiled for p in panes) == 30
    assert sum(p.unprofiled["toys"] for p in panes) == 30
    assert {entry.model for p in panes for entry in p.entries} == {"shop"}
    assert sum(entry.events for p in panes for entry in p.entries) == 60


def test_two_models_give_the_same_cells_as_each_alone() -> None:
    toys = seal(msgspec.structs.replace(logs.profile(), model="toys"))
    both = logs.panes(mixed_log(), observer(logs.book(logs.profile(), toys)))
    alone = logs.panes(mixed_log(), observer(logs.book(toys)))
    cells = [[e for e in p.entries if e.model == "toys"] for p in both]
    assert cells == [list(p.entries) for p in alone]
    assert sum(e.events for pane in cells for e in pane) == 30


def test_the_cells_of_a_pane_are_in_the_order_of_their_profiles() -> None:
    names = ("shop", "toys", "cars", "food")
    book = logs.book(*(seal(msgspec.structs.replace(logs.profile(), model=name)) for name in names))
    records = [Record(START_MS, e) for name in names for e in logs.renamed(logs.events(3), name)]
    (_, pane) = logs.panes([*records, Record(START_MS, tick=True)], observer(book))
    hashes = [e.profile for e in pane.entries]
    assert len(set(hashes)) == len(names)
    assert hashes == sorted(hashes)


def test_the_profile_in_force_is_chosen_by_the_events_own_time() -> None:
    old, new = logs.profile(), renewed()
    border = START_MS + 30_000
    book = logs.book(old)
    book.add(new, border)
    entries = entries_of(logs.panes(mixed_log(), observer(book)))
    assert {e.profile for e in entries} == {old.hash, new.hash}
    for e in entries:
        assert (e.bucket * old.bucket_ms >= border) == (e.profile == new.hash)


def test_events_before_the_first_profile_are_unprofiled() -> None:
    book = ProfileBook()
    book.add(logs.profile(), START_MS + 30_000)
    panes = logs.panes(mixed_log(), observer(book))
    early = sum(e.model == "shop" and e.time_ms < START_MS + 30_000 for e in _of(mixed_log()))
    assert sum(p.unprofiled["shop"] for p in panes) == early > 0


def test_a_cell_counts_the_events_of_its_bucket() -> None:
    records = mixed_log()
    profile = logs.profile()
    layout = layout_of(profile)
    amount = [c.name for c in profile.channels].index("feature:amount")
    low, high = layout.first_bin[amount : amount + 2]
    seen: dict[int, int] = {}
    for entry in entries_of(logs.panes(records, observer())):
        moments = Moments.zeros(layout)
        add_cell(entry.data, layout, moments)
        seen[entry.bucket] = seen.get(entry.bucket, 0) + int(moments.counts[0, low:high].sum())
    expected: dict[int, int] = {}
    for e in _of(records):
        if e.model == "shop":
            expected[e.time_ms // profile.bucket_ms] = (
                expected.get(e.time_ms // profile.bucket_ms, 0) + 1
            )
    assert seen == expected


@pytest.mark.parametrize("bounds", [[], [1], [FILE_PANE_ROWS - 1, FILE_PANE_ROWS], [70_000]])
def test_a_file_without_record_times_is_cut_by_rows(bounds: list[int]) -> None:
    one = logs.events(1, seed=1)[0]
    records = [Record(UNSET, one)] * (2 * FILE_PANE_ROWS + 5)
    watch = observer()
    panes = [*logs.panes(records, watch, bounds, timed=False), watch.finish(len(records) - 1)]
    ends = [(p.header.a, p.header.o, p.header.number) for p in panes]
    k = FILE_PANE_ROWS
    assert ends == [(0, k - 1, 0), (k, 2 * k - 1, 1), (2 * k, 2 * k + 4, FOREVER)]


def test_w_in_a_file_rests_on_event_times_alone_and_ends_at_forever() -> None:
    log = logs.events(10, seed=1)
    records = [Record(UNSET, e) for e in (*log[5:], *log[:5])]
    watch = observer()
    logs.panes(records, watch, timed=False)
    assert watch.clock == Clock(log[-1].time_ms, UNSET, UNSET)
    assert watch.finish(9).header.w_after == FOREVER


def test_an_empty_file_is_one_empty_pane() -> None:
    pane = observer().finish(-1)
    assert (pane.header.a, pane.header.o, pane.header.read) == (0, -1, 0)
    assert pane.entries == ()


def test_an_observer_keeps_nothing_of_a_pane_it_has_given() -> None:
    watch = observer()
    last = logs.panes(mixed_log(), watch)[-1]
    assert watch.caught_up_to == last.header.o + 1


def test_only_so_many_models_without_a_profile_are_named() -> None:
    one = logs.events(1)[0]
    strangers = [e for i in range(1_000) for e in logs.renamed([one, one], f"model {i}")]
    records = [*(Record(START_MS, e) for e in (one, *strangers)), Record(START_MS, tick=True)]
    (_, pane) = logs.panes(records, observer())
    assert len(pane.unprofiled) == 101
    assert pane.unprofiled[OTHER_MODELS] == 2 * 900
    assert pane.header.unprofiled == 2_000


def test_what_the_profile_does_not_name_is_counted_by_pane() -> None:
    strange = msgspec.structs.replace(logs.events(1)[0], features={"a": 1.0, "b": 2.0})
    records = [Record(START_MS + i * 700, strange) for i in range(9)]
    panes = logs.panes([*records, Record(START_MS + 8_000, tick=True)], observer())
    assert [p.folded["feature"] for p in panes] == [2, 6, 6, 4]
    assert [p.header.accepted for p in panes] == [1, 3, 3, 2]


def renewed() -> Profile:
    return seal(msgspec.structs.replace(logs.profile(), block_events=60))


def entries_of(panes: Sequence[Pane]) -> list:
    return [entry for pane in panes for entry in pane.entries]
