"""Owners of a partition, stale or present, cut off at any record: none spoils another's."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from itertools import count, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.errors import SnapshotCorrupt
from detectors.monitor import MonitorState
from detectors.order import Source
from stream.checkpoint import Checkpoints, restore


class Shelf:
    """Be the state topic: `left` records are taken, and then the process is dead."""

    def __init__(self, records: dict[str, bytes], left: int = 1 << 30) -> None:
        self.records = records
        self.left = left

    async def send(self, _: str, key: bytes, value: bytes | None, __: int) -> None:
        await asyncio.sleep(0)
        if not self.left:
            raise ConnectionError
        self.left -= 1
        if value is None:
            self.records.pop(key.decode(), None)
        else:
            self.records[key.decode()] = value

    async def delivered(self) -> None:
        await asyncio.sleep(0)


class Owned(Checkpoints):
    """Read the shelf instead of a topic."""

    def __init__(self, records: Mapping[str, bytes], names: Iterator[int]) -> None:
        super().__init__(None, "state", lambda: f"owner{next(names)}")  # type: ignore[arg-type]
        self._records = records

    def take(self) -> int:
        """Become the owner; give the counter to go on from."""
        self._owners[0], self._outdated[0] = self._owner(), list(self._records)
        restored = restore(0, self._records)
        return restored.manifest.counter if restored else 0


def _state(n: int) -> MonitorState:
    return MonitorState([Source("events", p, 3, n) for p in range(3)], {}, {})


async def _own(shelf: Shelf, owned: Owned, snapshots: int) -> None:
    counter = owned.take()
    for number in range(counter + 1, counter + 1 + snapshots):
        await owned.write(shelf, 0, number, (number, _state(number + shelf.left)))  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12)), min_size=1, max_size=6))
def test_whoever_dies_wherever_a_snapshot_that_was_whole_stays(
    lives: list[tuple[int, int]],
) -> None:
    records: dict[str, bytes] = {}
    names = count()

    async def play() -> None:
        await _own(Shelf(records), Owned(records, names), 1)
        living = (_own(Shelf(records, left), Owned(records, names), n) for n, left in lives)
        await asyncio.gather(*living, return_exceptions=True)

    asyncio.run(play())
    restored = restore(0, records)
    assert restored is not None
    assert restored.manifest.next >= 1


def _sequence(names: Iterator[int]) -> dict[str, bytes]:
    """A stale owner writes one record over a whole snapshot; the present one dies in its next."""
    records: dict[str, bytes] = {}

    async def play() -> None:
        await _own(Shelf(records), Owned(records, names), 1)
        stale, present = Owned(records, names), Owned(records, names)
        stale.take(), present.take()
        for owned, number, cut, left in (
            (present, 2, 20, 9),
            (stale, 2, 19, 1),
            (present, 3, 30, 1),
        ):
            with contextlib.suppress(ConnectionError):
                await owned.write(Shelf(records, left), 0, number, (cut, _state(cut)))  # type: ignore[arg-type]

    asyncio.run(play())
    return records


def test_slots_that_owners_share_could_all_be_spoilt_and_those_of_their_own_cannot() -> None:
    restored = restore(0, _sequence(count()))
    assert restored is not None
    assert restored.manifest.next == 20
    with pytest.raises(SnapshotCorrupt):
        restore(0, _sequence(repeat(0)))
