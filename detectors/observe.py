"""Observe: a pure function from a run of offsets to partials.

It keeps nothing across panes but the partition's clock: no open buckets, no lateness, no
detectors.  So any worker may take over any partition at any commit.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from detectors.columns import FOLDED, Columns, Extractor
from detectors.events import Event
from detectors.layout import Layout, layout_of
from detectors.panes import FOREVER, UNSET, Clock, Cut, End, Entry, Header, cut
from detectors.profile import Profile, ProfileBook
from detectors.summary.sums import Sums

__all__ = ["FILE_PANE_ROWS", "OTHER_MODELS", "Batch", "Observer", "Pane", "Scanned"]

FILE_PANE_ROWS = 65_536
# Events of more models without a profile than a pane names are counted together.
OTHER_MODELS = "__other__"
_UNPROFILED_NAMES_MAX = 100
# Record times, event times (UNSET: none), and which are ticks.
Rows = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]


@dataclass(frozen=True)
class Scanned:
    """Hold k events of one model that came as columns: their rows, rising, and their times.

    `folded` int64[k, kinds] counts, for each of FOLDED, the values that the profile does not name.
    """

    rows: NDArray[np.int64]
    times_ms: NDArray[np.int64]
    columns: Columns
    folded: NDArray[np.int64]

    def between(self, first: int, last: int) -> Columns:
        """Give the columns of the events in records first…last (excluded)."""
        low, high = np.searchsorted(self.rows, [first, last]).tolist()
        # Summed one by one: along rows of three, numpy takes ten times as long.
        sums = [int(self.folded[low:high, kind].sum()) for kind in range(len(FOLDED))]
        folded = dict(zip(FOLDED, sums, strict=True))
        return replace(self.columns.part(low, high), folded=folded)


@dataclass(frozen=True)
class Batch:
    """Hold one run of records, decoded: n rows, of which some are events.

    `record_ms` is None for a file that has no record times.  The events are `scanned`, and, one
    by one, `events` with the rows that they are in, `event_rows`.  All other rows are ticks or
    rejects.  A record is one row; or all rows are `of_one` record, an Arrow message, and no pane
    ends between them.
    """

    offsets: NDArray[np.int64]
    record_ms: NDArray[np.int64] | None
    ticks: NDArray[np.bool_]
    events: Sequence[Event]
    event_rows: NDArray[np.int64]
    reject_rows: NDArray[np.int64]
    reject_codes: Sequence[str]
    scanned: Sequence[Scanned] = ()
    of_one: bool = False

    @cached_property
    def times_ms(self) -> NDArray[np.int64]:
        """Give every record's event time, UNSET where it is no event."""
        times = np.full(len(self.offsets), UNSET, np.int64)
        times[self.event_rows] = np.array([e.time_ms for e in self.events], np.int64)
        for piece in self.scanned:
            times[piece.rows] = piece.times_ms
        return times

    @property
    def accepted(self) -> int:
        """Count the events."""
        return len(self.events) + sum(len(piece.rows) for piece in self.scanned)


@dataclass(frozen=True)
class Pane:
    """Hold one finished pane: its header (parts not yet numbered), partials, and clocks."""

    header: Header
    entries: tuple[Entry, ...]
    before: Clock
    clock: Clock
    unprofiled: Counter[str]
    folded: Counter[str] = field(default_factory=Counter)


@dataclass
class _Open:
    """Gather what the pane that is still open has seen."""

    a: int
    before: Clock
    read: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    unprofiled: Counter[str] = field(default_factory=Counter)
    folded: Counter[str] = field(default_factory=Counter)
    sums: dict[str, tuple[str, Sums]] = field(default_factory=dict)

    def add(self, columns: Columns, layout: Layout) -> None:
        """Count events of one profile."""
        self.accepted += len(columns)
        self.folded.update(columns.folded)
        profile = columns.profile
        if profile.hash not in self.sums:
            self.sums[profile.hash] = profile.model, Sums(layout)
        self.sums[profile.hash][1].add(columns)


class Observer:
    """Cut one partition's records into panes and summarise each."""

    def __init__(self, source: tuple[str, int, int], book: ProfileBook, pane_ms: int) -> None:
        """Observe partition `source[1]` of `source[2]` of topic `source[0]`."""
        self.source = source
        self.pane_ms = pane_ms
        self._book = book
        self._extractors: dict[str, tuple[Extractor, Layout]] = {}
        self.start(0, Clock())

    def start(self, offset: int, clock: Clock, end: End | None = None) -> None:
        """Begin at an offset with the clock, and the first pane's end, that its commit carried."""
        self.clock = clock
        self.file_panes = 0
        self._end = end
        self._last = offset - 1
        self._open = _Open(offset, clock)

    @property
    def caught_up_to(self) -> int:
        """Give the first offset of the open pane: what a restart would read again."""
        return self._open.a

    def feed(self, batch: Batch) -> list[Pane]:
        """Take the next records, in order; give the panes that ended in them."""
        times = batch.times_ms
        cuts = self._cuts(batch, times)
        panes = []
        for (first, last), end in zip(_runs(cuts, len(times)), [*cuts, None], strict=True):
            self._gather(batch, first, last)
            if end is not None:
                offset = int(batch.offsets[end.end]) if end.end >= 0 else self._last
                panes.append(self._close(offset, end))
        self._last = int(batch.offsets.max(initial=self._last))
        return panes

    def tick(self, now_ms: int) -> Pane | None:
        """End the open pane by a clock, as a tick at that time would; None: it is not over yet.

        A pane whose end is known from the commit ends so again, whatever the time is now.
        """
        end = self._end or End(self._last, now_ms)
        over = end.time_ms // self.pane_ms > self.clock.r // self.pane_ms
        if end.offset > self._last or not over:
            return None
        self._end = None
        return self._close(end.offset, self._ticked(end))

    def finish(self, offset: int) -> Pane:
        """End the input of a file: close the open pane and let W pass everything."""
        clock = Clock(FOREVER, UNSET, FOREVER)
        return self._close(offset, Cut(0, FOREVER, clock))

    def _cuts(self, batch: Batch, times: NDArray[np.int64]) -> list[Cut]:
        """Find the ends of the panes, by record time or (a file without) by row count."""
        if batch.record_ms is not None:
            return self._timed_cuts((batch.record_ms, times, batch.ticks), batch)
        read = self._open.read
        w = np.maximum.accumulate(np.concatenate([[self.clock.w], times]))[1:]
        ends = np.flatnonzero((read + 1 + np.arange(len(times))) % FILE_PANE_ROWS == 0).tolist()
        cuts = []
        for end in ends:
            cuts.append(Cut(end, self.file_panes, Clock(int(w[end]), UNSET, UNSET)))
            self.file_panes += 1
        self.clock = Clock(int(w[-1]) if len(w) else self.clock.w, UNSET, UNSET)
        return cuts

    def _timed_cuts(self, rows: Rows, batch: Batch) -> list[Cut]:
        """Find the ends by record time; the one that the commit knows is an end, too."""
        end, read, cuts, head = self._end, self._open.read, list[Cut](), 0
        if end is not None and batch.offsets.max(initial=self._last) >= end.offset:
            head = int(np.searchsorted(batch.offsets, end.offset, "right"))
            cuts = self._cut(rows, slice(head), read, of_one=batch.of_one)
            if not cuts or cuts[-1].end < head - 1:
                cuts.append(replace(self._ticked(end), end=head - 1))
            self._end, read = None, 0
        rest = self._cut(rows, slice(head, None), read, of_one=batch.of_one)
        return cuts + [replace(one, end=one.end + head) for one in rest]

    def _cut(self, rows: Rows, part: slice, read: int, *, of_one: bool = False) -> list[Cut]:
        some = rows[0][part], rows[1][part], rows[2][part]
        cuts, _, self.clock = cut(some, self.clock, read, self.pane_ms, of_one=of_one)
        return cuts

    def _ticked(self, end: End) -> Cut:
        """Let a tick come that is not in the log."""
        tick = np.array([end.time_ms]), np.array([UNSET]), np.array([True])
        return self._cut(tick, slice(1), 0)[0]

    def _gather(self, batch: Batch, first: int, last: int) -> None:
        """Add records first…last (excluded) of the batch to the open pane."""
        pane = self._open
        low, high = np.searchsorted(batch.event_rows, [first, last]).tolist()
        pane.read += last - first
        bad_low, bad_high = np.searchsorted(batch.reject_rows, [first, last]).tolist()
        pane.rejected.update(batch.reject_codes[bad_low:bad_high])
        for model, events in _by_model(batch.events[low:high]):
            for profile, chosen in self._by_profile(model, events):
                if profile is None:
                    named = model in pane.unprofiled or len(pane.unprofiled) < _UNPROFILED_NAMES_MAX
                    pane.unprofiled[model if named else OTHER_MODELS] += len(chosen)
                    pane.accepted += len(chosen)
                    continue
                extractor, layout = self._tools(profile)
                pane.add(extractor.columns(chosen), layout)
        for piece in batch.scanned:
            columns = piece.between(first, last)
            if len(columns):
                pane.add(columns, self._tools(columns.profile)[1])

    def _by_profile(
        self, model: str, events: list[Event]
    ) -> list[tuple[Profile | None, list[Event]]]:
        """Split a model's events by the profile that is in force at their time."""
        segments = self._book.segments(model)
        if not segments:
            return [(None, events)]
        if len(segments) == 1 and segments[0][0] <= min([e.time_ms for e in events]):
            return [(segments[0][1], events)]
        split: dict[str, tuple[Profile | None, list[Event]]] = {}
        for event in events:
            profile = self._book.at(model, event.time_ms)
            key = profile.hash if profile else ""
            split.setdefault(key, (profile, []))[1].append(event)
        return [split[key] for key in sorted(split)]

    def _tools(self, profile: Profile) -> tuple[Extractor, Layout]:
        """Keep one extractor and layout for each profile."""
        if profile.hash not in self._extractors:
            self._extractors[profile.hash] = (Extractor(profile), layout_of(profile))
        return self._extractors[profile.hash]

    def _close(self, offset: int, end: Cut) -> Pane:
        """Summarise the open pane, and open the next one behind it."""
        pane = self._open
        topic, partition, partitions = self.source
        header = Header(
            topic=topic,
            partition=partition,
            partitions=partitions,
            a=pane.a,
            o=offset,
            number=end.number,
            w_before=pane.before.w,
            w_after=end.clock.w,
            read=pane.read,
            accepted=pane.accepted,
            unprofiled=pane.unprofiled.total(),
            rejected=dict(sorted(pane.rejected.items())),
            a_after=end.clock.a,
            r_after=end.clock.r,
        )
        entries = []
        for digest, (model, sums) in sorted(pane.sums.items()):
            entries += [Entry(model, digest, c.bucket, c.events, c.data) for c in sums.cells()]
        self._open = _Open(offset + 1, end.clock)
        return Pane(header, tuple(entries), pane.before, end.clock, pane.unprofiled, pane.folded)


def _runs(cuts: Sequence[Cut], length: int) -> list[tuple[int, int]]:
    """Give each pane's half-open range of rows, the still open one last.

    >>> _runs([Cut(1, 0, Clock()), Cut(2, 1, Clock())], 5)
    [(0, 2), (2, 3), (3, 5)]
    """
    bounds = [0, *(c.end + 1 for c in cuts), length]
    return list(pairwise(bounds))


def _by_model(events: Sequence[Event]) -> list[tuple[str, list[Event]]]:
    """Group events by model, models in order of their names, the log's order kept within."""
    model: Callable[[Event], str] = lambda event: event.model  # noqa: E731
    first = {event.model for event in events}
    if len(first) <= 1:
        return [(events[0].model, list(events))] if events else []
    return [(name, list(group)) for name, group in groupby(sorted(events, key=model), model)]
