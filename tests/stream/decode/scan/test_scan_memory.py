"""The scanner reads nothing outside its buffer: behind it lies a page that must not be read."""

import ctypes
import mmap
import random
import subprocess
import sys

import numpy as np
import pytest
import scans

from stream.decode.scan.scanner import Scanner
from stream.records import PADDING, Records

PAGES = 64


@pytest.fixture
def guarded() -> np.ndarray:
    """Map pages between two that no one may touch."""
    size = mmap.PAGESIZE
    whole = mmap.mmap(-1, (PAGES + 2) * size)
    memory = np.frombuffer(whole, np.uint8)
    libc = ctypes.CDLL(None, use_errno=True)
    for page in (0, PAGES + 1):
        address = ctypes.c_void_p(memory.ctypes.data + page * size)
        assert libc.mprotect(address, size, mmap.PROT_READ * 0) == 0
    return memory[size : (PAGES + 1) * size]


def laid_out(buffer: np.ndarray, values: list[bytes], filler: bytes) -> Records:
    """Put values against the end of a buffer, PADDING before it, and fill the padding."""
    plain = Records.of_values(values)
    content = plain.buffer[: len(plain.buffer) - PADDING]
    first = len(buffer) - PADDING - len(content)
    buffer[first : first + len(content)] = content
    buffer[len(buffer) - PADDING :] = np.frombuffer((filler * PADDING)[:PADDING], np.uint8)
    return Records(
        buffer=buffer,
        starts=plain.starts + first,
        lengths=plain.lengths,
        offsets=plain.offsets,
        times_ms=plain.times_ms + scans.RECORD_MS,
        append_times=plain.append_times,
        ticks=plain.ticks,
    )


@pytest.mark.parametrize("filler", [b"9", b" ", b"a", b'"', b"}", b"\\", b"\xf0", b"[", b"e"])
def test_a_value_at_the_end_of_the_buffer_is_read_to_its_end(
    guarded: np.ndarray, filler: bytes
) -> None:
    writer, rng = scans.Writer(7), random.Random(7)
    held = scans.book()
    scanner = Scanner(held, scans.LIMITS)
    taken = 0
    for _ in range(300):
        event = writer.event()
        cut = rng.randrange(1, len(event) + 1)
        ends = [b"", b'"', b"1", b"{", b"}", b'{"', b"[{}", b"\xf0}", b'{"a":1', b'"}', b"1e}"]
        values = [writer.event(), event[:cut] + rng.choice(ends)]
        records = laid_out(guarded, values, filler)
        taken += len(scans.assert_same([*values], scanner=scanner, held=held, records=records))
    assert taken > 120


def test_the_page_behind_the_buffer_is_guarded() -> None:
    """One byte further ends the process."""
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]; import test_scan_memory as t\n"
        "buffer = t.guarded.__wrapped__()\n"
        "import ctypes; ctypes.string_at(buffer.ctypes.data + len(buffer) - 1, 1)\n"
        "print('within', flush=True)\n"
        "ctypes.string_at(buffer.ctypes.data + len(buffer), 1)\n"
    )
    here = __file__.rpartition("/")[0]
    done = subprocess.run(
        [sys.executable, "-c", code, here, *sys.path], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("within\n", -11), done.stderr
