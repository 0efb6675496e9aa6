"""Records of an input as the batch that observe takes: the same for worker, replay and file."""

from collections.abc import Collection, Iterator
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from detectors.errors import ConfigError
from detectors.events import Event, Reject
from detectors.observe import Batch
from detectors.profile import ProfileBook
from stream.bisect import without
from stream.config import Config
from stream.decode.json_events import decode
from stream.decode.scan.scanner import Scanner
from stream.decode.strict import RejectedError
from stream.records import Records
from stream.role import Partition

if TYPE_CHECKING:
    from stream.decode.arrow.reader import ArrowReader

__all__ = ["BATCH_RECORDS", "batch_of", "decoded", "rejects", "runs"]

# Measured: scanning gains 10 % from 1,000 to 4,000, and no more beyond.
BATCH_RECORDS = 4_096
# One by one: 7.5 us an event in runs of 1,000, 12 us in runs of 8,000.
_RUN = 1_000


def runs(records: Records) -> Iterator[Records]:
    """Split records into what is decoded at once: an Arrow message alone, or many others.

    >>> [len(run) for run in runs(Records.of_values([b"{}", bytes([255] * 4), b"{}", b"{}"]))]
    [1, 1, 2]
    """
    alone = records.arrow_rows().tolist()
    bounds = sorted({0, len(records), *alone, *(row + 1 for row in alone)})
    for low, high in pairwise(bounds):
        for first in range(low, high, BATCH_RECORDS):
            yield records[first : min(first + BATCH_RECORDS, high)]


def batch_of(
    records: Records,
    config: Config,
    scanner: Scanner | None = None,
    quarantined: Collection[int] = (),
) -> Batch:
    """Decode a run of one partition of an events topic.

    Those at the offsets `quarantined` are rejects that nothing looks at.

    Raises
    ------
    ConfigError
        If a record's time is not the broker's, and `kafka.require_append_time` asks for it.
    """
    if config.kafka.require_append_time and not records.append_times.all():
        raise ConfigError(
            f"{config.kafka.prefix}.events holds records without the broker's time: set "
            "message.timestamp.type=LogAppendTime on the topic before anything is written."
        )
    reader = scanner or Scanner(ProfileBook(), config.limits)

    def taken(some: Records) -> Batch:
        if len(some) == 1 and len(some.arrow_rows()):
            return _message(some, reader.arrow)
        return decoded(some, some.times_ms, config, scanner)

    return without(records, quarantined, taken)


def _message(records: Records, reader: "ArrowReader") -> Batch:
    """Decode one Arrow message: its rows share its offset and time."""
    nothing = np.empty(0, np.int64)
    try:
        found = reader.read(records.value(0) or b"", int(records.times_ms[0]))
    except RejectedError as refusal:
        return Batch(
            offsets=records.offsets,
            record_ms=records.times_ms,
            ticks=records.ticks,
            events=[],
            event_rows=nothing,
            reject_rows=np.zeros(1, np.int64),
            reject_codes=[refusal.code],
        )
    return Batch(
        offsets=np.repeat(records.offsets, found.rows),
        record_ms=np.repeat(records.times_ms, found.rows),
        ticks=np.zeros(found.rows, np.bool_),
        events=found.events,
        event_rows=found.event_rows,
        reject_rows=found.reject_rows,
        reject_codes=found.reject_codes,
        scanned=found.scanned,
        of_one=True,
    )


def decoded(
    records: Records,
    record_ms: NDArray[np.int64] | None,
    config: Config,
    scanner: Scanner | None = None,
) -> Batch:
    """Decode records of a log; ticks are neither events nor rejects.

    `record_ms` int64[n] are the times that count as the records', None where there are none.
    What `scanner` takes comes as columns.  All else, or everything, is decoded one by one, with
    the same outcome.
    """
    rows = np.flatnonzero(~records.ticks)
    scanned, left = ([], rows) if scanner is None else scanner.scan(records, rows, record_ms)
    events: list[Event] = []
    codes: list[str] = []
    event_rows, reject_rows = [rows[:0]], [rows[:0]]
    for first in range(0, len(left), _RUN):
        some = left[first : first + _RUN]
        values = [records.value(row) for row in some.tolist()]
        found = decode(values, None if record_ms is None else record_ms[some], config.limits)
        events += found.events
        codes += found.reject_codes
        event_rows.append(some[found.rows])
        reject_rows.append(some[found.rejected_rows])
    return Batch(
        offsets=records.offsets,
        record_ms=record_ms,
        ticks=records.ticks,
        events=events,
        event_rows=np.concatenate(event_rows),
        reject_rows=np.concatenate(reject_rows),
        reject_codes=codes,
        scanned=scanned,
    )


def rejects(tp: Partition, records: Records, batch: Batch) -> Iterator[Reject]:
    """Describe each reject of a batch; a row of an Arrow message by the message that it is in."""
    described = -1, "", 0
    for row, code in zip(batch.reject_rows.tolist(), batch.reject_codes, strict=True):
        record = 0 if batch.of_one else row
        if described[0] != record:
            value = records.value(record) or b""
            described = record, sha256(value).hexdigest(), len(value)
        offset = int(records.offsets[record])
        within = row if batch.of_one else None
        yield Reject(code, tp.topic, tp.partition, offset, *described[1:], within)
