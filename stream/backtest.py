"""Backtest: the worker's own observe and judge, over files.

A file is one partition in file order, its panes end every 65,536 rows, and at the end of the
input W is infinite.  A table may bring record times; then Kafka's rules for panes hold.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from detectors.alert import Alert, Incident, Metric
from detectors.errors import ConfigError
from detectors.fit import NothingToFit
from detectors.learning import Learner, arrived_in
from detectors.observe import Batch, Observer
from detectors.panes import UNSET
from detectors.profile import Profile, ProfileBook
from stream.batching import decoded
from stream.config import Config, semantics_of
from stream.control import effective_from
from stream.decode.scan.scanner import Scanner
from stream.fitting import fit_learnt, patience_of
from stream.judging import Judging, Totals
from stream.records import Records
from stream.selecting import EVERYTHING, Selection, in_order
from stream.sources import Row, read_rows

__all__ = ["Backtest"]


class Backtest:
    """Run events from files through observe and judge."""

    def __init__(
        self, config: Config, profiles: Sequence[Profile], *, metrics: bool = False
    ) -> None:
        """Put the profiles in force from the beginning; without any, learn them from the rows."""
        self.config = config
        self.learnt: list[tuple[Profile, int]] = []
        self._book = book = ProfileBook()
        self._learner = Learner(1, patience_of(config), lambda model: bool(book.segments(model)))
        self._learns = not profiles
        for profile in profiles:
            book.add(profile, 0)
        self._scanner = Scanner(book, config.limits)
        self._observer = Observer(("file", 0, 1), book, config.time.pane_seconds * 1000)
        self._judging = Judging(book, semantics_of(config), metrics=metrics)
        self._latest_ms = UNSET
        self._next_row = 0

    def run(
        self,
        paths: Sequence[Path],
        on_bytes: Callable[[int], None] = lambda _: None,
        selection: Selection = EVERYTHING,
    ) -> Iterator[Alert | Incident | Metric]:
        """Yield what follows from the files, read one after the other.

        Raises
        ------
        ConfigError
            If a row is further out of order than `time.lateness_seconds`.
        """
        chunks = self._chunks(paths, on_bytes, selection)
        if selection.sort:
            chunks = in_order(chunks, self.config.limits)
        for rows in chunks:
            yield from self._take(rows)
        yield from self._judging.take(self._observer.finish(self._next_row - 1))

    @property
    def totals(self) -> Totals:
        """Give the counts so far."""
        return self._judging.totals

    def _chunks(
        self, paths: Sequence[Path], on_bytes: Callable[[int], None], selection: Selection
    ) -> Iterator[list[Row]]:
        """Read the chosen rows of all files."""
        for self._path in paths:
            before = 0
            for rows, position in read_rows(self._path, self.config.columns, self.config.limits):
                if chosen := selection.of(rows, self.config.limits):
                    yield chosen
                on_bytes(position - before)
                before = position

    def _take(self, rows: list[Row]) -> Iterator[Alert | Incident | Metric]:
        """Feed one chunk of rows."""
        timed = rows[0].record_ms is not None
        times = [row.record_ms or UNSET for row in rows]
        record_ms = np.array(times, np.int64) if timed else None
        first = self._next_row
        self._next_row += len(rows)
        records = Records.of_values([row.value for row in rows], first)
        batch = decoded(records, record_ms, self.config, self._scanner)
        if not timed:
            self._check_order(first, batch)
        if self._learns:
            self._learn(batch)
        for pane in self._observer.feed(batch):
            yield from self._judging.take(pane)

    def _learn(self, batch: Batch) -> None:
        """Put a profile in force as soon as its reference is complete; no row is behind that."""
        self._learner.take(0, arrived_in(batch))
        for one in self._learner.due():
            try:
                profile = fit_learnt(one, self.config)
            except NothingToFit:  # what comes later may have something
                continue
            over_ms = one.end_ms + self.config.time.lateness_seconds * 1000
            start_ms = effective_from(over_ms, (profile.bucket_seconds,))
            self._book.add(profile, start_ms)
            self.learnt.append((profile, start_ms))

    def _check_order(self, first: int, batch: Batch) -> None:
        """Refuse rows that a live run would have seen in another order."""
        event_rows = np.flatnonzero(batch.times_ms != UNSET)
        times = batch.times_ms[event_rows]
        latest = np.maximum.accumulate(np.concatenate([[self._latest_ms], times]))
        behind = latest[1:] - times > self.config.time.lateness_seconds * 1000
        if behind.any():
            row = first + int(event_rows[int(np.argmax(behind))]) + 1
            raise ConfigError(
                f"Row {row} of {self._path} is more than {self.config.time.lateness_seconds} s "
                "older than a row before it. Sort the file by time (--sort), map a record_time "
                "column, or raise time.lateness_seconds."
            )
        self._latest_ms = int(latest[-1])
