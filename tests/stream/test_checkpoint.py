"""A snapshot is read back whole, from the newer valid slot, or refused: never half."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import SEMANTICS, Shift, book, effects, events, parts_of_file, profile

from detectors.errors import SnapshotCorrupt, SnapshotTooNew
from detectors.monitor import Monitor, MonitorState
from stream.checkpoint import Checkpoints, pack, restore, unpack


class Shelf:
    """Be the outbox of a snapshot: keep what is sent."""

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}

    async def send(self, _topic: str, key: bytes, value: bytes, _partition: int) -> None:
        self.records[key.decode()] = value

    async def delivered(self) -> None:
        pass


def written(states: list[MonitorState]) -> dict[str, bytes]:
    """Write one snapshot after the other; give what the topic then holds."""
    shelf = Shelf()
    for counter, state in enumerate(states, 1):
        cut = (100 * counter, state)
        asyncio.run(Checkpoints("", "state").write(shelf, 0, counter, cut))  # type: ignore[arg-type]
    return shelf.records


def half_way() -> MonitorState:
    """Judge half a log; give the state, with an open alert in it."""
    log = events(70_000, seed=2, shifts=(Shift(at=20_000, sigma=2.0),), step_ms=500)
    monitor = Monitor(book(profile()), SEMANTICS)
    effects(monitor, parts_of_file(log, book(profile()))[:1])
    assert any(judge.life.open for judge in monitor.judges.values())
    return monitor.snapshot()


STATE = half_way()
RECORDS = written([STATE])


def test_what_was_written_is_what_is_read() -> None:
    restored = restore(0, RECORDS)
    assert restored is not None
    assert restored.manifest.next == 100
    assert [pack(model) for model in restored.state.models.values()] == [
        pack(model) for model in STATE.models.values()
    ]
    assert pack(restored.state.sources) == pack(STATE.sources)


def test_there_is_no_snapshot_in_an_empty_topic() -> None:
    assert restore(0, {}) is None


def test_the_newer_slot_wins() -> None:
    restored = restore(0, written([STATE, STATE, STATE]))
    assert restored is not None
    assert restored.manifest.counter == 3


def test_the_older_slot_serves_where_the_newer_is_broken() -> None:
    records = written([STATE, STATE])
    records["0/0/order/0"] = b"\x01broken"
    restored = restore(0, records)
    assert restored is not None
    assert restored.manifest.counter == 1


@given(st.data())
def test_one_flipped_bit_anywhere_is_refused(data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(RECORDS)))
    value = bytearray(RECORDS[key])
    at = data.draw(st.integers(0, 8 * len(value) - 1))
    value[at // 8] ^= 1 << at % 8
    with pytest.raises((SnapshotCorrupt, SnapshotTooNew)):
        restore(0, RECORDS | {key: bytes(value)})


@pytest.mark.parametrize("cut", [lambda v: v[:-1], lambda _: b"", lambda v: v[: len(v) // 2]])
def test_a_torn_piece_is_refused(cut: Callable[[bytes], bytes]) -> None:
    for key, value in RECORDS.items():
        with pytest.raises(SnapshotCorrupt):
            restore(0, RECORDS | {key: cut(value)})


def test_a_missing_piece_is_refused() -> None:
    for key in RECORDS:
        if not key.endswith("manifest"):
            with pytest.raises(SnapshotCorrupt):
                restore(0, {k: v for k, v in RECORDS.items() if k != key})


def test_a_chunk_of_a_later_version_is_refused_by_name() -> None:
    with pytest.raises(SnapshotTooNew):
        unpack(b"\x02" + pack(STATE.sources)[1:], list)
