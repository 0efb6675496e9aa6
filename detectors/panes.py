"""Panes: where a partition's log is cut, and what its clocks say there.

A pane is a run of offsets `[a, o]`.  It ends with the record at which floor(R / pane_seconds)
rises, with a tick, or with the record that brings its 2^18th row; so its boundaries are in the
log, whatever the batching, the restarts or the number of workers.  A record is one row, or an
Arrow message of up to 2^16; so a pane has fewer than 2^18 + 2^16 rows.

Where no ticks may be written, a clock ends the panes of idle partitions.  That is not in the log,
so each pane's `End` is committed before anything of it is sent, and a restart repeats it.

    R   running maximum of the record time (Kafka's append time)
    W   running maximum of min(event time, record time); a tick adds the time passed since A
    A   R when W last rose

Times are integer milliseconds since the epoch; UNSET stands for a clock that never ran.
"""

import re
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.errors import SnapshotCorrupt, SnapshotTooNew
from detectors.events import ARROW_ROWS_MAX

__all__ = [
    "FOREVER",
    "PANE_ROWS_MAX",
    "UNSET",
    "Clock",
    "Cut",
    "End",
    "Entry",
    "Header",
    "Part",
    "cut",
    "decode_header",
    "decode_part",
]

_P = TypeVar("_P")
UNSET = -1
FOREVER = 1 << 60
ROWS_MAX = 1 << 18
# The record that reaches it is counted whole.
PANE_ROWS_MAX = ROWS_MAX - 1 + ARROW_ROWS_MAX
PART_VERSION = 1
PART_BYTES_MAX = 900_000
_TIME = r" (-1|\d{1,18})"
# By version: the clock alone, and the clock and the end of the pane behind it.
_COMMITS = {"1": re.compile("1" + 3 * _TIME, re.ASCII), "2": re.compile("2" + 5 * _TIME, re.ASCII)}


class End(msgspec.Struct, frozen=True, array_like=True):
    """Say where a pane ends: behind `offset`, by a tick at `time_ms` if by nothing before it.

    A pane that holds no record ends at the offset before its first.
    """

    offset: int
    time_ms: int

    @classmethod
    def read(cls, metadata: str) -> "End | None":
        """Read a commit's metadata: how the pane behind it was begun, if it was.

        >>> End.read("2 5 7 9 41 12"), End.read("1 5 7 9")
        (End(offset=41, time_ms=12), None)
        """
        end = _numbers(metadata)[3:]
        return cls(*end) if end else None


class Clock(msgspec.Struct, frozen=True, array_like=True):
    """Hold a partition's clocks between two panes; this is what a commit's metadata carries.

    >>> Clock.read(Clock(w=5, a=7, r=9).render())
    Clock(w=5, a=7, r=9)
    """

    w: int = UNSET
    a: int = UNSET
    r: int = UNSET

    def render(self, end: End | None = None) -> str:
        """Write the clock, and the end of the pane behind it, as a commit's metadata.

        It is versioned, and under 100 bytes.
        """
        clock = f"{self.w} {self.a} {self.r}"
        return f"1 {clock}" if end is None else f"2 {clock} {end.offset} {end.time_ms}"

    @classmethod
    def read(cls, metadata: str) -> "Clock":
        """Read a commit's metadata; an empty one is a partition never committed by driftline.

        Raises
        ------
        SnapshotCorrupt, SnapshotTooNew
            If the metadata is not driftline's, or a later version's.
        """
        return cls(*_numbers(metadata)[:3])


def _numbers(metadata: str) -> list[int]:
    """Read the numbers of a commit's metadata."""
    if not metadata:
        return []
    version = metadata.partition(" ")[0]
    if version.isdecimal() and version not in _COMMITS:
        raise SnapshotTooNew(
            f"The commit's metadata has version {version}, this driftline reads up to 2: "
            "run the newer driftline, or another prefix."
        )
    found = _COMMITS[version].fullmatch(metadata) if version in _COMMITS else None
    if found is None:
        raise SnapshotCorrupt(
            f"The commit's metadata {metadata[:40]!r} was not written by driftline: another "
            "program uses its consumer group. Use another prefix."
        )
    return [int(number) for number in found.groups()]


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """Say which run of offsets a part belongs to, what its clocks were, and what was counted.

    `w_before` is what a partial must not lie behind.  `a_after` and `r_after` are A and R behind
    the pane; with `w_after` they are the clock to go on from.  `part` of `parts`.
    """

    v: int = PART_VERSION
    topic: str
    partition: int
    partitions: int
    a: int
    o: int
    number: int
    w_before: int
    w_after: int
    read: int
    accepted: int
    unprofiled: int = 0
    rejected: dict[str, int] = {}
    part: int = 0
    parts: int = 1
    a_after: int = UNSET
    r_after: int = UNSET

    @property
    def clock(self) -> Clock:
        """Give the partition's clock behind the pane."""
        return Clock(self.w_after, self.a_after, self.r_after)


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """Carry one encoded cell: what the pane adds to one bucket of one model."""

    model: str
    profile: str
    bucket: int
    events: int
    data: bytes


class Part(msgspec.Struct, frozen=True, array_like=True):
    """Hold the record that carries a pane's partials to one summaries partition."""

    header: Header
    entries: tuple[Entry, ...]

    def encode(self) -> bytes:
        """Write the part as MessagePack behind one version byte."""
        return bytes([PART_VERSION]) + msgspec.msgpack.encode(self)


class _Headed(msgspec.Struct, frozen=True, array_like=True):
    """Be a part of which only the header is read."""

    header: Header
    entries: msgspec.Raw


def decode_part(value: bytes) -> Part:
    """Read a part.

    Raises
    ------
    SnapshotCorrupt, SnapshotTooNew
        If the bytes are no part, or a later version's.
    """
    return _decoded(value, Part)


def decode_header(value: bytes) -> Header:
    """Read a part's header, and pass over its entries; raise what `decode_part` raises."""
    return _decoded(value, _Headed).header


def _decoded(value: bytes, kind: type[_P]) -> _P:
    if not value or value[0] != PART_VERSION:
        if value and value[0] > PART_VERSION:
            raise SnapshotTooNew(
                f"A summary has version {value[0]}, this driftline reads {PART_VERSION}: "
                "run the newer driftline."
            )
        raise SnapshotCorrupt("A record of the summaries topic was not written by driftline.")
    try:
        return msgspec.msgpack.decode(memoryview(value)[1:], type=kind)
    except (ValueError, RecursionError) as error:
        raise SnapshotCorrupt(f"A record of the summaries topic is broken: {error}.") from error


@dataclass(frozen=True)
class Cut:
    """Name one pane's end: the index of its last record, its number, and the clock after it."""

    end: int
    number: int
    clock: Clock


@njit(cache=True)
def _cut(records: Any, clock: Any, rule: Any, ends: Any) -> Any:
    """Walk the rows of one batch; write (index, number, w, a, r) of each pane's end."""
    record_ms, event_ms, ticks = records
    pane_ms, first_end = rule
    w, a, r, count = clock
    found = 0
    number = r // pane_ms if r != UNSET else np.int64(-1)
    for i in range(record_ms.shape[0]):
        r = max(r, record_ms[i])
        if ticks[i]:
            if w != UNSET:
                w += r - a
                a = r
        elif event_ms[i] != UNSET:
            seen = min(event_ms[i], record_ms[i])
            if seen > w:
                w = seen
                a = r
        count += 1
        if i < first_end:
            continue
        if ticks[i] or r // pane_ms > number or count >= ROWS_MAX:
            number = r // pane_ms
            ends[found] = (i, number, w, a, r)
            found += 1
            count = 0
    return found, count, (w, a, r)


def cut(
    records: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]],
    clock: Clock,
    count: int,
    pane_ms: int,
    *,
    of_one: bool = False,
) -> tuple[list[Cut], int, Clock]:
    """Cut a batch of one partition's records into panes.

    `records` holds record times, event times (UNSET for a reject or a tick) and tick flags;
    `clock` and `count` are the clock at its start and the records of the open pane so far.
    Gives the panes that end in it, and the count and clock of the pane that stays open.  All rows
    are `of_one` record where only the last may end a pane.

    >>> times = np.array([1000, 1500, 2100, 2200]), np.array([900, 1400, 1300, 2200])
    >>> cut((*times, np.zeros(4, bool)), Clock(), 0, 2000)[0]  # doctest: +NORMALIZE_WHITESPACE
    [Cut(end=0, number=0, clock=Clock(w=900, a=1000, r=1000)),
     Cut(end=2, number=1, clock=Clock(w=1400, a=1500, r=2100))]
    """
    ends = np.empty((len(records[0]), 5), np.int64)
    state = (np.int64(clock.w), np.int64(clock.a), np.int64(clock.r), np.int64(count))
    first_end = len(ends) - 1 if of_one else 0
    found, count, last = _cut(records, state, (pane_ms, first_end), ends)
    cuts = [Cut(i, number, Clock(w, a, r)) for i, number, w, a, r in ends[:found].tolist()]
    return cuts, int(count), Clock(*map(int, last))
