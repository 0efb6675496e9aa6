"""Records of an input topic as the batch that observe takes: the same for a worker and a replay."""

import numpy as np

from detectors.errors import ConfigError
from detectors.observe import Batch
from stream.config import Config
from stream.decode.json_events import decode
from stream.records import Records

__all__ = ["BATCH_RECORDS", "batch_of"]

# Measured: 7.5 us an event in batches of 1,000, 12 us in batches of 8,000.
BATCH_RECORDS = 1_000


def batch_of(records: Records, config: Config) -> Batch:
    """Decode consecutive records of one partition; ticks are neither events nor rejects.

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
    rows = np.flatnonzero(~records.ticks)
    values = [records.value(row) for row in rows.tolist()]
    decoded = decode(values, records.times_ms[rows], config.limits)
    return Batch(
        offsets=records.offsets,
        record_ms=records.times_ms,
        ticks=records.ticks,
        events=decoded.events,
        event_rows=rows[decoded.rows],
        reject_rows=rows[decoded.rejected_rows],
        reject_codes=decoded.reject_codes,
    )
