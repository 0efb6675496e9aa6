"""The limit: the hot path's own code in a bare loop, without Faust, asyncio or a group.

A program of its own, which the benches start.  It fetches the topic over a bare socket, walks
the batches, scans the values and counts them, as observe does; it decides nothing, commits
nothing and sends nothing.  The processor time that each phase takes is in its
result.
"""

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import orjson

from detectors.errors import DriftlineError
from detectors.layout import layout_of
from detectors.profile import ProfileBook
from detectors.summary.sums import Sums
from driftline.bench.raw_fetch import RawFetch
from stream.batching import runs
from stream.config_file import load_config
from stream.decode.scan.scanner import Scanner
from stream.fitting import load_file
from stream.record_batches import split, walk
from stream.records import Records
from stream.supervisor import end_with_supervisor

__all__ = ["PHASES", "main"]

PHASES = ("fetch", "checksum", "walk", "scan", "accumulate", "encode")
_FETCH_BYTES = 4 << 20
_PANE_EVENTS = 65_536


class _Loop:
    """Hold the loop's state, and the processor seconds of each phase."""

    def __init__(self, options: argparse.Namespace) -> None:
        config = load_config(None, os.environ)
        profile = load_file(options.profile)
        book = ProfileBook()
        book.add(profile, 0)
        self._scanner = Scanner(book, config.limits)
        self._layout = layout_of(profile)
        self._sums = Sums(self._layout)
        self._fetch = (options.bootstrap, options.topic, options.partitions, _FETCH_BYTES)
        self._open = 0
        self.events = self.left = self.cell_bytes = 0
        self.phases = dict.fromkeys(PHASES, 0.0)

    def run(self) -> float:
        """Read the topic once; give the wall seconds."""
        self.events = self.left = self.cell_bytes = 0
        self.phases = dict.fromkeys(PHASES, 0.0)
        started = time.perf_counter()
        with RawFetch(*self._fetch) as fetch:
            responses = iter(fetch)
            while True:
                with self._timed("fetch"):
                    fetched = next(responses, None)
                if fetched is None:
                    break
                self._take(fetched.content, fetched.offset)
        self._encode()
        return time.perf_counter() - started

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        started = time.thread_time()
        yield
        self.phases[phase] += time.thread_time() - started

    def _take(self, content: bytes, offset: int) -> None:
        """Walk, scan and count one response."""
        with self._timed("checksum"):
            batches = [(batch, batch.is_control) for batch in split(content)]
            if not all(batch.crc_fits(content) for batch, _ in batches):
                raise DriftlineError("A batch does not fit its checksum.")
        with self._timed("walk"):
            chunks = [records for records, _ in walk(content, batches, offset)]
        for records in chunks:
            for run in runs(records):
                self._count(run)

    def _count(self, records: Records) -> None:
        with self._timed("scan"):
            rows = np.flatnonzero(~records.ticks)
            taken, left = self._scanner.scan(records, rows, records.times_ms)
        self.left += len(left)
        with self._timed("accumulate"):
            for piece in taken:
                self._sums.add(piece.columns)
                self.events += len(piece.rows)
                self._open += len(piece.rows)
        if self._open >= _PANE_EVENTS:
            self._encode()

    def _encode(self) -> None:
        with self._timed("encode"):
            self.cell_bytes += sum(len(cell.data) for cell in self._sums.cells())
            self._sums, self._open = Sums(self._layout), 0


def main() -> None:
    """Run the loop, once to compile and once to measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--profile", type=Path, required=True)
    parser.add_argument("--result", type=Path, required=True)
    options = parser.parse_args()
    end_with_supervisor()
    loop = _Loop(options)
    loop.run()
    seconds = loop.run()
    found = {"events": loop.events, "seconds": seconds, "left": loop.left, "phases": loop.phases}
    options.result.write_bytes(orjson.dumps(found, option=orjson.OPT_APPEND_NEWLINE))


if __name__ == "__main__":
    main()
