"""Arrow messages that are poison: named rejects in little memory, and no harm to their neighbours.

What a scanner holds after messages of the same schema is what a quick reader goes by, so each is
read by a fresh scanner, and by one that has read good messages before.
"""

import tracemalloc

import pyarrow as pa
import pytest

from detectors.events import REJECT_CODES
from detectors.observe import Batch
from stream.batching import batch_of
from stream.config import Config, KafkaConfig
from stream.decode.scan.scanner import Scanner
from stream.records import Records
from tests import arrows, scans
from tests.arrow_poison import GOOD, REFUSED, TAKEN
from tests.poison import CSV_POISON, JSON_POISON, LARGE_JSON

DECODE_BYTES_MAX = 16 << 20
# Of a model without a profile, each row is an event of its own.
EVENT_BYTES_MAX = 1 << 10
CONFIG = Config(limits=scans.LIMITS, kafka=KafkaConfig(require_append_time=False))
POISON = {
    f"{code}-{name}": (code, make) for code, of in REFUSED.items() for name, make in of.items()
}


def appended(value: bytes) -> Records:
    """Append one message at the time of `scans`."""
    log = Records.of_values([value])
    log.times_ms[:] = scans.RECORD_MS
    return log


def read(value: bytes, scanner: Scanner | None = None) -> Batch:
    """Read one message."""
    return batch_of(appended(value), CONFIG, scanner or Scanner(scans.book(), CONFIG.limits))


def peak_bytes(value: bytes) -> int:
    """Measure what reading a message takes at most, in Python and numpy, and in Arrow's pool."""
    pool, before = pa.proxy_memory_pool(pa.default_memory_pool()), pa.default_memory_pool()
    log, scanner = appended(value), Scanner(scans.book(), CONFIG.limits)
    for _ in range(3):  # what is compiled or loaded for the first time is not the message's
        batch_of(log, CONFIG, scanner)
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        batch_of(log, CONFIG, scanner)
        return tracemalloc.get_traced_memory()[1] + pool.max_memory()
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)


def read_twice(value: bytes) -> Batch:
    """Read a message afresh, and between good ones; it comes to the same, and so do they."""
    scanner, good = Scanner(scans.book(), CONFIG.limits), arrows.message(GOOD)
    for _ in range(2):
        assert (read(good, scanner).accepted, read(good, scanner).reject_codes) == (3, [])
        later = read(value, scanner)
    assert (read(good, scanner).accepted, read(good, scanner).reject_codes) == (3, [])
    found = read(value)
    assert (found.accepted, found.reject_codes) == (later.accepted, later.reject_codes)
    return found


@pytest.mark.parametrize("name", POISON)
def test_a_message_is_one_reject_by_its_name(name: str) -> None:
    code, make = POISON[name]
    value = make()
    assert value[:4] == b"\xff" * 4
    found = read_twice(value)
    assert (found.reject_codes, found.reject_rows.tolist(), found.accepted) == ([code], [0], 0)
    assert not found.of_one
    assert peak_bytes(value) <= DECODE_BYTES_MAX


@pytest.mark.parametrize("name", TAKEN)
def test_a_message_is_taken_row_by_row(name: str) -> None:
    make, accepted, codes = TAKEN[name]
    value = make()
    found = read_twice(value)
    assert (found.accepted, list(found.reject_codes), found.of_one) == (accepted, codes, True)
    assert peak_bytes(value) <= DECODE_BYTES_MAX + EVENT_BYTES_MAX * len(found.events)


def test_poison_is_complete() -> None:
    """Together with JSON and tables there is some for each code, but for what a bug of ours is."""
    reached = {code for code, _ in [*JSON_POISON, *CSV_POISON]} | REFUSED.keys()
    reached |= {code for _, code in LARGE_JSON.values()}
    assert REJECT_CODES.keys() - reached == {"quarantine"}
    assert set().union(*(codes for _, _, codes in TAKEN.values())) <= REJECT_CODES.keys()
    assert len({make() for _, make in POISON.values()}) == len(POISON)
