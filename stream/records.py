"""Records of one partition, in place: arrays beside the bytes that hold every value.

Both ways in make the same thing: fetched record batches walked where they lie, and aiokafka's
record objects.  So what decodes records does not know how they came.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

__all__ = ["ARROW_MARK", "PADDING", "TICK", "Records"]

# So many readable bytes follow the last value: a scanner may look at eight at a time.
PADDING = 64
# What an Arrow IPC stream begins with, and no UTF-8.
ARROW_MARK = b"\xff\xff\xff\xff"
TICK = ("driftline", b"tick")
_APPEND_TIME = 1


@dataclass(frozen=True)
class Records:
    """Hold n records of one partition, in the order of the log.

    `buffer` uint8[...] holds the values and at least PADDING bytes more; `starts` int64[n] and
    `lengths` int64[n] say where (a length of -1 is a null).  `times_ms` int64[n] are the record
    times, `append_times` bool[n] says which of them are the broker's, `ticks` bool[n] which
    records driftline wrote into an idle partition.
    """

    buffer: NDArray[np.uint8]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    offsets: NDArray[np.int64]
    times_ms: NDArray[np.int64]
    append_times: NDArray[np.bool_]
    ticks: NDArray[np.bool_]

    def __len__(self) -> int:
        """Count the records."""
        return len(self.offsets)

    def __getitem__(self, rows: slice) -> "Records":
        """Give some of the records, without copying a value."""
        return Records(
            buffer=self.buffer,
            starts=self.starts[rows],
            lengths=self.lengths[rows],
            offsets=self.offsets[rows],
            times_ms=self.times_ms[rows],
            append_times=self.append_times[rows],
            ticks=self.ticks[rows],
        )

    def value(self, row: int) -> bytes | None:
        """Copy one value out; None is a null."""
        start, length = int(self.starts[row]), int(self.lengths[row])
        return None if length < 0 else self.buffer[start : start + length].tobytes()

    def arrow_rows(self) -> NDArray[np.int64]:
        """Find the records that are Arrow messages, rising."""
        firsts = self.buffer[self.starts] == ARROW_MARK[0]
        rows = np.flatnonzero(firsts & (self.lengths >= len(ARROW_MARK)) & ~self.ticks)
        if len(rows):
            heads = self.buffer[self.starts[rows, None] + np.arange(len(ARROW_MARK))]
            rows = rows[(heads == ARROW_MARK[0]).all(axis=1)]
        return rows

    @classmethod
    def of_values(cls, values: Sequence[bytes | None], first: int = 0) -> "Records":
        """Gather values that come from no log: offsets count from `first`, times are 0.

        >>> Records.of_values([b"a", None]).value(0)
        b'a'
        """
        count = len(values)
        lengths = np.array([-1 if v is None else len(v) for v in values], np.int64)
        stops = np.cumsum(np.maximum(lengths, 0))
        content = b"".join([v for v in values if v] + [bytes(PADDING)])
        return cls(
            buffer=np.frombuffer(content, np.uint8),
            starts=stops - np.maximum(lengths, 0),
            lengths=lengths,
            offsets=np.arange(first, first + count, dtype=np.int64),
            times_ms=np.zeros(count, np.int64),
            append_times=np.zeros(count, np.bool_),
            ticks=np.zeros(count, np.bool_),
        )

    @classmethod
    def of(cls, records: Sequence["ConsumerRecord"]) -> "Records":
        """Gather aiokafka's record objects."""
        count = len(records)
        plain = cls.of_values([r.value for r in records])
        append = (r.timestamp_type == _APPEND_TIME for r in records)
        ticks = (bool(r.headers) and TICK in r.headers for r in records)
        return cls(
            buffer=plain.buffer,
            starts=plain.starts,
            lengths=plain.lengths,
            offsets=np.array([r.offset for r in records], np.int64),
            times_ms=np.fromiter((_time_ms(r) for r in records), np.int64, count),
            append_times=np.fromiter(append, np.bool_, count),
            ticks=np.fromiter(ticks, np.bool_, count),
        )


def _time_ms(record: "ConsumerRecord") -> int:
    """Give a record's time; -1 is Kafka's number for none, which aiokafka turns into None."""
    return -1 if record.timestamp is None else record.timestamp
