"""The judge of one model: partials in, finalised buckets and blocks, alerts and metrics out.

Everything here is a function of the partials and of W; nothing knows a clock, a topic or a
thread.  Late partials are counted and change nothing else.
"""

from collections.abc import Container, Iterator, Sequence
from typing import Any

import msgspec
from numpy.typing import NDArray

from detectors.alarms import AlertLife, OpenAlert
from detectors.alert import Alert, Incident, Metric
from detectors.blocks import Blocks, Closed, stream_table
from detectors.errors import SnapshotCorrupt
from detectors.incident import OpenIncident
from detectors.layout import layout_of
from detectors.measure import Gauges
from detectors.panel import Choice, Panel
from detectors.panes import FOREVER, UNSET, Entry
from detectors.policy import Allowance, Policy
from detectors.profile import Profile
from detectors.spending import Spending
from detectors.summary.cells import Moments, add_cell

__all__ = ["Counts", "ModelJudge", "ModelState"]


class Counts(msgspec.Struct):
    """Count what became of a model's events."""

    judged: int = 0
    late: int = 0


class ModelState(msgspec.Struct):
    """Hold everything of a model's judge that a snapshot keeps.  Arrays are by name."""

    pending: dict[int, list[tuple[int, bytes]]]
    late: dict[int, int]
    final: int
    open: list[tuple[int, OpenAlert]]
    incidents: list[OpenIncident]
    opened_ms: list[int]
    spent_ms: int
    counts: Counts
    arrays: dict[str, NDArray[Any]]


class ModelJudge:
    """Judge one model against one profile."""

    def __init__(
        self,
        profile: Profile,
        policy: Policy,
        config: str,
        *,
        metrics: bool = True,
        detectors: tuple[str, ...] = ("sr",),
        allowances: Sequence[Allowance] | None = None,
    ) -> None:
        """Start with no bucket seen; without `metrics` only alerts are made.

        `detectors` alarm; `allowances` grants each stream its part of the budget, None shares
        out the policy's.
        """
        self.profile = profile
        self._metrics = metrics
        self.layout = layout_of(profile)
        table = stream_table(profile, self.layout)
        block_buckets = max(1, profile.block_seconds // profile.bucket_seconds)
        self.blocks = Blocks(table, self.layout, (profile.block_events, block_buckets))
        self.panel = Panel(profile, self.blocks, policy, Choice(allowances, detectors))
        self._gauges = Gauges(self.panel, self.blocks, self.layout)
        self.life = AlertLife(profile, policy, config)
        self.spending = Spending(profile, policy, self.panel.allowances, [])
        self.counts = Counts()
        self._moments = Moments.zeros(self.layout)
        self._block_buckets = block_buckets
        self._pending: dict[int, list[tuple[int, bytes]]] = {}
        self._late: dict[int, int] = {}
        self._final = UNSET
        self._spent_ms = UNSET

    def take(self, entry: Entry, w_before: int, lateness_ms: int) -> None:
        """Keep a partial until its bucket finalises, or count it as late."""
        ends = (entry.bucket + 1) * self.profile.bucket_ms
        behind = w_before != UNSET and ends + lateness_ms <= w_before
        if behind or entry.bucket < self._final:
            at = max(w_before // self.profile.bucket_ms, self._final)
            self._late[at] = self._late.get(at, 0) + entry.events
            self.counts.late += entry.events
            return
        self._pending.setdefault(entry.bucket, []).append((entry.events, entry.data))

    def finalise(self, horizon_ms: int) -> Iterator[Alert | Incident | Metric]:
        """Finalise every bucket that ends at or before the horizon, in order."""
        over = horizon_ms // self.profile.bucket_ms
        for bucket in sorted(b for b in self._pending if b < over):
            yield from self._bucket(bucket)
        if over > self._final and (self._final != UNSET or self.blocks.rate.block != UNSET):
            # Behind the end of a file, time goes on for as long as a block is open, not for ever.
            end = self._final + self._block_buckets - 1
            yield from self._pass_time(over if horizon_ms < FOREVER else end)
            self._final = over

    def end(
        self, end_ms: int, kept: Container[int], *, accepted: bool
    ) -> Iterator[Alert | Incident | Metric]:
        """End where another profile takes over; resolve the alerts of streams it does not keep.

        `accepted` says that it stands on this one's profile.
        """
        end = end_ms // self.profile.bucket_ms
        for j in sorted(self.life.open):
            if j not in kept:
                yield from self.life.close(j, end, accepted=accepted)
        yield from self._incidents(end)

    def absorb(self, ended: "ModelJudge") -> None:
        """Count also what the judge of an ended profile has counted."""
        self.counts.judged += ended.counts.judged
        self.counts.late += ended.counts.late
        for bucket, events in ended._late.items():  # noqa: SLF001  one of its kind
            at = bucket * ended.profile.bucket_ms // self.profile.bucket_ms
            self._late[at] = self._late.get(at, 0) + events

    @property
    def has_begun(self) -> bool:
        """Say whether any bucket has been judged."""
        return self._final != UNSET

    @property
    def pending_bytes(self) -> int:
        """Count the bytes of partials whose bucket has not finalised."""
        return sum(len(data) for cells in self._pending.values() for _, data in cells)

    @property
    def budget_spent(self) -> float:
        """Give the incidents of the last week, in units of what is accepted."""
        return self.spending.share(self._spent_ms)

    def _pass_time(self, bucket: int) -> Iterator[Alert | Incident | Metric]:
        """Close what time alone closes before `bucket` begins."""
        for closed in self.blocks.expire(bucket):
            yield from self._judge(closed)

    def _bucket(self, bucket: int) -> Iterator[Alert | Incident | Metric]:
        """Judge one finalised bucket."""
        yield from self._pass_time(bucket)
        moments = self._moments
        moments.clear()
        for events, data in self._pending.pop(bucket):
            add_cell(data, self.layout, moments)
            self.counts.judged += events
        self._final = bucket + 1
        yield from self._judge(self.blocks.add(bucket, moments))

    def _judge(self, closed: Closed) -> Iterator[Alert | Incident | Metric]:
        """Show the closed blocks to the detectors; give metrics, alerts, incidents."""
        if not len(closed.streams):
            return
        panel = self.panel
        panel.update(closed.streams, closed.end)
        late = sum(self._late.pop(b) for b in sorted(self._late) if b < closed.end)
        streams = closed.streams.tolist()
        if self._metrics:
            yield from self._gauges.measure(closed.streams, closed.end, late)
        # The strongest alarm first: an incident opens with what stands out most.
        alarming = closed.streams[panel.strength[closed.streams] >= 1.0].tolist()
        alarming.sort(key=lambda j: -panel.strength[j])
        for j in alarming:
            yield from self.life.alarmed(j, self._block(j, closed.end), panel)
        silent = [j for j in streams if j in self.life.open and panel.strength[j] < 1.0]
        for j in silent:
            yield from self.life.silent(j, self._block(j, closed.end))
        yield from self._incidents(closed.end)
        for j in alarming:
            panel.reset(j)
        self.blocks.clear(closed.streams)

    def _block(self, j: int, end: int) -> tuple[int, int, int]:
        """Give stream j's block as (start, end, events)."""
        return int(self.blocks.start[j]), end, int(self.panel.scorer.total[j])

    def _incidents(self, end: int) -> Iterator[Incident | Metric]:
        """Give the incidents that have changed, and the budget when one opens or a day ends."""
        end_ms, before_ms = end * self.profile.bucket_ms, self._spent_ms
        self._spent_ms = max(end_ms, before_ms)
        due = before_ms != UNSET and self.spending.is_due(before_ms, end_ms)
        for incident in self.life.incidents.revisions(end, self.panel):
            if incident.revision == 0:
                self.spending.add(end_ms)
            due |= incident.revision == 0 or incident.status == "resolved"
            yield incident
        if due and self._metrics:
            yield self.spending.metric(end_ms)

    def snapshot(self) -> ModelState:
        """Give the whole state; arrays are copies."""
        arrays = {f"blocks.{k}": v for k, v in self.blocks.snapshot().items()}
        arrays |= {f"panel.{k}": v for k, v in self.panel.snapshot().items()}
        return ModelState(
            pending={b: list(cells) for b, cells in sorted(self._pending.items())},
            late=dict(sorted(self._late.items())),
            final=self._final,
            open=self.life.snapshot(),
            incidents=self.life.incidents.snapshot(),
            opened_ms=list(self.spending.opened),
            spent_ms=self._spent_ms,
            counts=msgspec.structs.replace(self.counts),
            arrays={name: array.copy() for name, array in arrays.items()},
        )

    def restore(self, state: ModelState) -> None:
        """Take the whole state from a snapshot.

        Raises
        ------
        SnapshotCorrupt
            If it is the state of another profile, or of other detectors.
        """
        by_part: dict[str, dict[str, NDArray[Any]]] = {"blocks": {}, "panel": {}}
        for name, array in state.arrays.items():
            part, _, key = name.partition(".")
            by_part.setdefault(part, {})[key] = array
        try:
            _check_arrays(self.snapshot().arrays, state.arrays)
            self.blocks.restore(by_part["blocks"])
            self.panel.restore(by_part["panel"])
        except (ValueError, KeyError) as error:
            raise SnapshotCorrupt(
                f"The snapshot of model {self.profile.model} does not fit profile "
                f"{self.profile.hash} and the detectors of this configuration: {error}."
            ) from error
        self.life.restore(state.open)
        self.life.incidents.restore(state.incidents)
        self.spending.opened = list(state.opened_ms)
        self._spent_ms = state.spent_ms
        self.counts = state.counts
        self._pending = state.pending
        self._late = state.late
        self._final = state.final


def _check_arrays(own: dict[str, NDArray[Any]], given: dict[str, NDArray[Any]]) -> None:
    """Refuse arrays of other names, shapes or types: numpy would stretch some to fit."""
    if own.keys() != given.keys():
        raise ValueError(f"other arrays: {sorted(own.keys() ^ given.keys())[:5]}")
    for name, array in own.items():
        if (given[name].shape, given[name].dtype) != (array.shape, array.dtype):
            raise ValueError(f"{name} is an array of other shape or type")
