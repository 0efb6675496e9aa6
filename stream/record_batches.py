"""Record batches as a broker sends them (format v2), walked where they lie: bytes to `Records`.

No Python object per record: one compiled loop notes where each value lies, in the fetched bytes
or in what they were decompressed to, each with room behind.  Every length is checked before it
is used: malformed bytes raise, and nothing outside the buffer is ever read.  What aiokafka checks
is checked here; only that a header's key is UTF-8 is not, for no key is used.

Source: the message format of Apache Kafka's documentation, section 5.3 (record batch, record).
"""

import gzip
import io
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import cramjam
import google_crc32c
import numpy as np

from stream.record_walk import TICK_HEADER, walk_records
from stream.records import PADDING, Records

__all__ = ["BATCH_BYTES_MAX", "CHUNK_BYTES", "MalformedError", "RecordBatch", "split", "walk"]

# More than any batch that a broker would take, were it not for compression.
BATCH_BYTES_MAX = 128 << 20
# Much less than a fetch: all chunks but the last of one are read where they lie.
CHUNK_BYTES = 3 << 19

# Base offset, length, leader epoch, magic, CRC, attributes, last offset delta, first and greatest
# timestamp, producer, its epoch, base sequence, number of records.
_HEADER = struct.Struct(">qiibIhiqqqhii")
_LOG_OVERHEAD = struct.calcsize(">qi")
_CHECKED_FROM = struct.calcsize(">qiibI")
_RECORD_BYTES_MIN = 7
_CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
_CODEC_ERRORS = (
    cramjam.DecompressionError, OSError, EOFError, zlib.error, ValueError, struct.error,
)  # fmt: skip
_XERIAL = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"


class MalformedError(ValueError):
    """Report bytes that are no record batch; the offset is that of the batch."""

    def __init__(self, offset: int, reason: str) -> None:
        """Name the batch and what is wrong with it."""
        super().__init__(f"the batch of records at offset {offset} {reason}")


class RecordBatch(NamedTuple):
    """Hold a batch's header; its records are the bytes `start` to `stop` of the fetch."""

    begin: int
    start: int
    stop: int
    base_offset: int
    crc: int
    attributes: int
    next_offset: int
    first_ms: int
    max_ms: int
    producer_id: int
    records: int

    @property
    def codec(self) -> int:
        """Give the number of the compression codec; 0 is none."""
        return self.attributes & 7

    @property
    def append_time(self) -> bool:
        """Tell whether every record has the broker's time, which is the batch's greatest."""
        return bool(self.attributes & 8)

    @property
    def is_transactional(self) -> bool:
        """Tell whether it belongs to a transaction."""
        return bool(self.attributes & 16)

    @property
    def is_control(self) -> bool:
        """Tell whether it holds a transaction's marker, and no records."""
        return bool(self.attributes & 32)

    def crc_fits(self, content: bytes) -> bool:
        """Compare the checksum (CRC-32C) with the bytes that it covers."""
        covered = content[self.begin + _CHECKED_FROM : self.stop]
        return bool(google_crc32c.value(covered) == self.crc)


def split(content: bytes) -> Iterator[RecordBatch]:
    """Yield the batches of one fetch; a last one that is cut off is ignored.

    Raises
    ------
    MalformedError
        If a length is less than a header's, or the format one of before 2017.
    """
    at, end = 0, len(content)
    while at + _LOG_OVERHEAD <= end:
        base_offset, length = struct.unpack_from(">qi", content, at)
        stop = at + _LOG_OVERHEAD + length
        if stop > end:
            return
        if stop < at + _HEADER.size:
            raise MalformedError(base_offset, f"says that it is {length} bytes long.")
        _, _, _, magic, crc, attributes, last, first_ms, max_ms, producer, _, _, count = (
            _HEADER.unpack_from(content, at)
        )
        if magic < 2:
            reason = f'has format v{magic}: set kafka.fetch to "records" to read it.'
            raise MalformedError(base_offset, reason)
        yield RecordBatch(
            at, at + _HEADER.size, stop, base_offset, crc, attributes,
            base_offset + last + 1, first_ms, max_ms, producer, count,
        )  # fmt: skip
        at = stop


def walk(
    content: bytes, batches: Iterable[tuple[RecordBatch, bool]], next_offset: int
) -> Iterator[tuple[Records, int]]:
    """Walk a fetch's batches from `next_offset` on; yield chunks, and where to go on after each.

    The flag beside a batch says that its records are skipped: markers, aborted transactions.
    A chunk ends with the batch that fills CHUNK_BYTES, so memory has a limit: what the batches
    of a fetch are decompressed to can be many times its size.

    Raises
    ------
    MalformedError
        If a batch cannot be decompressed, or its records do not fill it exactly.
    """
    chunk: list[tuple[RecordBatch, memoryview | None]] = []
    size = 0
    for batch, skipped in batches:
        part = None if skipped else _records_of(content, batch)
        chunk.append((batch, part))
        size += 0 if part is None else len(part)
        if size >= CHUNK_BYTES:
            records, next_offset = _gather(content, chunk, next_offset)
            yield records, next_offset
            chunk, size = [], 0
    if chunk:
        yield _gather(content, chunk, next_offset)


def _gather(
    content: bytes, chunk: Sequence[tuple[RecordBatch, memoryview | None]], next_offset: int
) -> tuple[Records, int]:
    """Note where each record lies: in the content, or in parts put side by side.

    The content does where nothing was compressed, and it goes on behind the last part.
    """
    parts = [part for _, part in chunk if part is not None]
    in_place = chunk[-1][0].stop + PADDING <= len(content) and not any(
        batch.codec for batch, part in chunk if part is not None
    )
    buffer = content if in_place else b"".join([*parts, bytes(PADDING)])
    spans = np.empty((len(chunk), 8), np.int64)
    filled = 0
    for number, (batch, part) in enumerate(chunk):
        begun, count = batch.start if in_place else filled, -1
        if part is not None:
            filled = begun + len(part)
            count = max(batch.records, 0)
            if count > len(part) // _RECORD_BYTES_MIN:
                raise MalformedError(batch.base_offset, f"cannot hold {count} records.")
        spans[number] = (
            begun, filled, batch.base_offset, batch.next_offset,
            batch.first_ms, batch.max_ms, batch.append_time, count,
        )  # fmt: skip
    values = np.frombuffer(buffer, np.uint8)
    places, flags, next_offset, bad = walk_records(values, spans, next_offset, TICK_HEADER)
    if bad >= 0:
        raise MalformedError(chunk[bad][0].base_offset, "holds malformed records.")
    records = Records(values, *places, *flags)
    return records, int(next_offset)


def _records_of(content: bytes, batch: RecordBatch) -> memoryview:
    """Give the bytes of a batch's records, decompressed."""
    data = memoryview(content)[batch.start : batch.stop]
    if not batch.codec:
        return data
    if batch.codec >= len(_CODECS):
        reason = f"is compressed by a codec ({batch.codec}) that nobody knows."
        raise MalformedError(batch.base_offset, reason)
    room, why = 16 * len(data), ""
    while room < 16 * BATCH_BYTES_MAX and "buffer" in (why or "buffer"):  # it was too small
        unpacked = np.empty(min(room, BATCH_BYTES_MAX), np.uint8).data
        room *= 16
        try:
            return unpacked[: _decompress(_CODECS[batch.codec], data, unpacked)]
        except _CODEC_ERRORS as error:
            why = str(error)
    reason = f"cannot be decompressed ({_CODECS[batch.codec]}: {why})."
    raise MalformedError(batch.base_offset, reason)


def _decompress(codec: str, data: memoryview, room: memoryview) -> int:
    if codec == "zstd":
        return int(cramjam.zstd.decompress_into(data, room))
    if codec == "lz4":
        return int(cramjam.lz4.decompress_into(data, room))
    if codec == "gzip":
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as unpacked:
            length = unpacked.readinto(room)
            if unpacked.read(1):
                raise ValueError("the buffer is too small")
            return length
    if data[: len(_XERIAL)] != _XERIAL or len(data) == len(_XERIAL):
        return int(cramjam.snappy.decompress_raw_into(data, room))
    return _decompress_xerial(data, room)


def _decompress_xerial(data: memoryview, room: memoryview) -> int:
    """Read the framing of Java's snappy library: blocks, each behind its length."""
    at, filled = len(_XERIAL), 0
    while at < len(data):
        (length,) = struct.unpack_from(">i", data, at)
        at += 4
        if not 0 <= length <= len(data) - at:
            raise ValueError(f"a block of {length} bytes")
        filled += cramjam.snappy.decompress_raw_into(data[at : at + length], room[filled:])
        at += length
    return filled
