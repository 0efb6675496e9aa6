"""Fetched bytes to fuzz: batches of every codec, damaged before or after they are sealed."""

import random
import struct
from functools import cache

from aiokafka.structs import TopicPartition

from stream import fetching
from stream.records import TICK
from tests.batches import APPEND_TIME, CODECS, CONTROL, Made, batch, with_crc
from tests.fuzz.mutators import mutated

__all__ = ["make_batches", "run_batches"]

HEADER_BYTES = 61


@cache
def _seeds() -> list[bytes]:
    values = [b'{"time": 1, "model": "m"}', b"", None, b"x" * 300, bytes(200)]
    made = [
        Made(i, values[i % 5], [None, b"key"][i % 2], [[], [TICK], [("a", None)]][i % 3])
        for i in range(12)
    ]
    return [
        batch(at, made[: 1 + at % 12], codec, attributes=APPEND_TIME if at % 2 else 0, max_ms=at)
        for at, codec in enumerate([*CODECS.values()] * 3)
    ] + [batch(90, [Made(0, bytes(6), bytes(4))], attributes=CONTROL)]


def make_batches(rng: random.Random) -> bytes:
    """Damage one batch of a few; mostly with a length and a checksum that fit, as a broker has."""
    parts = [rng.choice(_seeds()) for _ in range(rng.randrange(1, 4))]
    at = rng.randrange(len(parts))
    if rng.random() < 0.1:
        return b"".join([*parts[:at], mutated(rng, parts[at : at + 1]), *parts[at + 1 :]])
    sound = parts[at]
    records = bytearray(sound[:HEADER_BYTES] + mutated(rng, [sound[HEADER_BYTES:] or b"\0"]))
    struct.pack_into(">i", records, 8, len(records) - 12)
    parts[at] = with_crc(records)
    return b"".join(parts)


def run_batches(content: bytes) -> str:
    """Walk a fetch; every value must lie within the bytes."""
    read = fetching._Chunks(
        TopicPartition("in", 0), fetching._Content(content), [], 0, None, None, True, 0
    )
    for records in read:
        assert (records.starts >= 0).all()
        assert (records.starts + records.lengths <= len(records.buffer)).all()
        [records.value(row) for row in range(len(records))]
    return "accepted"
