"""Fetched bytes for tests: batches by aiokafka's own builder, and what a broker does to them."""

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

__all__ = ["APPEND_TIME", "CODECS", "CONTROL", "TRANSACTIONAL", "Made", "batch", "with_crc"]

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
APPEND_TIME, TRANSACTIONAL, CONTROL = 8, 16, 32


class Made(NamedTuple):
    """Describe one record: its offset within the batch, and what is in it."""

    delta: int
    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    time_ms: int = 1_700_000_000_000


def batch(base_offset: int, records: Sequence[Made], codec: int = 0, **header: Any) -> bytes:
    """Build a batch as it lies in a log.

    `header` may set attributes (bits beside the codec), last (offset delta), max_ms, producer.
    """
    builder = DefaultRecordBatchBuilder(2, codec, 0, header.get("producer", -1), -1, -1, 1 << 30)
    for one in records:
        builder.append(one.delta, one.time_ms, one.key, one.value, list(one.headers))
    built = bytearray(builder.build())
    struct.pack_into(">q", built, 0, base_offset)
    (attributes,) = struct.unpack_from(">h", built, 21)
    struct.pack_into(">h", built, 21, attributes | header.get("attributes", 0))
    if "last" in header:
        struct.pack_into(">i", built, 23, header["last"])
    if "max_ms" in header:
        struct.pack_into(">q", built, 35, header["max_ms"])
    return with_crc(built)


def with_crc(content: bytes | bytearray) -> bytes:
    """Give a batch the checksum that fits its bytes."""
    made = bytearray(content)
    struct.pack_into(">I", made, 17, calc_crc32c(bytes(made[21:])))
    return bytes(made)
