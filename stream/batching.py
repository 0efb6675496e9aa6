"""Records of an input topic as the batch that observe takes: the same for a worker and a replay."""

from collections.abc import Sequence

import numpy as np
from aiokafka import ConsumerRecord

from detectors.errors import ConfigError
from detectors.observe import Batch
from stream.config import Config
from stream.decode.json_events import decode

__all__ = ["BATCH_RECORDS", "batch_of"]

# Measured: 7.5 us an event in batches of 1,000, 12 us in batches of 8,000.
BATCH_RECORDS = 1_000
_TICK = ("driftline", b"tick")


def batch_of(records: Sequence[ConsumerRecord], config: Config) -> Batch:
    """Decode consecutive records of one partition; ticks are neither events nor rejects.

    Raises
    ------
    ConfigError
        If a record's time is not the broker's, and `kafka.require_append_time` asks for it.
    """
    if config.kafka.require_append_time and {r.timestamp_type for r in records} != {1}:
        raise ConfigError(
            f"{records[0].topic} holds records without the broker's time: set "
            "message.timestamp.type=LogAppendTime on the topic before anything is written."
        )
    count = len(records)
    ticks = np.fromiter((bool(r.headers) and _TICK in r.headers for r in records), np.bool_, count)
    times = np.fromiter((r.timestamp for r in records), np.int64, count)
    rows = np.flatnonzero(~ticks)
    decoded = decode([records[i].value for i in rows.tolist()], times[rows], config.limits)
    return Batch(
        offsets=np.array([r.offset for r in records], np.int64),
        record_ms=times,
        ticks=ticks,
        events=decoded.events,
        event_rows=rows[decoded.rows],
        reject_rows=rows[decoded.rejected_rows],
        reject_codes=decoded.reject_codes,
    )
