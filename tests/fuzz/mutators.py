"""Damage to bytes: small, seeded, and of the kinds that a parser trips over."""

import random
import re
from collections.abc import Sequence

__all__ = ["mutated", "mutated_json"]

# What JSON, MessagePack and zlib give a meaning to, and numbers at the ends of their ranges.
JSON = rb'" \ \u \ud800 [ ] { } , : null true NaN 1e999 -0.0 1e-400 - . """ "x":0, "time":'.split()
JSON += [b"9" * 20, b"7" * 400, b"18446744073709551616", b"\xef\xbb\xbf"]
JSON += [b"[" * 200, b"[" * 1_500, b'{"a":' * 1_500]
VALUES = rb'null true 0 -0.0 2.0 1.5 -1 1e999 "" "1" "2026-11-23T12:00:00Z" "\ud800" {} []'.split()
VALUES += rb'{"a":1} [1] {"score":1,"class":"a"} {"class":[]} 1700000000 1700000000000'.split()
VALUES += [b"9" * 30, b"7" * 400, b'"' + b"x" * 1_025 + b'"', b"[" * 9 + b"]" * 9]
PACKED = [head + b"\xff" * 4 for head in (b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xca")]
PACKED += [b"\xcf" + b"\xff" * 8, b"\xd3\x80" + bytes(7), b"\xcb\x7f\xf8" + bytes(6), b"\xc0"]
PACKED += [b"\xc1", b"\xc7\x08\x01", b"\xd6\xff" + bytes(4), b"\xa1\xff", b"\x80", b"\x91" * 1_500]
TEXT = [b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xd9\xa3", b"\0", b"\n"]
EDGES = b"\x00\x01\x7f\x80\xff\x20\x30\x39"
PRINTED = b'0123456789-+.eE"{}[]:,\\ tfnaz'
VALUE = re.compile(rb'(?<=:)\s*(?:"[^"]*"|[^,{}"\[\]]+)')


def mutated(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Take one seed, or two that are joined, and damage it in up to eight places."""
    value = bytearray(rng.choice(seeds))
    if rng.random() < 0.05:
        other = rng.choice(seeds)
        value[rng.randrange(len(value) + 1) :] = other[rng.randrange(len(other) + 1) :]
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 8))):
        _damage(rng, value, [*PACKED, *TEXT], bytes(range(256)))
    return bytes(value)


def mutated_json(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Swap some of a seed's values for others, and damage it in up to eight places."""
    value = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((0, 1, 1, 2))):
        found = list(VALUE.finditer(value[:4_096]))
        if found:
            start, end = rng.choice(found).span()
            value[start:end] = rng.choice(VALUES)
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 8))):
        _damage(rng, value, JSON if rng.random() < 0.9 else TEXT, PRINTED)
    return bytes(value)


def _damage(rng: random.Random, value: bytearray, pieces: list[bytes], letters: bytes) -> None:
    """Change a byte, a run of bytes, or the length."""
    if not value:
        value += rng.choice(pieces)
        return
    at = rng.randrange(len(value))
    end = min(len(value), at + rng.choice((1, 1, 2, 4, 16, 64)))
    kind = rng.randrange(8)
    if kind == 0:
        value[at] ^= 1 << rng.randrange(7 if letters is PRINTED else 8)
    elif kind == 1:
        value[at] = rng.choice(EDGES)
    elif kind == 2:
        value[at] = rng.choice(letters)
    elif kind == 3:
        del value[at:end]
    elif kind == 4:
        value[at:at] = rng.choice(pieces)
    elif kind == 5:
        value[at:end] = rng.choice(pieces)
    elif kind == 6:
        value[at:at] = value[at:end] * rng.choice((1, 2, 40))
    else:
        del value[at:]
