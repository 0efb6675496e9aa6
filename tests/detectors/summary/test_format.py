"""The published encoding (docs/formats/summaries.md): a decoder written from it agrees."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.columns import Columns
from detectors.errors import SnapshotCorrupt
from detectors.layout import Layout, layout_of
from detectors.profile import Channel, Profile, Span
from detectors.summary.cells import Moments, add_cell
from detectors.summary.sums import summarise

DOCUMENT = Path(__file__).parents[3] / "docs" / "formats" / "summaries.md"
PROFILE = Profile(
    model="shop",
    reference=Span(0, 0, 0),
    bucket_seconds=10,
    block_events=50,
    block_seconds=600,
    channels=(
        Channel("feature:amount", "numeric", centre=10.0, scale=2.0, edges=(0.0, 10.0, 20.0)),
        Channel("feature:plan", "categorical", categories=("free", "pro")),
    ),
    slices=({}, {"country": "DE"}),
    streams=(),
)
LAYOUT = layout_of(PROFILE)
BINS = (4, 3)
STREAMS = 4
Stream = tuple[int, int, int, int, int, dict[int, int]]


def example() -> bytes:
    """Read the worked example out of the document."""
    block = re.search(r"```hex\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    assert block is not None
    return bytes.fromhex(" ".join(line.split("   ")[0] for line in block[1].splitlines()))


def example_events() -> Columns:
    return Columns(
        profile=PROFILE,
        buckets=np.full(3, 2),
        values=np.array([[12.0], [9.0], [np.nan]]),
        codes=np.array([[0], [2], [-1]], np.int32),
        slices=np.array([[-1], [1], [-1]], np.int32),
        weights=np.array([1, 1, 2]),
    )


def varints(data: bytes) -> Iterator[int]:
    value = shift = 0
    for byte in data:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            if value >= 1 << 64 or shift > 70:
                raise SnapshotCorrupt("too long")
            yield value
            value = shift = 0
    if shift:
        raise SnapshotCorrupt("cut short")


def decoded(data: bytes) -> list[Stream]:
    """Decode a cell from what the document says, and nothing else."""
    integers = varints(data)
    found: list[Stream] = []
    stream = -1
    for gap in integers:
        try:
            missing, clipped, folded, squares, filled = (next(integers) for _ in range(5))
            stream += gap + 1
            if stream >= STREAMS or max(missing, clipped) > 1 << 40 or folded > 1 << 57:
                raise SnapshotCorrupt("no such stream, or too large")
            counts: dict[int, int] = {}
            at = -1
            if filled > 1000:
                raise SnapshotCorrupt("more bins than there are")
            for _ in range(filled):
                at += next(integers) + 1
                counts[at] = next(integers)
                if at >= BINS[stream % 2] or counts[at] > 1 << 40:
                    raise SnapshotCorrupt("no such bin, or too large")
        except (StopIteration, RuntimeError):
            raise SnapshotCorrupt("ends within a stream") from None
        if squares >= 1 << 63:
            raise SnapshotCorrupt("too large")
        total = -(folded // 2) - 1 if folded % 2 else folded // 2
        found.append((stream, missing, clipped, total, squares, counts))
    return found


def as_moments(streams: list[Stream]) -> Moments:
    """Write a decoded cell into the arrays that the judge uses."""
    moments = Moments.zeros(LAYOUT)
    for stream, missing, clipped, total, squares, counts in streams:
        at = divmod(stream, 2)
        moments.missing[at], moments.clipped[at], moments.sums[at] = missing, clipped, total
        moments.squares_high[at], moments.squares_low[at] = squares >> 32, squares & 0xFFFFFFFF
        for b, count in counts.items():
            moments.counts[at[0], LAYOUT.first_bin[at[1]] + b] = count
    return moments


def ours(data: bytes, layout: Layout = LAYOUT) -> Moments | None:
    """Decode with the code under test; None where it refuses."""
    moments = Moments.zeros(layout)
    try:
        add_cell(data, layout, moments)
    except SnapshotCorrupt:
        return None
    return moments


def assert_both_agree(data: bytes) -> None:
    try:
        expected = as_moments(decoded(data))
    except SnapshotCorrupt:
        assert ours(data) is None, data.hex()
        return
    found = ours(data)
    assert found is not None, data.hex()
    for mine, theirs in zip(expected.arrays, found.arrays, strict=True):
        assert mine.tolist() == theirs.tolist()


def leb128(value: int) -> bytes:
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


LARGE = [0, 1, 127, 128, 1 << 32, 1 << 40, (1 << 40) + 1, 1 << 57, (1 << 57) + 1]
LARGE += [(1 << 63) - 1, 1 << 63, (1 << 64) - 2, (1 << 64) - 1]


def test_the_documents_example_is_what_the_encoder_writes() -> None:
    assert example() == summarise(example_events(), LAYOUT)[0].data


def test_the_documents_example_decodes_to_what_it_says() -> None:
    assert decoded(example()) == [
        (0, 2, 0, 512, 1310720, {1: 1, 2: 1}),
        (1, 2, 0, 0, 0, {0: 1, 2: 1}),
        (2, 0, 0, -512, 262144, {1: 1}),
        (3, 0, 0, 0, 0, {2: 1}),
    ]
    assert_both_agree(example())


@pytest.mark.parametrize("length", range(len(example())))
def test_a_truncated_cell_is_refused_unless_it_ends_between_streams(length: int) -> None:
    assert_both_agree(example()[:length])


@given(st.integers(0, len(example()) - 1), st.integers(0, 255), st.integers(0, len(example())))
def test_a_damaged_cell_is_refused_or_means_what_the_document_says(
    at: int, byte: int, end: int
) -> None:
    damaged = bytearray(example())
    damaged[at] = byte
    assert_both_agree(bytes(damaged))
    assert_both_agree(bytes(damaged[:end]))


@given(st.lists(st.one_of(st.integers(0, 5), st.sampled_from(LARGE)), max_size=30))
def test_any_run_of_integers_is_refused_or_means_what_the_document_says(
    integers: list[int],
) -> None:
    assert_both_agree(b"".join(map(leb128, integers)))


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_mean_what_the_document_says(data: bytes) -> None:
    assert_both_agree(data)


@pytest.mark.parametrize("gap", [4, (1 << 63) - 1, (1 << 64) - 1, (1 << 64) - 3])
def test_a_stream_behind_the_last_one_is_refused_even_if_the_sum_wraps_around(gap: int) -> None:
    first = bytes([1, 0, 0, 0, 0, 0])
    assert ours(first) is not None
    assert ours(first + leb128(gap) + bytes([1, 0, 0, 0, 0])) is None


@pytest.mark.parametrize("gap", [3, (1 << 63) - 1, (1 << 64) - 1])
def test_a_bin_behind_the_last_one_is_refused_even_if_the_sum_wraps_around(gap: int) -> None:
    head = bytes([0, 0, 0, 0, 0, 2, 0, 1])
    assert ours(head + leb128(gap) + bytes([1])) is None


@pytest.mark.parametrize(
    ("field", "limit"), [(1, 1 << 40), (2, 1 << 40), (3, 1 << 57), (4, (1 << 63) - 1), (7, 1 << 40)]
)
def test_a_number_is_taken_up_to_its_limit_and_refused_above(field: int, limit: int) -> None:
    integers = [0, 0, 0, 0, 0, 1, 0, 1]
    integers[field] = limit
    assert ours(b"".join(map(leb128, integers))) is not None
    integers[field] = limit + 1
    assert ours(b"".join(map(leb128, integers))) is None


def test_an_integer_of_more_than_64_bits_is_refused() -> None:
    assert (
        ours(bytes([0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2, 0, 0, 0, 0]))
        is None
    )


def test_the_message_says_what_may_be_wrong() -> None:
    with pytest.raises(SnapshotCorrupt, match="does not fit its profile's layout"):
        add_cell(b"\x01", LAYOUT, Moments.zeros(LAYOUT))
