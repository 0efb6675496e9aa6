"""The guilty record is found by halves, and is a reject from then on; nothing else changes."""

import os
import signal
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.errors import ConfigError
from stream.batching import batch_of
from stream.bisect import apart, guilty
from stream.config import Config
from stream.records import Records
from tests.live import as_json
from tests.logs import START_MS, events
from tests.simulation.cluster import Record

N = 40


@cache
def records() -> Records:
    """Give events, with something that is none among them, at offsets with holes."""
    values = [as_json(event) for event in events(N, seed=2)]
    values[7] = b"{"
    return Records.of(
        [Record("e", 0, 3 * i, START_MS + i * 1_000, 1, None, v, ()) for i, v in enumerate(values)]
    )


@settings(max_examples=25)
@given(st.sets(st.integers(0, N - 1)))
def test_whichever_records_kill_are_found_and_no_other(bad: set[int]) -> None:
    def attempt(some: Records) -> None:
        if bad & {int(offset) // 3 for offset in some.offsets}:
            raise ZeroDivisionError

    assert guilty(records(), attempt) == [3 * i for i in sorted(bad)]


def test_what_no_record_does_alone_is_no_records_guilt() -> None:
    def attempt(some: Records) -> None:
        if len(some) > 1:
            raise MemoryError

    with pytest.raises(MemoryError):
        guilty(records(), attempt)


def test_our_own_refusal_is_no_guilt() -> None:
    def attempt(_: Records) -> None:
        raise ConfigError("No.")

    with pytest.raises(ConfigError):
        guilty(records(), attempt)


@settings(max_examples=25)
@given(st.sets(st.integers(0, N - 1)))
def test_a_record_in_quarantine_is_a_reject_and_the_others_are_what_they_were(
    bad: set[int],
) -> None:
    plain = batch_of(records(), Config())
    found = batch_of(records(), Config(), quarantined={3 * i for i in bad} | {1, 1_000})
    codes = dict(zip(plain.reject_rows.tolist(), plain.reject_codes, strict=True))
    assert codes == {7: "json"}
    codes |= dict.fromkeys(bad, "quarantine")
    assert list(zip(found.reject_rows.tolist(), found.reject_codes, strict=True)) == sorted(
        codes.items()
    )
    kept = [i for i, row in enumerate(plain.event_rows.tolist()) if row not in bad]
    assert found.event_rows.tolist() == plain.event_rows[kept].tolist()
    assert found.events == [plain.events[i] for i in kept]
    assert not found.ticks.any()
    assert all(np.array_equal(getattr(found, f), getattr(plain, f)) for f in ("offsets", "ticks"))


def test_where_too_many_are_guilty_none_is() -> None:
    def attempt(_: Records) -> None:
        raise ImportError

    assert len(guilty(records(), attempt, N)) == N
    with pytest.raises(ImportError):
        guilty(records(), attempt, N - 1)


@pytest.mark.parametrize(
    ("number", "found"), [(signal.SIGSEGV, [63]), (signal.SIGABRT, [63]), (signal.SIGKILL, [])]
)
def test_a_fault_is_met_in_a_process_of_its_own(number: signal.Signals, found: list[int]) -> None:
    parent = os.getpid()

    def attempt(some: Records) -> None:
        if os.getpid() != parent and 63 in some.offsets:
            os.kill(os.getpid(), number)

    assert guilty(records(), apart(attempt)) == found


def test_an_exception_in_the_other_process_is_one_here() -> None:
    def attempt(some: Records) -> None:
        if 63 in some.offsets:
            raise ZeroDivisionError

    assert guilty(records(), apart(attempt)) == [63]
