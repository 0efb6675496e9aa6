"""The lease: what may be read, given and committed between two rebalances."""

import asyncio
from typing import Any

import pytest

from detectors.errors import StateRefused
from stream.lease import Lease, LeaseFlow, no_lease
from stream.records import Records
from stream.role import Commit, Partition

A, B = Partition("in", 0), Partition("in", 1)


class State:
    def __init__(self, highwater: int | None) -> None:
        self.highwater = highwater
        self.timestamp = highwater and 1_000 + highwater


class Assignment:
    """Stand for aiokafka's assignment: the high water marks and their times are asked for."""

    def __init__(self, **highwaters: int | None) -> None:
        self.states = {A: State(highwaters.get("a")), B: State(highwaters.get("b"))}

    def state_value(self, partition: Partition) -> State:
        return self.states[partition]


class Holder:
    def __init__(self, lease: Lease) -> None:
        self.lease = lease


def begun(**changes: Any) -> Lease:
    what: dict[str, Any] = {
        "generation": 1,
        "assignment": Assignment(a=20, b=5),
        "commits": {A: Commit(10, "ten"), B: None},
        "log_start": {A: 3, B: 5},
        "log_end": {A: 20, B: 5},
    }
    lease = Lease(**(what | changes))
    lease.begin({A: 10, B: None})
    return lease


def test_it_begins_where_the_role_says_or_at_the_start_of_the_log() -> None:
    assert begun().position == {A: 10, B: 5}


def test_a_start_behind_the_end_that_was_surveyed_is_named() -> None:
    assert begun().beyond({A: 20, B: None}) == []
    assert begun().beyond({A: 21, B: 5}) == [A]


@pytest.mark.parametrize(
    ("start", "sentence"),
    [
        (2, "in/0: offset 2 is to be read next, but its log now begins at offset 3: 1 offsets"),
        (21, "in/0: offset 21 is to be read next, but its log ends at offset 20"),
    ],
)
def test_an_offset_that_the_log_does_not_hold_is_refused(start: int, sentence: str) -> None:
    with pytest.raises(StateRefused, match=sentence):
        begun().begin({A: start, B: None})


def test_the_ends_of_the_log_themselves_can_be_read() -> None:
    lease = begun()
    lease.begin({A: 3, B: 5})
    lease.begin({A: 20, B: 5})
    assert lease.position[A] == 20


def test_positions_count_holes_as_read_once_nothing_is_undone() -> None:
    lease = begun()
    first, second = lease.envelopes({A: [["r10", "r11"]]}, {A: 12, B: 5}), lease.envelopes
    (envelope,) = first
    assert (lease.given[A], lease.position[A], lease.undone) == (12, 10, 1)
    assert list(second({}, {A: 15, B: 9})) == []
    assert (lease.position[A], lease.position[B]) == (10, 9)
    lease.done(envelope)
    assert (lease.position[A], lease.undone) == (12, 0)
    assert list(second({}, {A: 15, B: 9})) == []
    assert lease.position[A] == 15


def test_each_chunk_of_a_fetch_is_an_envelope_that_ends_where_the_next_begins() -> None:
    lease = begun()
    first, second = Records.of_values([b"a", b"b"]), Records.of_values([b"c"])
    given = list(lease.envelopes({A: [first, second]}, {A: 17}))
    assert [envelope.next_offset for envelope in given] == [2, 17]
    assert (lease.given[A], lease.undone) == (17, 2)
    for envelope in given:
        lease.done(envelope)
    assert (lease.position[A], lease.undone) == (17, 0)


def test_only_progress_is_due() -> None:
    lease = begun()
    list(lease.envelopes({A: [["r10"]]}, {A: 11, B: 5}))
    assert lease.due({}) == {}
    assert lease.due({A: Commit(10, "ten")}) == {}
    assert lease.due({A: Commit(9, "nine")}) == {}
    assert lease.due({A: Commit(10, "anew")}) == {A: Commit(10, "anew")}
    assert lease.due({A: Commit(11, "eleven")}) == {A: Commit(11, "eleven")}
    assert lease.due({B: Commit(5, "")}) == {B: Commit(5, "")}
    assert lease.due({Partition("other", 0): Commit(5, "")}) == {}


def test_a_commit_beyond_what_was_given_is_a_bug() -> None:
    with pytest.raises(ValueError, match="only 10 was reached"):
        begun().due({A: Commit(11, "")})


def test_metadata_over_99_bytes_is_a_bug() -> None:
    lease = begun()
    assert lease.due({A: Commit(10, "x" * 99)})
    with pytest.raises(ValueError, match="over 99 bytes"):
        lease.due({A: Commit(10, "ü" * 50)})


def test_a_role_asks_how_far_it_is() -> None:
    holder = Holder(begun())
    flow = LeaseFlow(holder)
    assert flow.assignment == {A, B}
    assert (flow.position(A), flow.highwater(A), flow.lag(A)) == (10, 20, 10)
    assert (flow.caught_up(A), flow.caught_up(B)) == (False, True)
    assert (flow.log_start(A), flow.polled_ms(A)) == (3, 1_020)
    flow.hold([A])
    assert holder.lease.held == {A}


class Broker:
    """Take the commits of the third attempt; note all of them."""

    def __init__(self, lease: Lease, *, loses: bool = False) -> None:
        self.asked: list[list[Partition]] = []
        self.lease, self.loses, self.consumer = lease, loses, self

    async def commit_in(self, lease: Lease, partitions: list[Partition]) -> bool:
        assert lease is self.lease
        self.asked.append(partitions)
        lease.ended = self.loses and len(self.asked) == 2
        return len(self.asked) == 3


def test_a_commit_is_asked_for_until_it_is_taken_or_the_lease_is_over() -> None:
    takes, loses = Broker(begun()), Broker(begun(), loses=True)
    assert asyncio.run(LeaseFlow(takes).commit(A))
    assert takes.asked == [[A]] * 3
    assert not asyncio.run(LeaseFlow(loses).commit(A))
    assert not asyncio.run(LeaseFlow(loses).commit(A))
    assert loses.asked == [[A]] * 2


def test_before_the_first_fetch_nothing_is_caught_up() -> None:
    flow = LeaseFlow(Holder(begun(assignment=Assignment(a=None, b=None))))
    assert (flow.highwater(A), flow.lag(A), flow.caught_up(A)) == (None, None, False)
    assert flow.polled_ms(A) is None


def test_without_a_lease_there_is_no_partition() -> None:
    flow = LeaseFlow(Holder(no_lease()))
    assert flow.assignment == frozenset()
    assert flow.highwater(A) is None
    assert flow.progress == {}
    with pytest.raises(KeyError):
        flow.position(A)


def test_while_a_role_takes_over_the_commits_say_how_far_it_is() -> None:
    lease = Lease(1, Assignment(), {A: Commit(10, "ten"), B: None}, {A: 3, B: 5}, {A: 20, B: 5})
    flow = LeaseFlow(Holder(lease))
    assert flow.assignment == frozenset()
    assert flow.progress == {A: 10, B: 5}
    lease.begin({A: 7, B: None})
    assert flow.progress == {A: 7, B: 5}
