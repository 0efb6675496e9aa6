"""The verifier finds whatever is wrong with a run, names the place, and finds nothing else.

"Nothing lost, nothing doubled, the same answer" rests on this comparison: in the replay test, in
the simulation and under chaos.  So it is shown to fail.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import cache
from unittest import mock

import msgspec
import orjson
import pytest

from detectors.errors import StateRefused
from detectors.observe import Pane
from detectors.panes import Clock, Header, Part, decode_part
from stream.routing import summaries_partition
from tests.recorded import (
    EVENTS,
    PANE_MS,
    SUMMARIES,
    SWITCH_MS,
    TOPIC,
    Run,
    book,
    live,
    log,
    truth,
)
from tests.simulation.cluster import Record
from tests.verifier import KINDS, Account, LogFacts, Source, Verdict, applied_of, verify

# The partition that faults happen in, and the judge that they come to.
PARTITION = 1
HOME = summaries_partition("shop", SUMMARIES)
Fault = Callable[[], tuple[Account, str]]


@cache
def clean() -> Account:
    return live()


@cache
def undisturbed() -> tuple[Account, Mapping[Source, LogFacts]]:
    return truth(applied_of(clean().states))


def judged(account: Account) -> Verdict:
    """Compare with a run over the same log, as far as the account's judges are."""
    applied = applied_of(account.states)
    told, facts = undisturbed() if applied == applied_of(clean().states) else truth(applied)
    return verify(account, told, facts)


@cache
def panes() -> list[Header]:
    """Give the headers of the partition's panes."""
    parts = (decode_part(value) for _, value in sorted(clean().told["parts"].items()))
    return [
        part.header
        for part in parts
        if part.header.partition == PARTITION and part.header.part == 0 and part.entries
    ]


def middle() -> Header:
    """Choose a pane: with the first profile, and with a neighbour that has no tick either."""
    before = [header for header in panes() if header.w_after < SWITCH_MS - 10 * PANE_MS]
    return before[len(before) // 2]


def place(header: Header) -> str:
    return f"{TOPIC}/{PARTITION} pane at offset {header.a}"


def event_in(header: Header, last: int = -1) -> int:
    """Find an event in a pane, not at its end: its index in the partition's records."""
    found = [
        index
        for index, record in enumerate(log()[PARTITION])
        if header.a <= record.offset < header.o and record.value.startswith(b'{"time"')
    ]
    return found[last]


def reading(change: Callable[[list[Record]], object]) -> Run:
    """Change what observe reads of the partition."""

    def read(number: int, records: list[Record]) -> list[Record]:
        if number == PARTITION:
            change(records)
        return records

    return Run(read=read)


def lost() -> tuple[Account, str]:
    at = event_in(middle())
    return live(reading(lambda records: records.pop(at))), place(middle())


def doubled() -> tuple[Account, str]:
    at = event_in(middle())
    return live(reading(lambda records: records.insert(at, records[at]))), place(middle())


def swap(one: int, other: int) -> Run:
    def swapped(records: list[Record]) -> None:
        values = records[one].value, records[other].value
        records[other] = records[other]._replace(value=values[0])
        records[one] = records[one]._replace(value=values[1])

    return reading(swapped)


def swapped() -> tuple[Account, str]:
    after = panes()[panes().index(middle()) + 1]
    return live(swap(event_in(middle()), event_in(after))), place(middle())


def altered() -> tuple[Account, str]:
    at = event_in(middle())

    def alter(records: list[Record]) -> None:
        fields = orjson.loads(records[at].value)
        fields["features"]["amount"] *= 1.01
        records[at] = records[at]._replace(value=orjson.dumps(fields))

    return live(reading(alter)), place(middle())


def one_bit_of_state() -> tuple[Account, str]:
    account = deepcopy(clean())
    term, model = next(iter(account.states[HOME].models.items()))
    name = max(model.arrays, key=lambda one: model.arrays[one].size)
    array = model.arrays[name]
    index = tuple(size // 2 for size in array.shape)
    bits = array[index].tobytes()
    array[index] = type(array[index])(
        memoryview(bytes([bits[0] ^ 1]) + bits[1:]).cast(array.dtype.char)[0]
    )
    return account, f"state of summaries/{HOME}.models[{term}].arrays[{name}]{list(index)}"


def alert_missing() -> tuple[Account, str]:
    account = deepcopy(clean())
    key = sorted(account.told["alerts"])[1]
    del account.told["alerts"][key]
    return account, f"alert {key}: missing"


def sending(entries: int) -> Run:
    """Give the judge a pane's partials so many times."""

    def sent(_: int, part: Part) -> list[Part]:
        if part.header.a == middle().a and part.header.partition == PARTITION:
            return [Part(part.header, part.entries * entries)]
        return [part]

    return Run(sent=sent)


def pane_dropped() -> tuple[Account, str]:
    return live(sending(0)), place(middle())


def pane_applied_twice() -> tuple[Account, str]:
    return live(sending(2)), place(middle())


def w_off_by_one() -> tuple[Account, str]:
    taken_up: list[Header] = []

    def clock(pane: Pane) -> Clock:
        if pane.header.partition == PARTITION and not taken_up:
            taken_up.append(pane.header)
            return msgspec.structs.replace(pane.clock, w=pane.clock.w + 1)
        return pane.clock

    account = live(Run(clock=clock))
    return account, f"{TOPIC}/{PARTITION} pane at offset {taken_up[0].o + 1}"


def tick_missing() -> tuple[Account, str]:
    at = next(
        index
        for index, record in enumerate(log()[PARTITION])
        if record.headers and record.offset > middle().o
    )
    offset = log()[PARTITION][at].offset
    ended = next(header for header in panes() if header.o >= offset)
    return live(reading(lambda records: records.pop(at))), place(ended)


def profile_one_pane_late() -> tuple[Account, str]:
    late = Run(book=lambda n: book(SWITCH_MS + PANE_MS) if n == PARTITION else book())
    first = next(header for header in panes() if header.w_after >= SWITCH_MS)
    return live(late), place(first)


FAULTS: dict[str, tuple[Fault, int | None, int | None]] = {
    "1 event lost": (lost, 1, 0),
    "1 event doubled": (doubled, 0, 1),
    "1 event swapped": (swapped, 0, 0),
    "1 event altered": (altered, 0, 0),
    "1 bit of state": (one_bit_of_state, 0, 0),
    "1 alert missing": (alert_missing, 0, 0),
    "pane dropped": (pane_dropped, None, 0),
    "pane applied twice": (pane_applied_twice, 0, None),
    "W off by one": (w_off_by_one, 0, 0),
    "tick missing": (tick_missing, None, None),
    "profile one pane late": (profile_one_pane_late, None, None),
}


def test_with_nothing_broken_it_compares_everything_and_finds_nothing() -> None:
    verdict = judged(clean())
    assert verdict.first == ""
    assert (verdict.lost, verdict.doubled, verdict.state_differs) == (0, 0, False)
    assert verdict.compared["events"] == EVENTS
    assert min(verdict.compared.values()) > 0


@pytest.mark.parametrize("name", FAULTS)
def test_it_names_the_place_of(name: str) -> None:
    fault, events_lost, events_doubled = FAULTS[name]
    account, where = fault()
    verdict = judged(account)
    assert any(where in one for one in verdict.differences), (where, verdict.first)
    assert "more" not in "".join(one for one in verdict.differences if "unjudged" in one)
    if events_lost is not None:
        assert verdict.lost == events_lost
    if events_doubled is not None:
        assert verdict.doubled == events_doubled


def test_a_dropped_pane_costs_its_events_and_the_judge_refuses_what_follows_it() -> None:
    account, _ = pane_dropped()
    assert judged(account).lost == middle().accepted
    gone = Run(sent=lambda _, part: [] if part.header.a == middle().a else [part])
    with pytest.raises(StateRefused, match=rf"Offsets {middle().a} to .* are missing"):
        live(gone)
    with mock.patch("detectors.order._check_contiguous"):
        assert judged(live(gone)).lost >= middle().accepted


def test_the_order_of_two_events_within_a_pane_and_bucket_changes_nothing() -> None:
    assert judged(live(swap(event_in(middle(), 1), event_in(middle(), 2)))).first == ""


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_comparison_is_a_finding(kind: str) -> None:
    account, told = deepcopy(clean()), deepcopy(undisturbed()[0])
    account.told[kind], told.told[kind] = {}, {}
    assert f"0 {kind} compared" in verify(account, told, undisturbed()[1]).differences


def test_two_contents_at_one_place_are_a_finding_and_a_repeat_is_none() -> None:
    account = deepcopy(clean())
    key, value = next(iter(account.told["metrics"].items()))
    account.add("metrics", key, bytes(value))
    assert judged(account).first == ""
    account.add("metrics", key, value + b" ")
    assert f"metric {key}: told twice" in judged(account).first
    assert account.repeats["metrics"] >= 1
