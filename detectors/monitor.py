"""The monitor: all models of one summaries partition, judged in the one order of the log.

The worker and the backtest call the same `apply`; what they do with the effects differs.
"""

from collections.abc import Iterator

import msgspec

from detectors.alert import Alert, Incident, Metric, instant
from detectors.epochs import Epochs, Semantics
from detectors.errors import StateRefused
from detectors.handover import hand_over, kept_streams
from detectors.judge import ModelJudge, ModelState
from detectors.order import OrderedPane, PaneOrder, Source
from detectors.panes import FOREVER, UNSET, Entry, Part
from detectors.profile import Profile, ProfileBook

__all__ = ["Monitor", "MonitorState"]


class MonitorState(msgspec.Struct):
    """Hold the state of all models of one summaries partition, by term.

    A *term* is a profile in one epoch: its hash, and `@` and the epoch's start (milliseconds)
    where that is not the first.
    """

    sources: list[Source]
    models: dict[str, ModelState]
    names: dict[str, str]


class Monitor:
    """Apply parts in order; give the alerts and metrics that follow."""

    def __init__(
        self, book: ProfileBook, semantics: Semantics | Epochs, *, metrics: bool = True
    ) -> None:
        """Start with no pane seen; book and epochs may grow while the monitor runs."""
        self.order = PaneOrder()
        self.judges: dict[str, ModelJudge] = {}
        self._book = book
        self._epochs = Epochs(semantics) if isinstance(semantics, Semantics) else semantics
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
        """Count the bytes of partials whose bucket has not finalised, or whose pane waits."""
        judged = sum(judge.pending_bytes for judge in self.judges.values())
        return judged + self.order.pending_bytes

    def _take(self, pane: OrderedPane) -> None:
        """Hand a pane's partials to the judges of their models."""
        header = pane.header
        for part in pane.parts:
            for entry in part.entries:
                judge = self._judge(entry)
                _, semantics = self._epochs.at(entry.bucket * judge.profile.bucket_ms)
                judge.take(entry, header.w_before, semantics.lateness_ms)
        self.order.advance(header)

    def _finalise(self) -> Iterator[Alert | Incident | Metric]:
        """Finalise what the slowest partition's W allows, models in order of their profiles."""
        horizon = self.order.horizon()
        if horizon == UNSET:
            return
        for model in sorted({judge.profile.model for judge in self.judges.values()}):
            for term in self._succession(model):
                judge = self.judges.get(term)
                if judge is None:
                    continue
                start_ms = _start_of(term)
                _, semantics = self._epochs.at(start_ms)
                final = horizon - (semantics.lateness_ms if horizon < FOREVER else 0)
                ends = self._book.end_of(judge.profile), self._epochs.end_of(start_ms)
                end = min((one for one in ends if one is not None), default=None)
                yield from judge.finalise(final if end is None else min(final, end))
                if end is not None and final >= end:
                    yield from self._hand_over(term, end)

    def _succession(self, model: str) -> list[str]:
        """List the terms of a model in the order in which they take over."""
        known = []
        for profile, start, end in self._book.in_force(model):
            within = [at for at in self._epochs.starts if start < at < end]
            known += [_term(profile, at) for at in (self._epochs.at(start)[0], *within)]
        own = {term for term, judge in self.judges.items() if judge.profile.model == model}
        return [*sorted(own.difference(known)), *dict.fromkeys(known)]

    def _hand_over(self, term: str, end_ms: int) -> Iterator[Alert | Incident | Metric]:
        """End a judge, and let that of the next term go on from it.

        A late partial makes it anew; then it has nothing to leave but what it has counted.
        """
        judge = self.judges[term]
        profile = self._book.at(judge.profile.model, end_ms)
        assert profile is not None
        new = self._at_term(profile, end_ms)
        kept = {} if new.has_begun else kept_streams(judge.profile, profile)
        accepted = profile.parent == judge.profile.hash
        yield from judge.end(end_ms, kept, accepted=accepted)
        if not new.has_begun:
            hand_over(judge, new, end_ms, kept)
        new.absorb(judge)
        del self.judges[term]

    def _judge(self, entry: Entry) -> ModelJudge:
        """Give the judge of an entry's model, profile and epoch, made at its first partial."""
        profile = self._book.by_hash(entry.profile)
        if profile is None:
            raise StateRefused(
                f"The summaries of model {entry.model} were made with profile "
                f"{entry.profile}, which the control topic does not hold. Push it again "
                "with `driftline profile push`."
            )
        return self._at_term(profile, entry.bucket * profile.bucket_ms)

    def _at_term(self, profile: Profile, time_ms: int) -> ModelJudge:
        """Give the judge of a profile in the epoch of an event time, made when first asked for."""
        start_ms, semantics = self._epochs.at(time_ms)
        term = _term(profile, start_ms)
        if term not in self.judges:
            self.judges[term] = self._new(profile, semantics)
        return self.judges[term]

    def _new(self, profile: Profile, semantics: Semantics) -> ModelJudge:
        policy, _, config, detectors = semantics
        return ModelJudge(profile, policy, config, detectors=detectors, metrics=self._metrics)

    def snapshot(self) -> MonitorState:
        """Give the whole state."""
        return MonitorState(
            sources=self.order.sources,
            models={term: judge.snapshot() for term, judge in sorted(self.judges.items())},
            names={term: judge.profile.model for term, judge in sorted(self.judges.items())},
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
        for term, model in state.models.items():
            digest, start_ms = term.partition("@")[0], _start_of(term)
            profile = self._book.by_hash(digest)
            if profile is None or start_ms not in self._epochs.starts:
                raise StateRefused(
                    f"The snapshot of model {state.names[term]} needs profile {digest} and the "
                    f"configuration of {instant(start_ms)}, which the control topic does not "
                    "hold. Push them again with `driftline profile push` and `config push`."
                )
            self.judges[term] = self._new(profile, self._epochs.at(start_ms)[1])
            self.judges[term].restore(model)


def _term(profile: Profile, start_ms: int) -> str:
    return f"{profile.hash}@{start_ms}" if start_ms else profile.hash


def _start_of(term: str) -> int:
    """Give the start of a term's epoch.

    >>> _start_of("af01"), _start_of("af01@60000")
    (0, 60000)
    """
    return int(term.partition("@")[2] or 0)
