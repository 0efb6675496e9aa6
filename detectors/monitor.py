"""The monitor: all models of one summaries partition, judged in the one order of the log.

The worker and the backtest call the same `apply`; what they do with the effects differs.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from detectors.alert import Alert, Incident, Metric
from detectors.errors import StateRefused
from detectors.handover import hand_over, kept_streams
from detectors.judge import ModelJudge, ModelState
from detectors.order import OrderedPane, PaneOrder, Source
from detectors.panes import FOREVER, UNSET, Entry, Part
from detectors.policy import Policy
from detectors.profile import Profile, ProfileBook

__all__ = ["Monitor", "MonitorState", "Semantics"]


class Semantics(NamedTuple):
    """Hold the semantic configuration that a judge needs, and its hash."""

    policy: Policy
    lateness_ms: int
    config: str
    detectors: tuple[str, ...] = ("sr",)


class MonitorState(msgspec.Struct):
    """Hold the state of all models of one summaries partition."""

    sources: list[Source]
    models: dict[str, ModelState]
    names: dict[str, str]


class Monitor:
    """Apply parts in order; give the alerts and metrics that follow."""

    def __init__(self, book: ProfileBook, semantics: Semantics, *, metrics: bool = True) -> None:
        """Start with no pane seen; `book` may learn profiles while the monitor runs."""
        self.order = PaneOrder()
        self.judges: dict[str, ModelJudge] = {}
        self._book = book
        self._semantics = semantics
        self._metrics = metrics

    def apply(self, part: Part) -> Iterator[Alert | Incident | Metric]:
        """Take the next part as it comes from the log.

        Raises
        ------
        StateRefused
            At a gap, a re-cut pane, or a partial whose profile the control topic does not hold.
        """
        for panes in self.order.offer(part):
            for pane in panes:
                self._take(pane)
            yield from self._finalise()

    def unknown_profiles(self, part: Part) -> set[str]:
        """Name the profiles that the part speaks of and the book does not hold."""
        named = {entry.profile for entry in part.entries}
        return {digest for digest in named if self._book.by_hash(digest) is None}

    @property
    def pending_bytes(self) -> int:
        """Count the bytes of partials whose bucket has not finalised."""
        return sum(judge.pending_bytes for judge in self.judges.values())

    def _take(self, pane: OrderedPane) -> None:
        """Hand a pane's partials to the judges of their models."""
        header = pane.header
        for part in pane.parts:
            for entry in part.entries:
                judge = self._judge(entry)
                judge.take(entry, header.w_before, self._semantics.lateness_ms)
        self.order.advance(header)

    def _finalise(self) -> Iterator[Alert | Incident | Metric]:
        """Finalise what the slowest partition's W allows, models in order of their profiles."""
        horizon = self.order.horizon()
        if horizon == UNSET:
            return
        lateness_ms = self._semantics.lateness_ms if horizon < FOREVER else 0
        final = horizon - lateness_ms
        for model in sorted({judge.profile.model for judge in self.judges.values()}):
            for digest in self._succession(model):
                judge = self.judges.get(digest)
                if judge is None:
                    continue
                end = self._book.end_of(judge.profile)
                yield from judge.finalise(final if end is None else min(final, end))
                if end is not None and final >= end:
                    yield from self._hand_over(judge, end)

    def _succession(self, model: str) -> list[str]:
        """List the hashes of a model's profiles in the order in which they take over."""
        known = [profile.hash for _, profile in self._book.segments(model)]
        own = {digest for digest, judge in self.judges.items() if judge.profile.model == model}
        return [*sorted(own.difference(known)), *dict.fromkeys(known)]

    def _hand_over(self, judge: ModelJudge, end_ms: int) -> Iterator[Alert | Incident | Metric]:
        """End a judge, and let that of the next profile go on from it.

        A late partial makes it anew; then it has nothing to leave but what it has counted.
        """
        profile = self._book.at(judge.profile.model, end_ms)
        assert profile is not None
        new = self.judges.setdefault(profile.hash, self._new(profile))
        kept = {} if new.has_begun else kept_streams(judge.profile, profile)
        accepted = profile.parent == judge.profile.hash
        yield from judge.end(end_ms, kept, accepted=accepted)
        if not new.has_begun:
            hand_over(judge, new, end_ms, kept)
        new.absorb(judge)
        del self.judges[judge.profile.hash]

    def _judge(self, entry: Entry) -> ModelJudge:
        """Give the judge of an entry's model and profile, made at its first partial."""
        if entry.profile not in self.judges:
            profile = self._book.by_hash(entry.profile)
            if profile is None:
                raise StateRefused(
                    f"The summaries of model {entry.model} were made with profile "
                    f"{entry.profile}, which the control topic does not hold. Push it again "
                    "with `driftline profile push`."
                )
            self.judges[entry.profile] = self._new(profile)
        return self.judges[entry.profile]

    def _new(self, profile: Profile) -> ModelJudge:
        policy, _, config, detectors = self._semantics
        return ModelJudge(profile, policy, config, detectors=detectors, metrics=self._metrics)

    def snapshot(self) -> MonitorState:
        """Give the whole state."""
        return MonitorState(
            sources=self.order.sources,
            models={digest: judge.snapshot() for digest, judge in sorted(self.judges.items())},
            names={digest: judge.profile.model for digest, judge in sorted(self.judges.items())},
        )

    def restore(self, state: MonitorState) -> None:
        """Take the whole state from a snapshot.

        Raises
        ------
        StateRefused
            If a profile that the snapshot speaks of is not in the book.
        """
        self.order = PaneOrder(state.sources)
        self.judges = {}
        for digest, model in state.models.items():
            profile = self._book.by_hash(digest)
            if profile is None:
                raise StateRefused(
                    f"The snapshot of model {state.names[digest]} needs profile {digest}, which "
                    "the control topic does not hold. Push it again with `driftline profile push`."
                )
            self.judges[digest] = self._new(profile)
            self.judges[digest].restore(model)
