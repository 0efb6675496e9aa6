"""The judge's snapshots: chunks and a manifest in two alternating slots of the state topic.

A chunk holds one model's state, the manifest a counter, the checksum of every piece, and the
next summaries offset.  Each owner of a partition has two slots of keys of its own, which
alternate: a crash spoils the one that is being written, and a stale owner, however late it
wakes up, spoils none but its own.  The valid manifest that has come furthest is restored; once
its new owner has written a snapshot, the slots of owners before it are deleted.  No pickle.

Keys: `PARTITION/SLOT/manifest`, `PARTITION/SLOT/CHUNK/PIECE`; SLOT is `OWNER.0` or `OWNER.1`.
"""

import asyncio
import math
import secrets
import zlib
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np

from detectors.errors import SnapshotCorrupt, SnapshotTooNew, StateRefused
from detectors.judge import ModelState
from detectors.monitor import MonitorState
from detectors.order import Source
from stream.connection import Connection
from stream.outbox import Outbox
from stream.reader import PrivateReader

__all__ = ["Checkpoints", "Manifest", "Restored", "pack", "restore", "unpack"]

VERSION = 1
SLOTS = 2
_PIECE_BYTES = 900_000
# A model of 100,000 streams has a third of this.
_CHUNK_BYTES_MAX = 1 << 30
_ORDER = "order"
_ARRAYS = {"<f8", "<f4", "<i8", "<i4", "|i1", "|u1", "|b1"}


# What malformed bytes raise in the parsers; a RecursionError comes of brackets without end.
_UNREADABLE = (zlib.error, ValueError, TypeError, RecursionError)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Say which pieces make a snapshot, and from where the summaries go on.

    `pieces` maps a chunk to the checksums (blake2b-128) of its pieces, in order.
    """

    v: int = VERSION
    counter: int
    next: int
    pieces: dict[str, list[str]]
    names: dict[str, str]


class Restored(msgspec.Struct, frozen=True):
    """Hold a snapshot that was read back whole."""

    manifest: Manifest
    state: MonitorState


class _Chunk(ModelState):
    """Be the state of the term that it names; in older snapshots it names none.

    A checksum says that a chunk's bytes are what they were, not whose they are.
    """

    term: str = ""


def _to_plain(value: Any) -> Any:
    """Write an array as (type, shape, bytes): little-endian, row by row."""
    if isinstance(value, np.ndarray):
        kind = value.dtype.newbyteorder("<").str
        return [kind, list(value.shape), value.astype(kind, copy=False).tobytes()]
    raise TypeError(f"A snapshot cannot hold a {type(value).__name__}.")


def _to_array(_kind: type, value: Any) -> Any:
    """Read an array back: nothing but numbers, and as many as its shape says."""
    dtype, shape, content = value
    if not isinstance(dtype, str) or dtype not in _ARRAYS:
        raise ValueError(f"an array of type {str(dtype)[:20]!r}")
    if any(type(size) is not int or size < 0 for size in shape):
        raise ValueError("an array of no shape")
    if math.prod(shape) * np.dtype(dtype).itemsize != len(content):
        raise ValueError("an array whose shape does not fit its bytes")
    return np.frombuffer(content, dtype).reshape(shape).copy()


def pack(value: list[Source] | ModelState) -> bytes:
    """Write one chunk: a version byte and compressed MessagePack.

    Raises
    ------
    StateRefused
        If there is more of it than `unpack` would take.
    """
    content = msgspec.msgpack.encode(value, enc_hook=_to_plain)
    if len(content) > _CHUNK_BYTES_MAX:
        raise StateRefused("The state of one model is larger than 1 GiB; watch fewer streams.")
    return bytes([VERSION]) + zlib.compress(content, 1)


def unpack(content: bytes, kind: Any) -> Any:
    """Read one chunk back as the given type.

    Raises
    ------
    SnapshotCorrupt, SnapshotTooNew
        If the bytes are no chunk of this type, or a later version's.
    """
    if content[:1] > bytes([VERSION]):
        raise SnapshotTooNew(
            f"A snapshot has version {content[0]}, this driftline reads {VERSION}: "
            "run the newer driftline."
        )
    if content[:1] != bytes([VERSION]):
        raise SnapshotCorrupt("A chunk of a snapshot was not written by driftline.")
    inflate = zlib.decompressobj()
    try:
        plain = inflate.decompress(content[1:], _CHUNK_BYTES_MAX)
        if not inflate.eof or inflate.unused_data:
            raise SnapshotCorrupt(
                "A chunk of a snapshot is cut off, too large, or followed by more."
            )
        return msgspec.msgpack.decode(plain, type=kind, dec_hook=_to_array)
    except _UNREADABLE as error:
        raise SnapshotCorrupt(f"A chunk of a snapshot cannot be read: {error}.") from error


def _pieces(value: list[Source] | ModelState) -> list[bytes]:
    """Pack one chunk, and cut it into pieces that fit a record."""
    content = pack(value)
    return [content[i : i + _PIECE_BYTES] for i in range(0, len(content), _PIECE_BYTES)]


def _checksum(piece: bytes) -> str:
    return blake2b(piece, digest_size=16).hexdigest()


def _seal(manifest: Manifest) -> bytes:
    """Write a manifest behind its own checksum."""
    content = msgspec.json.encode(manifest)
    return _checksum(content).encode() + b" " + content


def _open(sealed: bytes, where: str) -> Manifest:
    """Read a manifest and check it."""
    checksum, _, content = sealed.partition(b" ")
    if _checksum(content).encode() != checksum:
        raise SnapshotCorrupt(f"The manifest {where} does not fit its checksum.")
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except _UNREADABLE as error:
        raise SnapshotCorrupt(f"The manifest {where} cannot be read: {error}.") from error
    if manifest.v > VERSION:
        raise SnapshotTooNew(
            f"The snapshot {where} has version {manifest.v}, this driftline reads {VERSION}: "
            "run the newer driftline."
        )
    return manifest


def _read(slot: str, partition: int, records: Mapping[str, bytes]) -> Restored:
    """Read one slot's snapshot; SnapshotCorrupt if any byte of it is not what it was."""
    prefix = f"{partition}/{slot}"
    manifest = _open(records[f"{prefix}/manifest"], prefix)
    if manifest.pieces.keys() != {_ORDER, *manifest.names}:
        raise SnapshotCorrupt(f"The manifest {prefix} does not name the chunks that it lists.")
    chunks = {}
    for chunk, checksums in manifest.pieces.items():
        pieces = [records.get(f"{prefix}/{chunk}/{i}", b"") for i in range(len(checksums))]
        if [_checksum(piece) for piece in pieces] != checksums:
            raise SnapshotCorrupt(f"The chunk {prefix}/{chunk} does not fit its checksum.")
        chunks[chunk] = b"".join(pieces)
    sources = unpack(chunks.pop(_ORDER), list[Source])
    models = {term: _model(term, content) for term, content in chunks.items()}
    return Restored(manifest, MonitorState(sources, models, manifest.names))


def _model(term: str, content: bytes) -> ModelState:
    """Read a term's chunk; SnapshotCorrupt if it is another's."""
    fields = msgspec.structs.asdict(unpack(content, _Chunk))
    if (named := fields.pop("term")) not in {"", term}:
        raise SnapshotCorrupt(f"The chunk {term} of a snapshot holds the state of {named}.")
    return ModelState(**fields)


def restore(partition: int, records: Mapping[str, bytes]) -> Restored | None:
    """Find the highest valid snapshot among a partition's records; None if there never was one.

    Raises
    ------
    SnapshotCorrupt, SnapshotTooNew
        If there are snapshots and none of them is valid.
    """
    found: list[Restored] = []
    refused: Exception | None = None
    for slot in _slots(partition, records):
        try:
            found.append(_read(slot, partition, records))
        except (SnapshotCorrupt, SnapshotTooNew) as error:
            refused = error
    if not found:
        if refused is not None:
            raise refused
        return None
    # Of a stale owner's and the present one's, each true, the one that has come further.
    return max(found, key=lambda one: (one.manifest.next, one.manifest.counter))


def _slots(partition: int, records: Mapping[str, bytes]) -> list[str]:
    """List the slots of a partition that have a manifest.

    >>> _slots(3, {"3/a1.0/manifest": b"", "3/a1.1/order/0": b"", "4/a1.1/manifest": b""})
    ['a1.0']
    """
    keys = [key.split("/") for key in sorted(records)]
    return [key[1] for key in keys if (key[0], key[2:]) == (str(partition), ["manifest"])]


class Checkpoints:
    """Write and read the snapshots of summaries partitions."""

    def __init__(
        self,
        connection: Connection,
        topic: str,
        owner: Callable[[], str] = lambda: secrets.token_hex(4),
    ) -> None:
        """Keep snapshots in this topic; `owner` names each new owner as nobody was before."""
        self._connection = connection
        self._topic = topic
        self._owner = owner
        self._owners: dict[int, str] = {}
        self._outdated: dict[int, list[str]] = {}

    async def write(
        self, outbox: Outbox, partition: int, counter: int, cut: tuple[int, MonitorState]
    ) -> None:
        """Write a snapshot: its chunks, and when they are there its manifest."""
        offset, state = cut
        # Taken now: by the end of a write in the background, the partition may be owned anew.
        owner = self._owners.setdefault(partition, self._owner())
        outdated = self._outdated.pop(partition, ())
        slot = f"{owner}.{counter % SLOTS}"
        chunks: dict[str, list[Source] | ModelState] = {_ORDER: state.sources}
        for term, model in state.models.items():
            chunks[term] = _Chunk(**msgspec.structs.asdict(model), term=term)
        checksums: dict[str, list[str]] = {}
        for name, value in chunks.items():
            pieces = await asyncio.to_thread(_pieces, value)
            checksums[name] = [_checksum(piece) for piece in pieces]
            for i, piece in enumerate(pieces):
                key = f"{partition}/{slot}/{name}/{i}".encode()
                await outbox.send(self._topic, key, piece, partition)
        await outbox.delivered()
        manifest = Manifest(counter=counter, next=offset, pieces=checksums, names=state.names)
        key = f"{partition}/{slot}/manifest".encode()
        await outbox.send(self._topic, key, _seal(manifest), partition)
        await outbox.delivered()
        for stale in outdated:
            await outbox.send(self._topic, stale.encode(), None, partition)

    async def read(self, partition: int) -> Restored | None:
        """Read a partition's state topic to its end, and restore; become its owner."""
        async with PrivateReader(self._connection, self._topic, partition) as reader:
            records = {key.decode(errors="replace"): value for key, value in await reader.drain()}
        kept = {key: value for key, value in records.items() if value}
        self._owners[partition] = self._owner()
        self._outdated[partition] = list(kept)
        return restore(partition, kept)
