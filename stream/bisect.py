"""Quarantine: a record that kills observe is found by halves, named in the log, and rejected.

Bad input is a reject, so this is for a bug of ours.  If observe crashes three times in a row,
the supervisor starts it with `DRIFTLINE_BISECT`.  It then tries each batch beside the state
first; a record that alone raises becomes a control record `quarantine`, and from then on, for
every worker and every replay, a reject with that code that nobody decodes.  A bug that ends the
process without an exception is not found.
"""

import os
from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np
import structlog

from detectors.errors import DriftlineError
from detectors.observe import Batch
from stream.records import Records

__all__ = ["BISECT", "guilty", "is_bisecting", "without"]

BISECT = "DRIFTLINE_BISECT"
_CODE = "quarantine"

log = structlog.get_logger()


def is_bisecting() -> bool:
    """Tell whether the supervisor asks this process to look for the guilty record."""
    return os.environ.get(BISECT) == "1"


def guilty(records: Records, attempt: Callable[[Records], object]) -> list[int]:
    """Give the offsets of the records that make `attempt` raise, each by itself.

    Raises what is driftline's own refusal, and what no record alone can be made to raise.
    """
    try:
        attempt(records)
    except DriftlineError:
        raise
    except Exception as error:
        if len(records) == 1:
            # Without its traceback: that may show what is in the record.
            at = int(records.offsets[0])
            log.error("guilty", offset=at, error=type(error).__name__)  # noqa: TRY400
            return [int(records.offsets[0])]
        half = len(records) // 2
        found = [*guilty(records[:half], attempt), *guilty(records[half:], attempt)]
        if not found:
            raise
        return found
    return []


def without(
    records: Records, offsets: Collection[int], decode: Callable[[Records], Batch]
) -> Batch:
    """Decode all but these records, which are rejects."""
    chosen = np.isin(records.offsets, np.fromiter(offsets, np.int64, len(offsets)))
    if not chosen.any():
        return decode(records)
    batch = decode(replace(records, ticks=records.ticks | chosen))
    rows = np.flatnonzero(chosen)
    merged = np.concatenate([batch.reject_rows, rows])
    codes = [*batch.reject_codes, *[_CODE] * len(rows)]
    order = np.argsort(merged, kind="stable")
    return replace(
        batch,
        ticks=records.ticks,
        reject_rows=merged[order],
        reject_codes=[codes[i] for i in order.tolist()],
    )
