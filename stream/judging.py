"""Judge the panes of a replay as the judges of all summaries partitions would, and count them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from detectors.alert import Alert, Incident, Metric
from detectors.epochs import Epochs, Semantics
from detectors.monitor import Monitor, MonitorState
from detectors.observe import Pane
from detectors.panes import Part
from detectors.profile import ProfileBook
from stream.routing import parts_of

__all__ = ["Judging", "Totals"]


@dataclass
class Totals:
    """Count what became of the records."""

    read: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    unprofiled: Counter[str] = field(default_factory=Counter)
    late: int = 0
    judged: int = 0


class Judging:
    """Hold a monitor for each summaries partition, as the judge role does."""

    def __init__(
        self,
        book: ProfileBook,
        semantics: Semantics | Epochs,
        partitions: int = 1,
        *,
        metrics: bool = True,
    ) -> None:
        """Start with no pane seen; a model is judged in the partition that its name gives."""
        self._monitors = [Monitor(book, semantics, metrics=metrics) for _ in range(partitions)]
        self._totals = Totals()

    def take(
        self, pane: Pane, applied: Mapping[int, Mapping[tuple[str, int], int]] | None = None
    ) -> Iterator[Alert | Incident | Metric]:
        """Count one pane, and judge it.

        `applied` says which offset each summaries partition stands at, by source partition: a
        pane behind that is not applied there.  So a replay ends where a live judge ended.
        """
        header = pane.header
        self._totals.read += header.read
        self._totals.accepted += header.accepted
        self._totals.rejected.update(header.rejected)
        self._totals.unprofiled.update(pane.unprofiled)
        for partition, parts in enumerate(parts_of(pane, len(self._monitors))):
            if applied is not None:
                end = applied.get(partition, {}).get((header.topic, header.partition), 0)
                if header.o >= end:
                    continue
            for part in parts:
                yield from self.apply(partition, part)

    def apply(self, partition: int, part: Part) -> Iterator[Alert | Incident | Metric]:
        """Judge one part of a summaries partition."""
        yield from self._monitors[partition].apply(part)

    @property
    def totals(self) -> Totals:
        """Give the counts so far."""
        judges = [judge for monitor in self._monitors for judge in monitor.judges.values()]
        self._totals.late = sum(judge.counts.late for judge in judges)
        self._totals.judged = sum(judge.counts.judged for judge in judges)
        return self._totals

    def states(self) -> list[MonitorState]:
        """Give the state of each summaries partition."""
        return [monitor.snapshot() for monitor in self._monitors]
