"""Compare what a live prefix says with an undisturbed run over the same log, and name the places.

Compared are the parts in summaries, rejects, `alert` parts, incidents, metrics and the judges'
states, byte for byte.  A record that came twice came with the same bytes.  And everything is
counted, against the log itself:

    read = accepted + rejected + ticks          for each pane of each (topic, partition)
    accepted = partials + unprofiled            for each pane, over all summaries partitions
    partials = judged + late + unjudged         for each model, where its judge stands

A judge counts by model and not by partition: so the last line does, too, and names the panes that
would explain what is missing or too many (`tests/suspects.py`).  Of what the judges have
not applied yet, nothing is asked for; what is there all the same must be right.  A comparison
that had nothing to compare is a difference.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from detectors.judge import ModelState
from detectors.monitor import MonitorState
from detectors.panes import Part, decode_part
from stream.checkpoint import pack
from tests.differing import differing
from tests.suspects import suspects

__all__ = ["KINDS", "Account", "Applied", "LogFacts", "Source", "Verdict", "applied_of", "verify"]

KINDS = ("parts", "rejects", "metrics", "alerts", "incidents")
SHOWN_MAX = 20

Source = tuple[str, int]
Applied = Mapping[int, Mapping[Source, int]]


class LogFacts(NamedTuple):
    """Say what lies in one partition of the log, as anybody can see who reads it."""

    offsets: NDArray[np.int64]
    ticks: NDArray[np.bool_]

    def count(self, a: int, o: int) -> tuple[int, int]:
        """Count the records, and the ticks among them, at offsets `a` to `o`."""
        low, high = np.searchsorted(self.offsets, [a, o + 1]).tolist()
        return high - low, int(self.ticks[low:high].sum())


@dataclass
class Account:
    """Hold what a run said: the records of each kind by their place, and the judges' states.

    Places: (topic, partition, a, summaries partition, part, number if it is empty) of a part;
    (topic, partition, offset) of a reject; the key of everything else.
    """

    told: dict[str, dict[Any, bytes]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    states: list[MonitorState] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)
    repeats: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, place: Any, value: bytes) -> None:
        """Take one record; a second one at its place must be the same."""
        first = self.told[kind].setdefault(place, value)
        if first is not value:
            self.repeats[kind] += 1
        if first != value:
            self.contradictions.append(f"{_at(kind, place)}: told twice, with two contents")


@dataclass
class Verdict:
    """Hold what was compared, what differs and where, and the events lost and doubled."""

    compared: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)
    lost: int = 0
    doubled: int = 0
    state_differs: bool = False

    @property
    def first(self) -> str:
        """Show the first differences."""
        rest = len(self.differences) - SHOWN_MAX
        more = [f"... and {rest} more"] if rest > 0 else []
        return "\n".join([*self.differences[:SHOWN_MAX], *more])


def applied_of(states: list[MonitorState]) -> Applied:
    """Give the next offset of each source, by summaries partition."""
    return {
        number: {(source.topic, source.partition): source.next for source in state.sources}
        for number, state in enumerate(states)
    }


def verify(live: Account, undisturbed: Account, log: Mapping[Source, LogFacts]) -> Verdict:
    """Compare a live run with an undisturbed one over the same log."""
    verdict = Verdict(differences=list(live.contradictions))
    applied = applied_of(live.states)
    parts, expected = (
        {place: decode_part(value) for place, value in run.told["parts"].items()}
        for run in (live, undisturbed)
    )
    # What is nearest to the cause comes first.
    for kind in KINDS[:2]:
        verdict.differences += _compared(kind, (live, undisturbed), applied, verdict.compared)
    verdict.differences += _panes_balance(parts, live.told["rejects"], log, verdict.compared)
    _count_panes(parts, expected, applied, verdict)
    metrics = live.told["metrics"], undisturbed.told["metrics"]
    _count_models((parts, metrics), live.states, applied, verdict)
    for kind in KINDS[2:]:
        verdict.differences += _compared(kind, (live, undisturbed), applied, verdict.compared)
    states = list(_states(live.states, undisturbed.states, verdict.compared))
    verdict.state_differs = bool(states)
    verdict.differences += states
    verdict.differences += [
        f"0 {what} compared"
        for what in (*KINDS, "states", "panes", "models", "events")
        if not verdict.compared[what]
    ]
    return verdict


def _at(kind: str, place: Any) -> str:
    """Name a place in words."""
    if kind == "parts":
        topic, partition, a, summaries, part, _ = place
        return f"{topic}/{partition} pane at offset {a}, part {part} for summaries/{summaries}"
    if kind == "rejects":
        return f"{place[0]}/{place[1]} offset {place[2]}, its reject"
    return f"{kind.removesuffix('s')} {place}"


def _compared(
    kind: str, runs: tuple[Account, Account], applied: Applied, compared: Counter[str]
) -> Iterator[str]:
    """Compare the records of one kind."""
    live, undisturbed = (run.told[kind] for run in runs)
    for place in sorted({*live, *undisturbed}):
        if place not in live:
            if _is_due(kind, place, undisturbed[place], applied):
                yield f"{_at(kind, place)}: missing"
            continue
        compared[kind] += 1
        if place not in undisturbed:
            yield f"{_at(kind, place)}: too many"
        elif live[place] != undisturbed[place]:
            ours, theirs = (_read(kind, run[place]) for run in (live, undisturbed))
            where = next(differing("", ours, theirs), ": other bytes")
            yield f"{_at(kind, place)}{where}"


def _is_due(kind: str, place: Any, value: bytes, applied: Applied) -> bool:
    """Tell whether the judges have gone past it."""
    if kind == "parts":
        topic, partition, _, summaries, *_ = place
        ends = [applied.get(summaries, {}).get((topic, partition), 0)]
        return decode_part(value).header.o < ends[0]
    if kind == "rejects":
        return any(place[2] < ends.get((place[0], place[1]), 0) for ends in applied.values())
    return True


def _read(kind: str, value: bytes) -> Any:
    if kind == "parts":
        return decode_part(value)
    return orjson.loads(value) if kind != "rejects" else value


def _states(
    live: list[MonitorState], undisturbed: list[MonitorState], compared: Counter[str]
) -> Iterator[str]:
    """Compare the judges' states; the bytes of a snapshot decide."""
    if len(live) != len(undisturbed):
        yield f"{len(live)} states, not {len(undisturbed)}"
        return
    for number, (ours, theirs) in enumerate(zip(live, undisturbed, strict=True)):
        compared["states"] += len(ours.models)
        where = f"state of summaries/{number}"
        found = list(differing("", ours, theirs))
        yield from (f"{where}{one}" for one in found)
        if not found and _packed(ours) != _packed(theirs):
            yield f"{where}: other bytes"


def _packed(state: MonitorState) -> list[tuple[str, bytes]]:
    chunks = [(name, pack(model)) for name, model in sorted(state.models.items())]
    return [("order", pack(state.sources)), *chunks]


def _panes_balance(
    parts: Mapping[Any, Part],
    rejects: Mapping[Any, bytes],
    log: Mapping[Source, LogFacts],
    compared: Counter[str],
) -> Iterator[str]:
    """Count each pane's records in the log, in its header, in its partials, in its rejects."""
    panes: dict[tuple[str, int, int, int], list[Part]] = {}
    for place, part in sorted(parts.items()):
        panes.setdefault((*place[:3], place[5]), []).append(part)
    counted: dict[Source, list[int]] = {}
    for topic, partition, offset in rejects:
        counted.setdefault((topic, partition), []).append(offset)
    sorted_rejects = {source: np.sort(offsets) for source, offsets in counted.items()}
    for (topic, partition, a, _), found in panes.items():
        header = found[0].header
        where = f"{topic}/{partition} pane at offset {a} to {header.o}"
        compared["panes"] += 1
        read, ticks = log[topic, partition].count(a, header.o)
        rejected = sum(header.rejected.values())
        partials = sum(entry.events for part in found for entry in part.entries)
        published = np.searchsorted(
            sorted_rejects.get((topic, partition), np.zeros(0)), [a, header.o + 1]
        )
        for what, ours, theirs in (
            ("records read", header.read, read),
            ("accepted + rejected + ticks", header.accepted + rejected + ticks, read),
            ("partials + unprofiled", partials + header.unprofiled, header.accepted),
            ("rejects published", int(published[1] - published[0]), rejected),
        ):
            if ours != theirs:
                yield f"{where}: {what}: {ours}, not {theirs}"


def _count_panes(
    parts: Mapping[Any, Part], expected: Mapping[Any, Part], applied: Applied, verdict: Verdict
) -> None:
    """Count the events that observe has lost or doubled, pane by pane, as far as judged."""
    for place in {*parts, *expected}:
        part = expected.get(place) or parts[place]
        if part.header.o >= applied.get(place[3], {}).get(place[:2], 0):
            continue
        ours, theirs = (_events(found.get(place)) for found in (parts, expected))
        verdict.compared["events"] += theirs
        verdict.lost += max(0, theirs - ours)
        verdict.doubled += max(0, ours - theirs)


def _count_models(
    told: tuple[Mapping[Any, Part], tuple[Mapping[Any, bytes], Mapping[Any, bytes]]],
    states: list[MonitorState],
    applied: Applied,
    verdict: Verdict,
) -> None:
    """Count the events that the judges have lost or doubled, by model."""
    parts, metrics = told
    sent: Counter[tuple[int, str]] = Counter()
    for place, part in parts.items():
        if part.header.o < applied.get(place[3], {}).get(place[:2], 0):
            for entry in part.entries:
                sent[place[3], entry.model] += entry.events
    for number, state in enumerate(states):
        found: Counter[str] = Counter()
        for term, model in state.models.items():
            found[state.names[term]] += model.counts.judged + model.counts.late + _pending(model)
        for source in state.sources:
            panes = [*source.uncrossed, *(pane for _, pane in source.waiting)]
            for part in (part for pane in panes for part in pane.parts):
                for entry in part.entries:
                    found[entry.model] += entry.events
        for model in sorted({*found, *(name for k, name in sent if k == number)}):
            ours, theirs = found[model], sent[number, model]
            verdict.compared["models"] += 1
            verdict.lost += max(0, theirs - ours)
            verdict.doubled += max(0, ours - theirs)
            if ours != theirs:
                here = {place: part for place, part in parts.items() if place[3] == number}
                verdict.differences.append(
                    f"model {model} of summaries/{number}: judged + late + unjudged: "
                    f"{ours}, not {theirs}{suspects(model, ours - theirs, here, metrics)}"
                )


def _pending(model: ModelState) -> int:
    return sum(events for cells in model.pending.values() for events, _ in cells)


def _events(part: Part | None) -> int:
    return 0 if part is None else sum(entry.events for entry in part.entries)
