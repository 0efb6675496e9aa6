"""Arrow messages with damage in schema, buffers, dictionaries and lengths."""

import random
from functools import cache

import numpy as np

from detectors.events import REJECT_CODES
from stream.decode.arrow.reader import ArrowReader
from stream.decode.strict import RejectedError
from tests import arrows, scans
from tests.fuzz.mutators import mutated

__all__ = ["make_arrow", "run_arrow"]

SEEDS = 300
EDGES = (0, 1, -1, 2**31 - 1, 2**31, 2**63 - 1, 2**64 - 1, 8, 64, 1 << 20)


@cache
def seeds() -> list[bytes]:
    """Write messages of every shape."""
    rng = random.Random(11)
    writers = [arrows.Writer(rng, 0.9), *(arrows.PlainWriter(rng) for _ in range(2))]
    return [rng.choice(writers).made(rng.choice((1, 3, 20))).value for _ in range(SEEDS)]


@cache
def reader() -> ArrowReader:
    """Keep one reader, as a worker does."""
    return ArrowReader(scans.book(), scans.LIMITS)


def make_arrow(rng: random.Random) -> bytes:
    """Damage a message: anywhere, or words of it so that the frames still fit."""
    if rng.random() < 0.2:
        return b"\xff" * 4 + mutated(rng, seeds())[4:]
    value = bytearray(rng.choice(seeds()))
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        at = rng.randrange(4, len(value))
        if rng.random() < 0.5:
            value[at] = rng.choice((0, 1, 2, 4, 127, 128, 255, value[at] ^ 1, rng.randrange(256)))
        else:
            size = rng.choice((2, 4, 8))
            at -= at % size
            word = rng.choice(EDGES) % (1 << 8 * size)
            value[at : at + size] = word.to_bytes(size, "little")
    return bytes(value)


def run_arrow(content: bytes) -> str:
    """Read a message in both ways; each of its rows is in a column, an event or a reject."""
    try:
        found = reader().read_slowly(content, scans.RECORD_MS)
    except RejectedError as refusal:
        if refusal.code not in REJECT_CODES:
            raise
        assert reader().quick.read(content, arrows.LATEST_MS) is None
        return refusal.code
    reader().quick.learn(content)
    arrows.assert_quick_is_right(reader().quick.read(content, arrows.LATEST_MS), found)
    pieces = [piece.rows for piece in found.scanned]
    rows = np.concatenate([*pieces, found.event_rows, found.reject_rows])
    assert np.sort(rows).tolist() == list(range(found.rows))
    assert all((np.diff(piece) > 0).all() for piece in pieces)
    assert set(found.reject_codes) <= REJECT_CODES.keys()
    for piece in found.scanned:
        profile, columns = piece.columns.profile, piece.columns
        assert ((columns.weights >= 1) & (columns.weights <= 4096)).all()
        assert not np.isinf(columns.values).any()
        bins = [channel.bins for channel in profile.channels if channel.kind == "categorical"]
        assert ((columns.codes >= -1) & (columns.codes < np.array(bins))).all()
        assert ((columns.slices >= -1) & (columns.slices < len(profile.slices))).all()
    return "accepted"
