"""A chunk of a snapshot holds plain values and arrays of numbers: nothing else comes out."""

import zlib
from functools import cache

import logs
import msgspec
import numpy as np
import pytest
from logs import SEMANTICS, book, effects, events, profile

from detectors.errors import SnapshotCorrupt, SnapshotTooNew
from detectors.judge import ModelState
from detectors.monitor import Monitor, MonitorState
from detectors.order import Source
from stream import checkpoint
from stream.checkpoint import pack, unpack

BOMB_BYTES = 64 << 20


@cache
def state() -> MonitorState:
    """Judge a short log."""
    monitor = Monitor(book(profile()), SEMANTICS)
    effects(monitor, logs.parts_of_file(events(2_000, seed=3), book(profile())))
    return monitor.snapshot()


def test_a_chunk_of_a_later_version_is_refused_by_name() -> None:
    with pytest.raises(SnapshotTooNew):
        unpack(b"\x02" + pack(state().sources)[1:], list)


def chunk_of(plain: bytes) -> bytes:
    return b"\x01" + zlib.compress(plain)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" + pack(state().sources)[1:],
        pack(state().sources) + b"more",
        chunk_of(b"\xdd\xff\xff\xff\xff"),
        chunk_of(b"\xdf\xff\xff\xff\xff"),
        chunk_of(b"\x91" * 1_000_000),
        chunk_of(b"\x91\x93\xa1\xff\x00\x01"),
        chunk_of(b"\x90\x90"),
    ],
    ids=["empty", "version 0", "more", "list", "map", "deep", "not UTF-8", "twice"],
)
def test_a_chunk_of_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(SnapshotCorrupt):
        unpack(content, list[Source])


def test_a_chunk_that_swells_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "_CHUNK_BYTES_MAX", 1 << 20)
    with pytest.raises(SnapshotCorrupt, match="too large"):
        unpack(chunk_of(bytes(BOMB_BYTES)), list[Source])


@pytest.mark.parametrize(
    "array",
    [
        ["O", [1], bytes(8)],
        ["<f8,<f8", [1], bytes(16)],
        ["(9,)<f8", [1], bytes(72)],
        [None, [1], bytes(8)],
        [["<f8"], [1], bytes(8)],
        ["<f8", [2], bytes(8)],
        ["<f8", [-1], bytes(8)],
        ["<f8", [-1, -1], bytes(8)],
        ["<f8", [True], bytes(8)],
        ["<f8", [0.5, 2], bytes(8)],
        ["<f8", [2**40, 2**40], b""],
        ["<f8", [1] * 100, bytes(8)],
        ["<f8", 1, bytes(8)],
        ["<f8", [1], "12345678"],
        ["<f8", [1]],
        {"dtype": "<f8", "shape": [1], "bytes": bytes(8)},
        7,
    ],
    ids=str,
)
def test_an_array_that_is_not_what_it_says_is_refused(array: object) -> None:
    plain = msgspec.to_builtins(unpack(small_model(), ModelState), enc_hook=lambda a: a.tolist())
    plain["arrays"] = {"a": array}
    with pytest.raises(SnapshotCorrupt):
        unpack(chunk_of(msgspec.msgpack.encode(plain)), ModelState)


def small_model() -> bytes:
    (model,) = state().models.values()
    return pack(model)


def test_arrays_come_back_as_they_were() -> None:
    state = unpack(small_model(), ModelState)
    state.arrays = {
        f"{kind}{shape}": np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(kind)
        for kind in ("f8", "f4", "i8", "i4", "i1", "u1", "?")
        for shape in ((), (0,), (0, 3), (7,), (2, 3, 4))
    }
    again = unpack(pack(state), ModelState).arrays
    assert {name: (a.dtype, a.tolist()) for name, a in state.arrays.items()} == {
        name: (a.dtype, a.tolist()) for name, a in again.items()
    }
