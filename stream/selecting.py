"""Choose rows of files by the time of their events, and put them in the order of time."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.events import Limits
from stream.decode.json_events import decode
from stream.sources import Row

__all__ = ["EVERYTHING", "Selection", "in_order"]

_UNKNOWN = np.iinfo(np.int64).min
_ROWS_A_CHUNK = 8_192


class Selection(NamedTuple):
    """Take events from `start_ms` to before `end_ms`; `sort` orders them by time, in memory.

    Rows that are no events have no time: they go with the row before them.
    """

    start_ms: int | None = None
    end_ms: int | None = None
    sort: bool = False

    def of(self, rows: list[Row], limits: Limits) -> list[Row]:
        """Give the rows that are chosen."""
        if self.start_ms is None and self.end_ms is None:
            return rows
        times = _times(rows, limits)
        chosen = np.ones(len(rows), np.bool_)
        if self.start_ms is not None:
            chosen &= times >= self.start_ms
        if self.end_ms is not None:
            chosen &= times < self.end_ms
        return [row for row, take in zip(rows, chosen.tolist(), strict=True) if take]


EVERYTHING = Selection()


def in_order(chunks: Iterable[list[Row]], limits: Limits) -> Iterator[list[Row]]:
    """Give all rows by the time of their events; those of one time stay as they were."""
    rows: list[Row] = []
    times = []
    for chunk in chunks:
        rows += chunk
        times.append(_times(chunk, limits))
    if not rows:
        return
    order = np.argsort(np.concatenate(times), kind="stable")
    for first in range(0, len(rows), _ROWS_A_CHUNK):
        yield [rows[i] for i in order[first : first + _ROWS_A_CHUNK].tolist()]


def _times(rows: Sequence[Row], limits: Limits) -> NDArray[np.int64]:
    """Give each row's event time in milliseconds; of one that is no event that before it."""
    decoded = decode([row.value for row in rows], None, limits)
    times = np.full(len(rows), _UNKNOWN, np.int64)
    times[decoded.rows] = [event.time_ms for event in decoded.events]
    known = np.where(times == _UNKNOWN, 0, np.arange(len(times)))
    return times[np.maximum.accumulate(known)]
