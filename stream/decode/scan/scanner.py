"""Records to columns by the profiles in force; what is in doubt is left, row by row.

Rows are scanned by the plan of the batch before.  Those of another model, or of a time at which
another profile is in force, are scanned again by the plan that they need.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.columns import FOLDED, Columns
from detectors.events import Event, Limits
from detectors.observe import Scanned
from detectors.panes import FOREVER
from detectors.profile import InForce, Profile, ProfileBook
from stream.decode.json_events import decode
from stream.decode.scan import codes
from stream.decode.scan.kernel import scan_rows
from stream.decode.scan.plan import Plan, plan_of
from stream.records import Records

if TYPE_CHECKING:
    from stream.decode.arrow.reader import ArrowReader

__all__ = ["Scanner"]

# Rows of more models in one batch are left: one by one is then as cheap as a pass for each.
_MODELS_MAX = 128

Rows = NDArray[np.int64]


class _Batch(NamedTuple):
    """Hold the batch that is being scanned."""

    records: Records
    latest_ms: Rows
    taken: list[Scanned]
    left: list[Rows]


class Scanner:
    """Scan the batches of one log, whatever models it holds."""

    def __init__(self, book: ProfileBook, limits: Limits) -> None:
        """Scan by the profiles of `book`, as it is when a batch comes."""
        self._book = book
        self._limits = limits
        self._arrow: ArrowReader | None = None
        self._plans: dict[str, tuple[Profile, Plan | None]] = {}
        self._last: InForce | None = None

    def scan(
        self, records: Records, rows: Rows, record_ms: Rows | None
    ) -> tuple[list[Scanned], Rows]:
        """Give the columns of what is surely an event, and the rows that are left, rising.

        `rows` int64[m], rising, are the records that may be events; `record_ms` int64[n] is what
        their times are held against, None where there is nothing.
        """
        if not len(rows):  # nothing but ticks
            return [], rows
        if record_ms is None:
            latest_ms = np.full(len(records), FOREVER, np.int64)
        else:
            latest_ms = record_ms + self._limits.max_future_seconds * 1000
        batch = _Batch(records, latest_ms, [], [rows[:0]])
        known = self._known()
        groups = [rows] if known is None else self._pass(batch, rows, known)
        for _ in range(_MODELS_MAX):
            if not groups:
                break
            some = groups.pop()
            event = self._event(batch, int(some[0]))
            known = self._at(event.model, event.time_ms) if event else None
            if known is not None:
                groups += self._pass(batch, some, known)
            else:
                # One row that is no event says nothing about the others.
                groups += [] if event else [some[1:]] * (len(some) > 1)
                batch.left.append(some if event else some[:1])
        return batch.taken, np.sort(np.concatenate([*batch.left, *groups]))

    @property
    def arrow(self) -> "ArrowReader":
        """Give what reads Arrow messages; pyarrow's 50 MiB come with the first of them."""
        if self._arrow is None:
            from stream.decode.arrow.reader import ArrowReader

            self._arrow = ArrowReader(self._book, self._limits)
        return self._arrow

    def _known(self) -> InForce | None:
        """Give what was in force for the rows before, if it still is; else whatever there is."""
        models = self._book.models
        if self._last is None:
            return self._at(models[0], 0) if models else None
        profile, from_ms, _ = self._last
        for one in self._book.in_force(profile.model):
            if one.profile is profile and one.from_ms == from_ms:
                return one
        return self._at(profile.model, from_ms)

    def _at(self, model: str, time_ms: int) -> InForce | None:
        """Give what is in force for a model's events of a time, or before the first profile."""
        found = None
        for one in self._book.in_force(model):
            if found is None or one.from_ms <= time_ms:
                found = one
        return found

    def _event(self, batch: _Batch, row: int) -> Event | None:
        """Ask the slow way what one row is."""
        events = decode([batch.records.value(row)], None, self._limits).events
        return events[0] if events else None

    def _plan(self, profile: Profile) -> Plan | None:
        """Compile each profile once."""
        held = self._plans.get(profile.hash)
        if held is None or held[0] is not profile:
            held = self._plans[profile.hash] = profile, plan_of(profile, self._limits)
        return held[1]

    def _pass(self, batch: _Batch, rows: Rows, known: InForce) -> list[Rows]:
        """Scan rows by one plan; give the rows of each other model that is among them."""
        plan = self._plan(known.profile)
        if plan is None:
            batch.left.append(rows)
            return []
        statuses, times_ms, hashes = self._scan(batch, rows, (known, plan))
        batch.left.append(rows[statuses == codes.DOUBTFUL])
        moved = np.flatnonzero(statuses == codes.OTHER_TIME)
        if len(moved):
            self._move(batch, rows[moved], times_ms[moved], known)
        strange = np.flatnonzero(statuses == codes.OTHER_MODEL)
        if not len(strange):
            return []
        _, group = np.unique(hashes[strange], return_inverse=True)
        order = np.argsort(group, kind="stable")
        bounds = np.flatnonzero(np.diff(group[order])) + 1
        return np.split(rows[strange[order]], bounds)

    def _move(self, batch: _Batch, rows: Rows, times_ms: Rows, known: InForce) -> None:
        """Scan rows of one model by the other profiles that are in force at their times."""
        settled = np.zeros(len(rows), np.bool_)
        for one in self._book.in_force(known.profile.model):
            mine = (times_ms >= one.from_ms) & (times_ms < one.until_ms)
            plan = self._plan(one.profile) if mine.any() else None
            if plan is not None:
                statuses, _, _ = self._scan(batch, rows[mine], (one, plan))
                settled[mine] = statuses == codes.TAKEN
        batch.left.append(rows[~settled])

    def _scan(
        self, batch: _Batch, rows: Rows, by: tuple[InForce, Plan]
    ) -> tuple[NDArray[np.uint8], Rows, Rows]:
        """Scan rows by one plan; keep what was taken, give what became of every row."""
        known, plan = by
        records, count = batch.records, len(rows)
        columns = (
            np.empty((count, plan.numeric)),
            np.empty((count, plan.categorical), np.int32),
            np.empty((count, plan.groups), np.int32),
            np.empty(count, np.int64),
            np.empty((count, len(FOLDED)), np.int64),
        )
        found = (
            np.empty(count, np.uint8),
            np.empty(count, np.int64),
            np.zeros(count, np.int64),
        )
        within = (self._limits.event_bytes, known.from_ms, known.until_ms)
        base = np.uint64(records.buffer.ctypes.data)
        # Of one type, so that the kernel is compiled once.
        starts, lengths = (
            np.require(a, np.int64, ["C", "W"]) for a in (records.starts, records.lengths)
        )
        spans = (base, starts, lengths, rows, batch.latest_ms, within)
        taken = scan_rows(spans, (plan.tables, plan.state), columns, found)
        statuses, times_ms, hashes = found
        if taken:
            mine = statuses == codes.TAKEN
            values, found_codes, slices, weights, folded = columns
            of = Columns(
                profile=plan.profile,
                buckets=times_ms[mine] // plan.profile.bucket_ms,
                values=values[:taken],
                codes=found_codes[:taken],
                slices=slices[:taken],
                weights=weights[:taken],
            )
            batch.taken.append(Scanned(rows[mine], times_ms[mine], of, folded[:taken]))
            self._last = known
        return statuses, times_ms, hashes
