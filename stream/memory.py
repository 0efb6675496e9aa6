"""How much memory a role can take beyond what it has at its start: computed, logged, tested.

Every term is a limit of the code times the number of things that are held at once:

    fetched   (2 x partitions + envelopes) x fetch bytes: what each partition has fetched and is
              fetching, and the envelopes that the role has not processed
    decoded   10 x bytes of a batch: its values, and the events made of them
    columns   (partitions + 1) x rows of a pane x bytes of an event's columns, of the widest
              profile: events that wait for room in the sums, and a second copy of those of the
              one partition whose pane is being closed
    sums      partitions x bytes of every profile's dense sums
    cells     rows of a pane x bytes of an event's cell, if each event has a bucket of its own:
              of the pane that observe delivers
    waiting   partitions x (panes ahead x bytes of a full cell + cells of such a pane), at most
              judge.pending_bytes_max: partials of buckets still open
    state     3 x bytes of every model's arrays: at work, as a snapshot's copy, and packed
    sent      records on their way to the broker
    overhead  of the allocator, connections, and code that runs for the first time

What is left out: a batch that is, or unpacks to, more than `fetch bytes` adds that, at most
`record_batches.BATCH_BYTES_MAX`; a profile that is pushed later adds terms of its own; the
first Arrow message loads pyarrow, about 60 MiB, and one at a time is decoded: where its model has
no profile each row becomes an event, in all up to 150 MiB for 65,536 rows of 28 features.
"""

import ctypes
from collections.abc import Sequence
from pathlib import Path

from detectors.judge import ModelJudge
from detectors.layout import layout_of
from detectors.learning import MODELS_MAX, REFERENCE_BYTES_MAX
from detectors.panes import PANE_ROWS_MAX
from detectors.policy import Policy
from detectors.profile import Profile, ProfileBook
from detectors.summary.cells import CELL_BYTES_MAX
from detectors.summary.sums import Sums
from stream.batching import BATCH_RECORDS
from stream.config import Config
from stream.outbox import IN_FLIGHT_MAX
from stream.role import KafkaSettings

__all__ = [
    "judge_bound",
    "keep_freed",
    "learn_bound",
    "observe_bound",
    "profiles_at_work",
    "rss_bytes",
]

# An event of many short names takes most: a name, a number and a place in a table for each.
_DECODED = 10
_SENT_BYTES = 4_096
_OVERHEAD_BYTES = 16 << 20
# Python's objects around one cell, and its bytes once more in the part that carries it.
_CELL_BYTES, _STREAM_BYTES = 200, 10
# glibc's mallopt: M_TRIM_THRESHOLD and M_MMAP_THRESHOLD; the second is the most that it allows.
_MALLOPT = {-1: 64 << 20, -3: 32 << 20}


def observe_bound(
    profiles: Sequence[Profile], config: Config, settings: KafkaSettings, partitions: int
) -> dict[str, int]:
    """Bound what observe adds to its memory if it owns all partitions of events, by term."""
    batch = min(settings.fetch_bytes_max, BATCH_RECORDS * config.limits.event_bytes)
    return {
        "fetched": _fetched(settings, partitions),
        "decoded": _DECODED * batch,
        "columns": (partitions + 1) * PANE_ROWS_MAX * max(map(_row_bytes, profiles), default=0),
        "sums": partitions * sum(Sums(layout_of(profile)).nbytes for profile in profiles),
        "cells": _sparse_pane_bytes(profiles),
        "overhead": _OVERHEAD_BYTES,
    }


def learn_bound() -> dict[str, int]:
    """Bound what learn adds to its memory: the references that it gathers, and one being fitted."""
    references = MODELS_MAX * 2 * REFERENCE_BYTES_MAX
    return {"references": references, "fit": REFERENCE_BYTES_MAX, "overhead": _OVERHEAD_BYTES}


def judge_bound(
    profiles: Sequence[Profile],
    config: Config,
    settings: KafkaSettings,
    partitions: tuple[int, int],
) -> dict[str, int]:
    """Bound what judge adds for so many partitions of events and of summaries, by term."""
    dense = config.judge.max_ahead_panes * sum(map(_full_cell_bytes, profiles))
    waiting = partitions[0] * (dense + _sparse_pane_bytes(profiles))
    return {
        "fetched": _fetched(settings, partitions[1]),
        "waiting": min(waiting, config.judge.pending_bytes_max),
        "state": 3 * sum(map(_state_bytes, profiles)),
        "sent": IN_FLIGHT_MAX * _SENT_BYTES,
        "overhead": _OVERHEAD_BYTES,
    }


def profiles_at_work(book: ProfileBook) -> list[Profile]:
    """List the profiles that events can need now: each model's latest, and the one before it."""
    return [profile for model in book.models for _, profile in book.segments(model)[-2:]]


def keep_freed() -> None:
    """Let glibc keep what is freed: each fetch takes, and frees, the same few large buffers.

    Else it gives them back to the system, which hands out pages anew at each fetch: a quarter
    of observe's time.  Another C library is left as it is.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for parameter, size in _MALLOPT.items():
            libc.mallopt(parameter, size)


def rss_bytes() -> int:
    """Give the memory that this process has now."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) << 10


def _fetched(settings: KafkaSettings, partitions: int) -> int:
    """Bound an answer, which lies in three copies while it is read, and the chunks that wait."""
    answer = min(partitions * settings.fetch_bytes_max, settings.request_bytes_max)
    return 3 * answer + 2 * settings.envelopes_max * settings.fetch_bytes_max


def _groups(profile: Profile) -> int:
    """Count the slices that one event can be in."""
    return len({tuple(sorted(where)) for where in profile.slices})


def _row_bytes(profile: Profile) -> int:
    """Count the bytes of an event's columns: numbers, codes, slices, bucket and weight."""
    layout = layout_of(profile)
    return 8 * layout.numeric + 4 * (layout.channels - layout.numeric + _groups(profile)) + 16


def _sparse_pane_bytes(profiles: Sequence[Profile]) -> int:
    """Bound the bytes of a full pane's cells if each event has a bucket of its own."""
    return PANE_ROWS_MAX * max(map(_event_bytes, profiles), default=0)


def _event_bytes(profile: Profile) -> int:
    """Bound what an event takes that is alone in its bucket."""
    return _CELL_BYTES + _STREAM_BYTES * layout_of(profile).channels * _groups(profile)


def _full_cell_bytes(profile: Profile) -> int:
    """Bound the bytes of a cell in which every bin of every stream has a count."""
    layout = layout_of(profile)
    each = layout.slices * (32 * layout.channels + 5 * layout.width)
    return _CELL_BYTES + min(each, CELL_BYTES_MAX)


def _state_bytes(profile: Profile) -> int:
    """Count the bytes of the arrays that judge one model."""
    arrays = ModelJudge(profile, Policy(), "", metrics=False).snapshot().arrays
    return sum(array.nbytes for array in arrays.values())
