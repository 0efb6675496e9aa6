"""Mutated records by the thousand: what the scanner takes of them, the slow way takes too.

A batch is made from (seed, number) alone, and scanned by a scanner that keeps what it learned
from the batches before; a batch that is run again alone starts afresh.
"""

import random
import sys
import time
from functools import cache

import numpy as np

from stream.decode.scan.scanner import Scanner
from tests import scans
from tests.fuzz.campaign import Finding
from tests.fuzz.mutators import mutated_json
from tests.poison import JSON_POISON

__all__ = ["BATCH", "NAME", "batch", "fuzz_scans", "rows"]

NAME = "scan"
BATCH = 2_000
SEED_BYTES_MAX = 2_048


@cache
def seeds() -> list[bytes]:
    """Give events of every shape, and poison that is not long."""
    writer = scans.Writer(6)
    poison = [value for value in JSON_POISON.values() if len(value) <= SEED_BYTES_MAX]
    return [writer.event(0.95) for _ in range(40 * len(poison))] + poison


def batch(seed: int, number: int) -> list[bytes | None]:
    """Make the records of one batch."""
    rng = random.Random(f"{NAME}/{seed}/{number}")
    return [mutated_json(rng, seeds()) for _ in range(BATCH)]


def fuzz_scans(seed: int, numbers: range, scanner: Scanner | None = None) -> str:
    """Scan batches of mutated records; give a line that says what they came to.

    Raises
    ------
    Finding
        At the first batch of which the slow way says anything else.
    """
    held = scans.book()
    scanner = scanner or Scanner(held, scans.LIMITS)
    began, taken = time.perf_counter(), 0
    for number in numbers:
        values = batch(seed, number)
        record_ms = scans.RECORD_MS if number % 4 else None
        try:
            taken += len(scans.assert_same(values, record_ms, scanner, held))
        except BaseException as error:
            content = guilty(values, record_ms)
            raise Finding(NAME, seed, number, content, repr(error)[:2_000]) from error
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{NAME} {number * BATCH:,} of {len(numbers) * BATCH:,} ")
    count = len(numbers) * BATCH
    seconds = time.perf_counter() - began
    return f"{NAME}: {count} records, {taken} taken by the scanner, all the same; {seconds:.0f} s\n"


def guilty(values: list[bytes | None], record_ms: int | None) -> bytes:
    """Find the record that alone is enough; empty if it takes several."""
    for value in values:
        try:
            scans.assert_same([value], record_ms)
        except BaseException:  # noqa: BLE001
            return value or b""
    return b""


def rows(seed: int, number: int) -> np.ndarray:
    """Run one batch again; give the rows that were taken."""
    return scans.assert_same(batch(seed, number), scans.RECORD_MS if number % 4 else None)
