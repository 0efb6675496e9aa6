"""A snapshot is read back whole, from the newer valid slot, or refused: never half."""

import asyncio
import itertools
from collections.abc import Callable
from functools import cache
from typing import Any

import logs
import msgspec
import numpy as np
import pytest
from logs import SEMANTICS, Shift, book, effects, events, parts_of_file, profile

from detectors.errors import SnapshotCorrupt, SnapshotTooNew
from detectors.monitor import Monitor, MonitorState
from detectors.profile import Profile, seal
from stream import checkpoint
from stream.checkpoint import Checkpoints, pack, restore

REFUSED = (SnapshotCorrupt, SnapshotTooNew)


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
        asyncio.run(Checkpoints(None, "state", lambda: "a").write(shelf, 0, counter, cut))  # type: ignore[arg-type]
    return shelf.records


def half_way() -> MonitorState:
    """Judge half a log; give the state, with an open alert in it."""
    log = events(70_000, seed=2, shifts=(Shift(at=20_000, sigma=2.0),), step_ms=500)
    monitor = Monitor(book(profile()), SEMANTICS)
    effects(monitor, parts_of_file(log, book(profile()))[:1])
    assert any(judge.life.open for judge in monitor.judges.values())
    return monitor.snapshot()


@cache
def narrow() -> tuple[Profile, Profile]:
    """Take two models of one stream each out of the profile: states of a kilobyte or so."""
    one = msgspec.structs.replace(profile(), streams=profile().streams[:1])
    return seal(one), seal(msgspec.structs.replace(one, model="toys"))


@cache
def small() -> dict[str, bytes]:
    """Write about 4 KiB: two models, two sources, a bucket that waits."""
    log = [e for e in events(200, seed=3) for e in (*logs.renamed([e], "toys"), e)]
    spread = logs.topic(log, 2, seed=1)
    monitor = Monitor(book(*narrow()), SEMANTICS)
    effects(monitor, logs.interleaved(logs.parts_of_topic(spread, book(*narrow())), 1))
    return written([monitor.snapshot()])


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


def test_pieces_without_a_manifest_are_no_snapshot() -> None:
    assert restore(0, {k: v for k, v in RECORDS.items() if not k.endswith("manifest")}) is None


def test_the_newer_slot_wins() -> None:
    restored = restore(0, written([STATE, STATE, STATE]))
    assert restored is not None
    assert restored.manifest.counter == 3


@pytest.mark.parametrize("spoil", [lambda _: b"\x01broken", lambda _: b"", lambda v: v[:-1]])
def test_the_older_slot_serves_whole_whichever_record_of_the_newer_is_broken(
    spoil: Callable[[bytes], bytes],
) -> None:
    before, after = Monitor(book(*narrow()), SEMANTICS).snapshot(), restore(0, small())
    assert after is not None
    records = written([before, after.state])
    newer = [key for key in records if key.startswith("0/a.0/")]
    assert len(newer) == 4
    for key in newer:
        restored = restore(0, records | {key: spoil(records[key])})
        assert restored is not None
        assert (restored.manifest.counter, restored.manifest.next) == (1, 100)
        assert restored.state.models == {}


def test_two_broken_slots_are_refused() -> None:
    records = written([STATE, STATE])
    with pytest.raises(SnapshotCorrupt):
        restore(0, records | {"0/a.0/order/0": b"\x01broken", "0/a.1/order/0": b""})


def test_one_flipped_bit_anywhere_is_refused() -> None:
    records = small()
    assert 3_000 < sum(map(len, records.values())) < 6_000
    for key, value in records.items():
        for bit in range(8 * len(value)):
            flipped = bytearray(value)
            flipped[bit // 8] ^= 1 << bit % 8
            with pytest.raises(REFUSED):
                restore(0, records | {key: bytes(flipped)})


def test_a_record_cut_off_at_any_byte_is_refused() -> None:
    for key, value in small().items():
        for length in range(len(value)):
            with pytest.raises(REFUSED):
                restore(0, small() | {key: value[:length]})


def test_a_missing_piece_is_refused() -> None:
    for records in (RECORDS, small()):
        for key in records:
            if not key.endswith("manifest"):
                with pytest.raises(SnapshotCorrupt, match="does not fit its checksum"):
                    restore(0, {k: v for k, v in records.items() if k != key})


def test_two_swapped_records_are_refused() -> None:
    records = small()
    assert len(records) == 4
    for one, other in itertools.combinations(records, 2):
        with pytest.raises(REFUSED):
            restore(0, records | {one: records[other], other: records[one]})


def test_two_models_of_one_shape_whose_chunks_are_swapped_are_refused() -> None:
    manifest = checkpoint._open(small()["0/a.1/manifest"], "")
    one, other = manifest.names
    pieces = manifest.pieces | {one: manifest.pieces[other], other: manifest.pieces[one]}
    moved = {f"0/a.1/{to}/0": small()[f"0/a.1/{of}/0"] for to, of in ((one, other), (other, one))}
    with pytest.raises(SnapshotCorrupt, match=f"holds the state of {one}|{other}"):
        restore(0, resealed(pieces=pieces) | moved)


def resealed(**changes: Any) -> dict[str, bytes]:
    """Give the small snapshot another manifest, with a checksum that fits."""
    manifest = checkpoint._open(small()["0/a.1/manifest"], "")
    return small() | {
        "0/a.1/manifest": checkpoint._seal(msgspec.structs.replace(manifest, **changes))
    }


def restored_into_a_monitor(records: dict[str, bytes]) -> None:
    found = restore(0, records)
    assert found is not None
    Monitor(book(*narrow()), SEMANTICS).restore(found.state)


def test_what_is_refused_ends_the_process_with_3() -> None:
    assert {refusal.exit_code for refusal in REFUSED} == {3}


def test_a_manifest_of_a_later_version_is_refused_by_name() -> None:
    restored_into_a_monitor(resealed())
    with pytest.raises(SnapshotTooNew, match="has version 2, this driftline reads 1"):
        restore(0, resealed(v=2))
    newer, older = resealed(v=2), resealed(counter=2)
    other = {key.replace("0/a.1/", "0/a.0/"): value for key, value in older.items()}
    restored = restore(0, newer | other)
    assert restored is not None
    assert restored.manifest.counter == 2


def test_a_manifest_that_leaves_something_out_is_refused() -> None:
    manifest = checkpoint._open(small()["0/a.1/manifest"], "")
    for chunk in manifest.pieces:
        pieces = {name: sums for name, sums in manifest.pieces.items() if name != chunk}
        with pytest.raises(SnapshotCorrupt, match="does not name the chunks"):
            restore(0, resealed(pieces=pieces))
    with pytest.raises(SnapshotCorrupt, match="does not name the chunks"):
        restore(0, resealed(names={}))


def test_a_manifest_of_brackets_without_end_is_refused() -> None:
    content = b'{"x":' + b"[" * 100_000
    sealed = checkpoint._checksum(content).encode() + b" " + content
    with pytest.raises(SnapshotCorrupt, match="cannot be read"):
        restore(0, small() | {"0/a.1/manifest": sealed})


def stretched(arrays: dict[str, Any]) -> None:
    arrays["blocks.counts"] = arrays["blocks.counts"][:1]


def retyped(arrays: dict[str, Any]) -> None:
    arrays["panel.sr.onset"] = arrays["panel.sr.onset"].astype(np.float64)


def impossible(arrays: dict[str, Any]) -> None:
    arrays["panel.beside.adwin.state"][:] = np.nan


@pytest.mark.parametrize(
    "alter", [stretched, retyped, impossible, dict.popitem, lambda arrays: arrays.update(more=1)]
)
def test_the_state_of_another_profile_is_refused(alter: Callable[[dict[str, Any]], None]) -> None:
    restored = restore(0, small())
    assert restored is not None
    alter(restored.state.models[narrow()[0].hash].arrays)
    with pytest.raises(SnapshotCorrupt, match="does not fit profile"):
        Monitor(book(*narrow()), SEMANTICS).restore(restored.state)
