"""The soak in short, and that it finds each kind of leak."""

import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stream.records import Records
from tests.soak import __main__ as command
from tests.soak.core import Core, bounds, soak
from tests.soak.watch import MIB, Sample, problems

STEADY = [Sample(1_000 * i, 200 * MIB, 10, 4, 50, 20_000) for i in range(41)]
# The first of them may compile the scanner.
pytestmark = pytest.mark.timeout(600)
RSS_MAX, SLOPE_MAX = 64 * MIB, 16 * MIB


def silent(_: str) -> None:
    pass


def test_nothing_grows_in_the_core_and_every_record_is_counted() -> None:
    run, found = soak(40_000, silent)
    assert problems(run.samples, RSS_MAX, SLOPE_MAX) == []
    expected = command.core_counts(run, found)
    assert command.counted("core", found, expected) == []
    assert min(expected.values()) > 0


def test_names_and_values_without_end_are_folded_and_counted() -> None:
    run, found, expected = bounds(20_000, silent)
    assert problems(run.samples, RSS_MAX, SLOPE_MAX) == []
    assert {name: found[name] for name in expected} == dict(expected)
    assert expected["feature"] == 20_000
    assert expected["segment"] > 15_000
    assert 0.15 < expected["heavy"] / 20_000 < 0.25


kept: list[Any] = []


def keep_bytes(_: Core) -> None:
    # Pages of its own: the allocator of a long session has room enough for a small leak.
    held = mmap.mmap(-1, MIB)
    held.write(b"x" * MIB)
    kept.append(held)


def keep_a_file(_: Core) -> None:
    kept.append(Path("/dev/null").open())  # noqa: SIM115  a leak


def label_without_end(core: Core) -> None:
    kept.append(None)
    core.series.rejects.labels(str(len(kept)))


@pytest.mark.parametrize(
    ("leak", "complaint"),
    [
        (keep_bytes, "RSS grew by"),
        (keep_a_file, "descriptors grew"),
        (label_without_end, "series grew"),
    ],
)
def test_a_leak_that_is_put_into_the_core_is_found(
    monkeypatch: pytest.MonkeyPatch, leak: Callable[[Core], None], complaint: str
) -> None:
    class Leaking(Core):
        def feed(self, partition: int, records: Records) -> None:
            super().feed(partition, records)
            leak(self)

    monkeypatch.setattr("tests.soak.core.Core", Leaking)
    try:
        run, _ = soak(100_000, silent)
    finally:
        for one in filter(None, kept):
            getattr(one, "close", lambda: None)()
        kept.clear()
    assert any(complaint in text for text in problems(run.samples, RSS_MAX, SLOPE_MAX))


@pytest.mark.parametrize(
    ("field", "growth", "complaint"),
    [
        ("rss", 3 * MIB, "RSS grew by 96.0 MiB"),
        ("rss", MIB, "RSS rises by 32.0 MiB"),
        ("descriptors", 1, "descriptors grew"),
        ("threads", 1, "threads grew"),
        ("series", 1, "series grew"),
        ("state_bytes", 1_000, "the state grew"),
    ],
)
def test_what_grows_is_named(field: str, growth: int, complaint: str) -> None:
    assert problems(STEADY, RSS_MAX, SLOPE_MAX) == []
    grown = [s._replace(**{field: getattr(s, field) + growth * i}) for i, s in enumerate(STEADY)]
    assert any(complaint in text for text in problems(grown, RSS_MAX, SLOPE_MAX))


def test_a_connection_that_comes_and_goes_is_no_leak() -> None:
    once = [s._replace(descriptors=11 if i == 35 else 10) for i, s in enumerate(STEADY)]
    assert problems(once, RSS_MAX, SLOPE_MAX) == []


def test_an_event_that_is_not_counted_is_named() -> None:
    found = command.Counter(read=999)
    assert command.counted("core", found, command.Counter(read=1_000)) == [
        "core: 999 read, not 1,000"
    ]
