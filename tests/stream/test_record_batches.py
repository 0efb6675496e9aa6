"""Batches walked in place give what aiokafka's own parser gives, and never read outside."""

import ctypes
import gzip
import mmap
import random
import struct
import subprocess
import sys
from collections.abc import Iterator

import cramjam
import numpy as np
import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, PartitionRecords
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint_py
from aiokafka.structs import TopicPartition
from batches import APPEND_TIME, CODECS, CONTROL, TRANSACTIONAL, Made, batch, with_crc
from hypothesis import given
from hypothesis import strategies as st

from detectors.errors import StateRefused
from stream import fetching, record_batches
from stream.record_batches import MalformedError, split, walk
from stream.record_walk import TICK_HEADER, walk_records
from stream.records import PADDING, TICK, Records

IN = TopicPartition("in", 0)
ABORT, COMMIT = b"\0\0\0\0", b"\0\0\0\1"
Row = tuple[int, bytes | None, int, bool, bool]


def rows(records: Records) -> list[Row]:
    flags = zip(records.append_times.tolist(), records.ticks.tolist(), strict=True)
    stamps = zip(records.offsets.tolist(), records.times_ms.tolist(), flags, strict=True)
    return [(at, records.value(i), ms, *both) for i, (at, ms, both) in enumerate(stamps)]


def in_place(
    content: bytes, start: int = 0, aborted: object = (), isolation: int = READ_UNCOMMITTED
) -> tuple[list[Row], int]:
    fetched = fetching._Content(content)
    ours = fetching._Chunks(IN, fetched, aborted, start, None, None, True, isolation)
    found = [row for chunk in ours for row in rows(chunk)]
    return found, ours.next_fetch_offset


def by_objects(
    content: bytes, start: int = 0, aborted: object = (), isolation: int = READ_UNCOMMITTED
) -> tuple[list[Row], int]:
    records = MemoryRecords(content)
    theirs = PartitionRecords(IN, records, aborted, start, None, None, True, isolation)
    return rows(Records.of(list(theirs))), theirs.next_fetch_offset


names = st.text(max_size=12)
some_bytes = st.binary(max_size=40)
headers = st.lists(st.one_of(st.just(TICK), st.tuples(names, st.none() | some_bytes)), max_size=3)
made = st.builds(
    Made,
    delta=st.integers(0, 5),  # steps: made into growing deltas below
    value=st.none() | some_bytes | st.binary(min_size=100, max_size=300),
    key=st.none() | some_bytes,
    headers=headers,
    time_ms=st.integers(-1, 2**45),
)


@st.composite
def fetches(draw: st.DrawFn) -> bytes:
    """Draw a partition's share of a fetch: batches with holes, markers, a cut-off end."""
    parts, offset = [], draw(st.integers(0, 2**40))
    for _ in range(draw(st.integers(1, 4))):
        offset += draw(st.integers(0, 3))
        records, delta = [], 0
        for one in draw(st.lists(made, max_size=6)):
            delta += one.delta
            records.append(one._replace(delta=delta))
            delta += 1
        attributes = draw(st.sampled_from([0, APPEND_TIME, TRANSACTIONAL, CONTROL | TRANSACTIONAL]))
        if attributes & CONTROL:
            records = [Made(0, b"\0" * 6, draw(st.sampled_from([ABORT, COMMIT])))]
        # A broker compresses no marker, and a builder here nothing that is empty.
        plain = attributes & CONTROL or not records
        codec = 0 if plain else draw(st.sampled_from(list(CODECS.values())))
        last = delta + draw(st.integers(0, 3))
        parts.append(
            batch(
                offset, records, codec,
                attributes=attributes, last=last, max_ms=draw(st.integers(-1, 2**45)),
                producer=draw(st.integers(-1, 2)),
            )
        )  # fmt: skip
        offset += last + 1
    content = b"".join(parts)
    return content[: len(content) - draw(st.sampled_from([0, 0, 1, 30, 70]))]


@given(
    fetches(),
    st.integers(0, 20),
    st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 2**40)), max_size=3),
    st.sampled_from([READ_UNCOMMITTED, READ_COMMITTED]),
)
def test_in_place_equals_aiokafkas_records(
    content: bytes, skipped: int, aborted: list[tuple[int, int]], isolation: int
) -> None:
    start = struct.unpack_from(">q", content)[0] + skipped if len(content) > 8 else 0
    expected = by_objects(content, start, list(aborted), isolation)
    assert expected == in_place(content, start, list(aborted), isolation)


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_is_read_in_chunks(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_batches, "CHUNK_BYTES", 20_000)
    values = [b'{"n": %d, "pad": "%s"}' % (i, b"x" * 300) for i in range(400)]
    parts = [
        batch(first, [Made(i, values[first + i]) for i in range(50)], CODECS[codec])
        for first in range(0, 400, 50)
    ]
    content = b"".join(parts)
    chunks = list(walk(content, ((one, False) for one in split(content)), 7))
    assert len(chunks) == 4
    assert [next_offset for _, next_offset in chunks] == [100, 200, 300, 400]
    assert [row[:2] for chunk, _ in chunks for row in rows(chunk)] == list(
        enumerate(values[7:], start=7)
    )
    for chunk, _ in chunks:
        assert int((chunk.starts + chunk.lengths).max()) + PADDING <= len(chunk.buffer)
    fetched = np.frombuffer(content, np.uint8)
    left_in_place = [np.shares_memory(chunk.buffer, fetched) for chunk, _ in chunks]
    assert left_in_place == [not CODECS[codec]] * 3 + [False]


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_packed_a_thousandfold_is_unpacked(codec: str) -> None:
    content = batch(5, [Made(0, bytes(2 << 20)), Made(1, b"x")], CODECS[codec])
    assert in_place(content) == by_objects(content)


def test_raw_snappy_is_read_like_the_framed_one() -> None:
    plain = batch(5, [Made(0, b"a" * 100), Made(1, None, b"key", [TICK])])
    raw = bytearray(plain[:61] + bytes(cramjam.snappy.compress_raw(plain[61:])))
    struct.pack_into(">i", raw, 8, len(raw) - 12)
    struct.pack_into(">h", raw, 21, CODECS["snappy"])
    content = with_crc(raw)
    assert in_place(content) == by_objects(content) == in_place(plain)
    assert in_place(content)[0][1][4]


def test_an_older_format_is_refused_with_the_setting_that_reads_it() -> None:
    builder = LegacyRecordBatchBuilder(1, 0, 1 << 20)
    for i in range(3):
        builder.append(i, timestamp=1000 + i, key=None, value=b"value %d" % i * 5)
    content = bytes(builder.build())
    assert [row[1][:7] for row in by_objects(content)[0]] == [b"value 0", b"value 1", b"value 2"]
    assert 'has format v1: set kafka.fetch to "records"' in refused(content)


def test_an_aborted_transaction_is_left_out_only_where_that_is_asked_for() -> None:
    content = b"".join([
        batch(0, [Made(0, b"aborted")], attributes=TRANSACTIONAL, producer=9),
        batch(1, [Made(0, b"other")], attributes=TRANSACTIONAL, producer=8),
        batch(2, [Made(0, b"\0" * 6, ABORT)], attributes=TRANSACTIONAL | CONTROL, producer=9),
        batch(3, [Made(0, b"anew")], attributes=TRANSACTIONAL, producer=9),
    ])  # fmt: skip
    committed, _ = in_place(content, 0, [(9, 0)], READ_COMMITTED)
    everything, reached = in_place(content, 0, [(9, 0)])
    assert [row[1] for row in committed] == [b"other", b"anew"]
    assert [row[1] for row in everything] == [b"aborted", b"other", b"anew"]
    assert reached == 4


def refused(content: bytes) -> str:
    with pytest.raises(StateRefused) as refusal:
        in_place(content)
    return str(refusal.value)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_what_cannot_be_decompressed_is_refused_by_offset(codec: str) -> None:
    whole = bytearray(batch(40, [Made(0, b"x" * 1000)], CODECS[codec]))
    whole[61:] = random.Random(1).randbytes(len(whole) - 61)
    message = refused(with_crc(whole))
    assert message.startswith("in/0: the batch of records at offset 40 cannot be decompressed")
    assert codec in message


def test_a_bomb_is_refused_before_it_fills_the_memory() -> None:
    plain = batch(40, [Made(0, b"")])
    unpacked = bytes(record_batches.BATCH_BYTES_MAX + 1)
    for codec, packed in ((1, gzip.compress(unpacked, 1)), (4, cramjam.zstd.compress(unpacked))):
        bomb = bytearray(plain[:61] + bytes(packed))
        struct.pack_into(">i", bomb, 8, len(bomb) - 12)
        struct.pack_into(">h", bomb, 21, codec)
        assert "cannot be decompressed" in refused(with_crc(bomb))


def test_a_wrong_checksum_an_unknown_codec_and_a_wrong_length_are_refused_by_name() -> None:
    good = batch(40, [Made(0, b"value")])
    assert "does not fit its checksum" in refused(good[:-1] + b"\x02")
    assert "a codec (5) that nobody knows" in refused(
        with_crc(good[:22] + bytes([good[22] | 5]) + good[23:])
    )
    assert "says that it is 40 bytes long" in refused(good[:8] + b"\0\0\0\x28" + good[12:])
    assert "says that it is -1 bytes long" in refused(good[:8] + b"\xff" * 4 + good[12:])
    assert "cannot hold 100 records" in refused(with_crc(good[:57] + b"\0\0\0\x64" + good[61:]))


class InPython(_DefaultRecordBatchPy):  # type: ignore[misc]  # final, but for a test
    """aiokafka's parser with its checked numbers: the compiled ones read, and crash, anywhere."""

    def _read_msg(self) -> object:
        return super()._read_msg(decode_varint_py)


def theirs_on_mutated(content: bytes) -> list[Row] | None:
    try:
        return [
            (r.offset, r.value, r.timestamp, r.timestamp_type == 1, TICK in r.headers)
            for r in InPython(content)
        ]
    except Exception:  # noqa: BLE001  whatever it raises, it refuses
        return None


@given(st.lists(made, min_size=1, max_size=4), st.data())
def test_mutated_records_are_read_alike_or_refused_alike(
    records: list[Made], data: st.DataObject
) -> None:
    content = bytearray(batch(3, [one._replace(delta=i) for i, one in enumerate(records)]))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(57, len(content) - 1))] = data.draw(st.integers(0, 255))
    mutated = bytes(content)
    expected = theirs_on_mutated(mutated)
    try:
        walked = list(walk(mutated, [(one, False) for one in split(mutated)], -(2**62)))
    except MalformedError:
        assert expected is None
        return
    # They alone refuse a header's key that is no UTF-8, and know numbers of over 64 bits.
    if expected is None or any(
        abs(number) >= 2**62 for at, _, ms, *_ in expected for number in (at, ms)
    ):
        return
    kept: list[Row] = []
    for row in expected:
        if not kept or row[0] > kept[-1][0]:
            kept.append(row)
    assert [row for chunk, _ in walked for row in rows(chunk)] == kept


@pytest.fixture
def before_a_wall() -> Iterator[tuple[np.ndarray, int]]:
    """Give memory that ends at a page which nobody may read: one byte too far is a crash."""
    page = mmap.PAGESIZE
    area = mmap.mmap(-1, 2 * page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(area))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    assert libc.mprotect(address + page, page, 0) == 0
    yield np.frombuffer(area, np.uint8, page), page
    assert libc.mprotect(address + page, page, 3) == 0


def test_nothing_behind_the_bytes_is_ever_read(before_a_wall: tuple[np.ndarray, int]) -> None:
    memory, page = before_a_wall
    draw = random.Random(6)
    read = 0
    for _ in range(20_000):
        records = [
            Made(i, draw.randbytes(draw.randrange(20)), None, [TICK] * draw.randrange(2))
            for i in range(draw.randrange(1, 4))
        ]
        content = bytearray(batch(3, records)[61:])
        for _ in range(draw.randrange(3)):
            content[draw.randrange(len(content))] = draw.choice([0, 1, 0x7F, 0x80, 0xFF])
        content = content[: draw.choice([len(content), draw.randrange(1, len(content) + 1)])]
        memory[page - len(content) :] = np.frombuffer(content, np.uint8)
        spans = np.array([[page - len(content), page, 3, 9, 0, 0, 0, len(records)]], np.int64)
        places, _, _, bad = walk_records(memory, spans, 0, TICK_HEADER)
        read += bad < 0
        assert (places[0] + places[1] <= page).all()
    assert 2_000 < read < 15_000


def test_the_wall_is_one() -> None:
    code = (
        "import ctypes, mmap; area = mmap.mmap(-1, 2 * mmap.PAGESIZE);"
        "at = ctypes.addressof(ctypes.c_char.from_buffer(area)) + mmap.PAGESIZE;"
        "ctypes.CDLL(None).mprotect(ctypes.c_void_p(at), ctypes.c_size_t(mmap.PAGESIZE), 0);"
        "ctypes.string_at(at, 1)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode < 0
