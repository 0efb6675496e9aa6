"""Quarantine: a record that kills observe is found by halves, named in the log, and rejected.

Bad input is a reject, so this is for a bug of ours.  If observe crashes three times in a row,
the supervisor starts it with `DRIFTLINE_BISECT`.  For a minute it then tries each batch beside
the state first; a record that alone raises, or alone ends a forked process by a fault of the
processor, becomes a control record `quarantine`, and from then on, for every worker and every
replay, a reject with that code that nobody decodes.  Not found are: a record that makes driftline
hang or that exhausts the memory, one that does harm only beside others, and what fails after
decoding and counting.  Where many records are guilty, the fault is not theirs: none is judged.
"""

import os
import signal
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Final

import numpy as np
import structlog

from detectors.errors import DriftlineError
from detectors.observe import Batch
from stream.records import Records

__all__ = [
    "BISECT",
    "BISECT_SECONDS",
    "GUILTY_MAX",
    "QUARANTINE",
    "apart",
    "guilty",
    "is_bisecting",
    "without",
]

BISECT = "DRIFTLINE_BISECT"
# As long as a crash counts as one of a row of crashes.
BISECT_SECONDS = 60.0
GUILTY_MAX: Final = 100
QUARANTINE: Final = "quarantine"
# Not SIGKILL and SIGTERM: those come from outside, and say nothing of the record.
_FAULTS = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT)

log = structlog.get_logger()

Attempt = Callable[[Records], object]


class _FaultError(Exception):
    """Say by which signal the forked process ended."""


def is_bisecting() -> bool:
    """Tell whether the supervisor asks this process to look for the guilty record."""
    return os.environ.get(BISECT) == "1"


def apart(attempt: Attempt) -> Attempt:
    """Make an attempt in a forked process first, so that a fault there is an exception here."""

    def both(records: Records) -> None:
        child = os.fork()
        if child == 0:
            try:
                attempt(records)
            finally:
                os._exit(0)  # an exception is for the parent to meet
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) in _FAULTS:
            raise _FaultError(signal.Signals(os.WTERMSIG(status)).name)
        attempt(records)

    return both


def guilty(records: Records, attempt: Attempt, most: int = GUILTY_MAX) -> list[int]:
    """Give the offsets of the records that make `attempt` raise, each by itself.

    Raises what is driftline's own refusal, what no record alone can be made to raise, and what
    more than `most` records raise.
    """
    try:
        attempt(records)
    except DriftlineError:
        raise
    except Exception as error:
        if len(records) == 1:
            found = [int(records.offsets[0])]
            # Without its traceback: that may show what is in the record.
            log.error("guilty", offset=found[0], error=type(error).__name__)  # noqa: TRY400
        else:
            half = len(records) // 2
            found = guilty(records[:half], attempt, most)
            found += guilty(records[half:], attempt, most - len(found))
        if not 0 < len(found) <= most:
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
    codes = [*batch.reject_codes, *[QUARANTINE] * len(rows)]
    order = np.argsort(merged, kind="stable")
    return replace(
        batch,
        ticks=records.ticks,
        reject_rows=merged[order],
        reject_codes=[codes[i] for i in order.tolist()],
    )
