"""The soak in short, and that it finds each kind of leak."""

import asyncio
import mmap
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stream.loops import watch_loop
from stream.records import Records
from tests.soak import __main__ as command
from tests.soak.core import Core, bounds, soak
from tests.soak.traffic import Traffic
from tests.soak.watch import MIB, Sample, problems

STEADY = [Sample(1_000 * i, 200 * MIB, 10, 4, 30, 50, 20_000) for i in range(41)]
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
    assert expected["feature"] == 25_000
    assert expected["segment"] > 15_000
    assert 0.15 < expected["heavy"] / 25_000 < 0.25


def test_what_is_odd_comes_after_the_warm_up() -> None:
    traffic = Traffic(1.0, odd_from=2_000)
    names = [set(re.findall(rb'"(u[0-9]+|f[0-9]+|plan [0-9]+|v[0-9]+)"', value))
             for value in traffic.batch(0, 4_000)]  # fmt: skip
    assert len(set().union(*names[:2_000])) == 21  # ten users and the heavy one, ten features
    assert len(set().union(*names[2_000:])) > 3_500


# Of fewer events, in a process of its own: the allocator of a long session has room for the leak.
SHORT = """
import re, sys
import tests.soak.core
from tests.soak import __main__ as command

users = set()

class Remembering(tests.soak.core.Core):
    def feed(self, partition, records):
        super().feed(partition, records)
        users.update(re.findall(rb'"user":"([^"]+)"', records.buffer.tobytes()))

if sys.argv[1:] == ["remember"]:
    tests.soak.core.Core = Remembering
command.RSS_MAX = command.SLOPE_MAX = 8 << 20
print("GREW:", *command.run_bounds(500_000))
"""


def test_a_set_of_all_users_is_found() -> None:
    # In this order: what the first of them may have to compile leaves memory to the leak.
    for what, complaint in (("", r"GREW:$"), ("remember", "GREW: .*RSS (grew|rises) by")):
        command = [sys.executable, "-c", SHORT, *what.split()]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert re.search(complaint, done.stdout.strip().splitlines()[-1]), done.stdout


kept: list[Any] = []


def keep_bytes(_: Core) -> None:
    # Pages of its own: the allocator of a long session has room enough for a small leak.
    held = mmap.mmap(-1, MIB)
    held.write(b"x" * MIB)
    kept.append(held)


def keep_a_file(_: Core) -> None:
    kept.append(Path("/dev/null").open())  # noqa: SIM115  a leak


def leave_a_task(_: Core) -> None:
    if not kept:
        kept.append(Waiting())
    kept[0].add()


class Waiting:
    """A loop whose tasks nobody runs to their end."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        watch_loop(self._loop)

    def add(self) -> None:
        self._loop.create_task(asyncio.sleep(0))

    def close(self) -> None:
        self._loop.run_until_complete(asyncio.wait(asyncio.all_tasks(self._loop)))
        self._loop.close()


def label_without_end(core: Core) -> None:
    kept.append(None)
    core.series.rejects.labels(str(len(kept)))


@pytest.mark.parametrize(
    ("leak", "complaint"),
    [
        (keep_bytes, "RSS grew by"),
        (keep_a_file, "descriptors grew"),
        (leave_a_task, "tasks grew"),
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
        ("tasks", 1, "tasks grew"),
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
