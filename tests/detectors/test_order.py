"""Order: panes count once, in the one order that the log prescribes, or not at all."""

from collections.abc import Sequence

import logs
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.errors import StateRefused
from detectors.order import OrderedPane, PaneOrder, Source
from detectors.panes import UNSET, Entry, Header, Part

Applied = list[tuple[int, int, int]]


def part(partition: int = 0, a: int = 0, o: int = 9, number: int = 0, **more: int) -> Part:
    defaults = {
        "partitions": 1,
        "w_before": UNSET,
        "w_after": 1_000 * number,
        "read": 1,
        "accepted": 0,
    }
    header = Header(
        topic="events", partition=partition, a=a, o=o, number=number, **(defaults | more)
    )
    return Part(header, (Entry("shop", "abc", number, 1, bytes([header.part])),))


def offered(order: PaneOrder, parts: Sequence[Part]) -> list[OrderedPane]:
    applied = []
    for one in parts:
        for panes in order.offer(one):
            applied += panes
            for pane in panes:
                order.advance(pane.header)
    return applied


def names(panes: Sequence[OrderedPane]) -> Applied:
    return [(p.header.number, p.header.partition, p.header.a) for p in panes]


@st.composite
def partition_logs(draw: st.DrawFn) -> list[list[Part]]:
    """Draw each partition's panes: some cross into a new number, some do not, some have parts."""
    partitions = draw(st.integers(1, 4))
    found = []
    for p in range(partitions):
        at, number, log = draw(st.integers(0, 5)), draw(st.integers(0, 3)), []
        for _ in range(draw(st.integers(1, 7))):
            number += draw(st.sampled_from([0, 0, 1, 1, 2, 5]))
            length = draw(st.integers(1, 3))
            parts = draw(st.sampled_from([1, 1, 1, 2, 3]))
            span = {"a": at, "o": at + length - 1, "number": number}
            log += [
                part(p, **span, partitions=partitions, part=i, parts=parts) for i in range(parts)
            ]
            at += length
        found.append(log)
    return found


def with_repeats(log: Sequence[Part], seed: int) -> list[Part]:
    """Repeat runs of parts, as a worker does that was killed before its commit."""
    draw = np.random.default_rng(seed)
    repeated: list[Part] = []
    for i, one in enumerate(log):
        repeated.append(one)
        if draw.random() < 0.3:
            back = next(j for j in range(i, -1, -1) if log[j].header.part == 0)
            repeated += log[back : i + 1]
    return repeated


@given(partition_logs(), st.integers(0, 1_000))
def test_any_interleaving_gives_the_same_panes_in_the_same_order(
    log: list[list[Part]], seed: int
) -> None:
    first, second = PaneOrder(), PaneOrder()
    expected = offered(first, [one for partition in log for one in partition])
    assert offered(second, logs.interleaved(log, seed)) == expected
    assert second.sources == first.sources
    assert second.horizon() == first.horizon()


@given(partition_logs(), st.integers(0, 1_000))
def test_repeats_change_nothing(log: list[list[Part]], seed: int) -> None:
    first, second = PaneOrder(), PaneOrder()
    expected = offered(first, logs.interleaved(log, seed))
    noisy = [with_repeats(partition, seed + p) for p, partition in enumerate(log)]
    assert offered(second, logs.interleaved(noisy, seed)) == expected
    assert second.sources == first.sources


@given(partition_logs(), st.integers(0, 1_000))
def test_panes_are_applied_by_number_partition_and_offset(log: list[list[Part]], seed: int) -> None:
    applied = names(offered(PaneOrder(), logs.interleaved(log, seed)))
    order = [(crossing_number(log[p], a), p, a) for _, p, a in applied]
    assert order == sorted(order)


def crossing_number(log: Sequence[Part], a: int) -> int:
    """Say with which number a pane counts: the first at or behind it that crossed."""
    highest = UNSET
    for one in log:
        crossed = one.header.number > highest
        highest = max(highest, one.header.number)
        if one.header.a >= a and crossed and one.header.part == 0:
            return one.header.number
    raise AssertionError("a pane was applied before its number was known")


@given(partition_logs(), st.integers(0, 1_000), st.data())
def test_a_snapshot_in_mid_stream_goes_on_identically(
    log: list[list[Part]], seed: int, data: st.DataObject
) -> None:
    parts = logs.interleaved(log, seed)
    at = data.draw(st.integers(0, len(parts)))
    whole = PaneOrder()
    offered(whole, parts[:at])
    content = msgspec.msgpack.encode(whole.sources)
    restored = PaneOrder(msgspec.msgpack.decode(content, type=list[Source]))
    assert offered(restored, parts[at:]) == offered(whole, parts[at:])
    assert restored.sources == whole.sources


def test_a_snapshot_is_not_changed_by_later_panes() -> None:
    order = PaneOrder()
    offered(order, [part(0, 0, 4, 1, partitions=2), part(0, 5, 6, 1, partitions=2)])
    state = order.sources
    content = msgspec.msgpack.encode(state)
    offered(order, [part(0, 7, 8, 2, partitions=2), part(1, 0, 8, 3, partitions=2)])
    assert msgspec.msgpack.encode(state) == content


def test_a_number_waits_until_every_partition_has_crossed_into_it() -> None:
    order = PaneOrder()
    assert offered(order, [part(0, 0, 4, 5, partitions=2)]) == []
    assert names(offered(order, [part(1, 0, 4, 4, partitions=2)])) == [(4, 1, 0)]
    assert names(offered(order, [part(1, 5, 6, 5, partitions=2)])) == [(5, 0, 0), (5, 1, 5)]


def test_a_pane_that_did_not_cross_counts_with_the_next_one_that_does() -> None:
    order = PaneOrder()
    log = [part(0, 0, 4, 1), part(0, 5, 6, 1), part(0, 7, 8, 1), part(0, 9, 9, 3)]
    seen = [names(offered(order, [one])) for one in log]
    assert seen == [[(1, 0, 0)], [], [], [(1, 0, 5), (1, 0, 7), (3, 0, 9)]]


def test_an_unknown_partition_may_start_anywhere() -> None:
    assert names(offered(PaneOrder(), [part(a=4711, o=4712)])) == [(0, 0, 4711)]


def test_a_gap_is_refused_with_both_offsets() -> None:
    order = PaneOrder()
    offered(order, [part(a=0, o=9)])
    with pytest.raises(
        StateRefused, match=r"Offsets 10 to 11 of events\[0\] are missing.* 12, not 10"
    ):
        offered(order, [part(a=12, o=15, number=1)])


@pytest.mark.parametrize(("a", "o"), [(5, 12), (0, 10), (9, 10)])
def test_a_pane_that_was_cut_again_is_refused_with_its_offsets(a: int, o: int) -> None:
    order = PaneOrder()
    offered(order, [part(a=0, o=9)])
    message = rf"events\[0\] was cut again: a pane covers offsets {a} to {o}, but .* below 10"
    with pytest.raises(StateRefused, match=message):
        offered(order, [part(a=a, o=o, number=1)])


def test_a_part_of_a_longer_pane_is_not_taken_for_the_rest_of_a_shorter_one() -> None:
    order = PaneOrder()
    offered(order, [part(a=0, o=9, part=0, parts=2)])
    with pytest.raises(StateRefused, match=r"Offsets 0 to 19 of events\[0\] were cut again"):
        offered(order, [part(a=0, o=19, part=1, parts=2)])


@pytest.mark.parametrize("before", [[], [0]])
def test_a_lost_part_is_refused(before: list[int]) -> None:
    order = PaneOrder()
    offered(order, [part(part=i, parts=3) for i in before])
    with pytest.raises(StateRefused, match=rf"part {len(before)} of 3 is missing"):
        offered(order, [part(part=2, parts=3)])


def test_a_pane_is_applied_only_when_all_its_parts_are_there() -> None:
    order = PaneOrder()
    assert offered(order, [part(part=i, parts=3) for i in (0, 0, 1, 0, 1)]) == []
    (pane,) = offered(order, [part(part=2, parts=3)])
    assert [one.header.part for one in pane.parts] == [0, 1, 2]


@pytest.mark.parametrize("partition", [0, 1, 4])
def test_a_changed_number_of_partitions_is_refused(partition: int) -> None:
    order = PaneOrder()
    offered(order, [part(0, partitions=4), part(1, partitions=4)])
    with pytest.raises(StateRefused, match="had 4 partitions and now has 8"):
        offered(order, [part(partition, a=10, o=12, number=1, partitions=8)])


def test_a_repeated_empty_pane_is_no_cut() -> None:
    order = PaneOrder()
    offered(order, [part(a=0, o=9), part(a=10, o=9, number=1), part(a=10, o=14, number=2)])
    assert offered(order, [part(a=10, o=9, number=1)]) == []


def test_empty_panes_count_once_each_and_time_passes_with_them() -> None:
    panes = [part(a=0, o=9, number=1, w_after=100)]
    panes += [part(a=10, o=9, number=n, w_after=100 * n) for n in (2, 3, 5)]
    panes += [part(a=10, o=12, number=6, w_after=600)]
    once = PaneOrder()
    applied = [names(offered(once, [one])) for one in panes]
    assert applied == [[(1, 0, 0)], [(2, 0, 10)], [(3, 0, 10)], [(5, 0, 10)], [(6, 0, 10)]]
    again = PaneOrder()
    for until in range(len(panes)):
        assert names(offered(again, panes[: until + 1])) == applied[until]
    assert again.sources == once.sources


def test_an_empty_pane_that_comes_late_is_dropped_between_the_parts_of_the_next_one() -> None:
    order, late = PaneOrder(), part(a=10, o=9, number=2)
    offered(order, [part(a=0, o=9, number=1), late, part(a=10, o=12, number=3, part=0, parts=2)])
    assert offered(order, [late]) == []
    assert names(offered(order, [part(a=10, o=12, number=3, part=1, parts=2)])) == [(3, 0, 10)]


def test_the_horizon_is_the_slowest_w_of_those_that_ever_had_an_event() -> None:
    order = PaneOrder()
    assert order.horizon() == UNSET
    two = {"partitions": 2}
    offered(order, [part(0, 0, 4, 1, **two, w_after=700), part(1, 0, 4, 1, **two, w_after=UNSET)])
    assert order.horizon() == 700
    offered(order, [part(0, 5, 6, 2, **two, w_after=900), part(1, 5, 6, 2, **two, w_after=800)])
    assert order.horizon() == 800


def test_panes_that_wait_can_be_counted() -> None:
    order = PaneOrder()
    offered(order, [part(0, 0, 4, 5, partitions=2), part(0, 5, 6, 6, partitions=2)])
    assert len(order.pending()) == 2


def test_the_partition_that_is_waited_for_has_a_name() -> None:
    order, two = PaneOrder(), {"partitions": 2}
    assert order.awaited() == ("", UNSET)
    offered(order, [part(0, 0, 4, 5, **two)])
    assert order.awaited() == ("events[1]", UNSET)
    offered(order, [part(1, 0, 4, 6, **two)])
    assert order.awaited() == ("events[0]", 5)
    offered(order, [part(0, 5, 6, 6, **two)])
    assert order.awaited() == ("", UNSET)
