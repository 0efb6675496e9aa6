"""The quick way through Arrow messages: takes what is plain, and gives what the slow way gives."""

import random
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.observe import Scanned
from stream.decode.arrow import kernels
from stream.decode.arrow.body import schema_frame
from stream.decode.arrow.reader import ArrowReader
from stream.decode.strict import RejectedError
from tests import arrows, scans


def assert_both_agree(value: bytes) -> Scanned | None:
    """Read a message of a schema that is known; require both ways to agree."""
    reader = ArrowReader(scans.book(), scans.LIMITS)
    slow = reader.read(value, scans.RECORD_MS)
    quick = reader.quick.read(value, arrows.LATEST_MS)
    arrows.assert_quick_is_right(quick, slow)
    return quick


@given(st.integers(0, 2**32), st.integers(1, 70))
def test_whatever_is_taken_is_what_the_slow_way_takes(seed: int, rows: int) -> None:
    assert_both_agree(arrows.PlainWriter(random.Random(seed)).made(rows).value)


def test_plain_messages_are_mostly_taken() -> None:
    rng = random.Random(3)
    found = [assert_both_agree(arrows.PlainWriter(rng).made(50).value) for _ in range(100)]
    assert sum(piece is not None for piece in found) > 30
    folded = sum(piece.folded.sum(axis=0) for piece in found if piece is not None)
    assert (np.asarray(folded) > 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_any_bit_of_what_follows_the_schema_gives_what_the_slow_way_gives(seed: int) -> None:
    """Whether a message is taken may not depend on what was read before it."""
    value = taken(seed)
    reader = ArrowReader(scans.book(), scans.LIMITS)
    reader.read(value, scans.RECORD_MS)
    first = 8 + len(schema_frame(value))
    differs = 0
    for at in range(first, len(value)):
        damaged = bytearray(value)
        damaged[at] ^= 1 << random.Random(at).randrange(8)
        quick = reader.quick.read(bytes(damaged), arrows.LATEST_MS)
        try:
            slow = reader.read_slowly(bytes(damaged), scans.RECORD_MS)
        except RejectedError:
            assert quick is None, at
            differs += 1
        else:
            arrows.assert_quick_is_right(quick, slow)
    assert differs > 100


def taken(seed: int) -> bytes:
    """Draw a message that the quick way takes, with dictionaries."""
    rng = random.Random(seed)
    while True:
        value = arrows.PlainWriter(rng).made(5).value
        if assert_both_agree(value) is not None and value.count(b"\xff\xff\xff\xff") > 3:
            return value


ROWS = 500
TIME = pa.array([scans.RECORD_MS - i for i in range(ROWS)], pa.timestamp("ms", "UTC"))
GOOD: dict[str, Any] = {"time": TIME, "model": ["shop"] * ROWS}


def columns(**features: Any) -> bytes:
    arrays = [pa.array(values) for values in features.values()]
    of = pa.StructArray.from_arrays(arrays, list(features))
    return arrows.message(GOOD | {"features": of})


def first_odd(value: Any, plain: Any = 1.0) -> list[Any]:
    return [value, *[plain] * (ROWS - 1)]


TAKEN = {
    "numbers": lambda: columns(amount=[0.5] * ROWS, hour=pa.array([3] * ROWS, "int16")),
    "holes": lambda: columns(amount=first_odd(None), city=first_odd(None, "x")),
    "texts of more bytes than one": lambda: columns(city=["São Paulo", "ä"] * (ROWS // 2)),
    "a part": lambda: arrows.stream([pa.RecordBatch.from_pydict(GOOD)[7:300]]),
    "a dictionary with what no row has": lambda: arrows.message(
        GOOD | {"model": pa.DictionaryArray.from_arrays([1] * ROWS, ["toys", "shop"])}
    ),
}
LEFT = {
    "infinity": lambda: columns(amount=first_odd(float("inf"))),
    "a long text": lambda: columns(city=first_odd("x" * 65, "x")),
    "two models": lambda: arrows.message(GOOD | {"model": first_odd("toys", "shop")}),
    "no model": lambda: arrows.message(GOOD | {"model": first_odd(None, "shop")}),
    "two batches": lambda: arrows.stream([pa.RecordBatch.from_pydict(GOOD)] * 2),
    "two profiles": lambda: arrows.message(
        GOOD | {"time": first_odd(scans.SWITCH_MS / 1000 - 1, scans.SWITCH_MS / 1000)}
    ),
    "the future": lambda: arrows.message(
        GOOD | {"time": first_odd(arrows.LATEST_MS / 1000 + 1, scans.RECORD_MS / 1000)}
    ),
    "a weight": lambda: arrows.message(GOOD | {"weight": first_odd(5_000, 1)}),
    "a number as a category": lambda: columns(plan=[3] * ROWS),
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_plain_message_is_taken(name: str) -> None:
    assert assert_both_agree(TAKEN[name]()) is not None


@pytest.mark.parametrize("name", LEFT)
def test_a_message_in_doubt_is_left_whole(name: str) -> None:
    assert assert_both_agree(LEFT[name]()) is None


def test_a_dictionary_that_changes_is_read_again() -> None:
    reader = ArrowReader(scans.book(), scans.LIMITS)
    kind = pa.dictionary(pa.int32(), pa.string())
    for names in (["shop"], ["shop"], ["Klasse ä"], ["shop"]):
        value = arrows.message(GOOD | {"model": pa.array(names * ROWS, kind)})
        slow = reader.read_slowly(value, scans.RECORD_MS)
        reader.quick.learn(value)
        quick = reader.quick.read(value, arrows.LATEST_MS)
        assert quick is not None
        arrows.assert_quick_is_right(quick, slow)


@pytest.mark.parametrize(
    ("offsets", "fit"),
    [([0, 1, 3], True), ([0, 3, 1], False), ([-1, 0, 1], False), ([0, 1, 5], False)],
)
def test_offsets_rise_within_their_buffer(offsets: list[int], fit: bool) -> None:
    views = kernels.views_of(np.array([*offsets, 0], np.int32).tobytes())
    assert kernels.texts_fit(views, kernels.I4, 0, (2, 4, 4)) is fit
    assert not kernels.texts_fit(views, kernels.I4, 0, (2, 4, 1))


def test_a_character_that_is_cut_is_no_text() -> None:
    value = np.array([0, 1, 2, 0], np.int32).tobytes() + "ä".encode() + bytes(6)
    views = kernels.views_of(value)
    assert not kernels.whole_characters(views, kernels.I4, 0, (2, 16, 2))
    assert kernels.whole_characters(views, kernels.I4, 2, (0, 16, 2))


def test_texts_are_told_apart_though_their_places_in_the_table_are_one() -> None:
    value = np.array([0, 1, 2, 3], np.int32).tobytes() + b"aba" + bytes(5)
    rows, table = np.zeros(3, np.int32), np.full(4, -1, np.int32)
    column = (kernels.I4, 0, 16, -1, -1)
    firsts = np.zeros(2, np.int64)
    assert kernels.index_texts(kernels.views_of(value), column, (rows, firsts, table)) == 2
    assert (rows.tolist(), firsts.tolist()) == ([0, 1, 0], [0, 1])
    few = (rows, firsts[:1], np.full(2, -1, np.int32))
    assert kernels.index_texts(kernels.views_of(value), column, few) == -1


def test_a_worker_that_sees_no_message_does_not_import_pyarrow() -> None:
    code = (
        "import sys, stream.worker, stream.app, stream.warmup, stream.backtest, driftline.cli;"
        "from stream.warmup import warm_observe, warm_judge; warm_observe();"
        "sys.exit('pyarrow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
