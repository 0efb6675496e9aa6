"""Handover: what a judge leaves to the judge of the profile that takes over.

A stream whose channel, slice and reference are the same goes on as if nothing had been: its open
block, its detectors and its open alert.  Everything else begins anew.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.findings import Finding, Witness
from detectors.incident import OpenIncident
from detectors.judge import ModelJudge, ModelState
from detectors.profile import Profile, Stream

__all__ = ["hand_over", "kept_streams"]

_SR_BY_STREAM = {"evidence", "lead"}
_TALLY_BY_STREAM = {"rare", "total"}

_Told = TypeVar("_Told", Finding, Witness)


class _Rows(NamedTuple):
    """Pair the rows of the old arrays with those of the new ones."""

    old: NDArray[np.int64]
    new: NDArray[np.int64]


def _label(profile: Profile, stream: Stream) -> Hashable:
    """Name a stream whatever its place in the profile."""
    where = tuple(sorted(profile.slices[stream.slice].items()))
    return profile.channels[stream.channel].name, where, stream.missing


def kept_streams(old: Profile, new: Profile) -> dict[int, int]:
    """Pair the streams (old index: new index) that are the same in both profiles."""
    fixed = ("bucket_seconds", "block_events", "block_seconds", "calendar")
    if any(getattr(old, name) != getattr(new, name) for name in fixed):
        return {}
    there = {_label(new, stream): j for j, stream in enumerate(new.streams)}
    kept = {}
    for j, stream in enumerate(old.streams):
        at = there.get(_label(old, stream))
        if at is None or new.streams[at].reference != stream.reference:
            continue
        if new.channels[new.streams[at].channel] == old.channels[stream.channel]:
            kept[j] = at
    return kept


def hand_over(old: ModelJudge, new: ModelJudge, end_ms: int, kept: Mapping[int, int]) -> None:
    """Let a judge go on from where the one before it ended, with the streams that are kept."""
    before, after = old.snapshot(), new.snapshot()
    arrays = _arrays(old, new, kept)
    state = ModelState(
        pending=after.pending,
        late=after.late,
        final=end_ms // new.profile.bucket_ms,
        open=sorted((kept[j], opened) for j, opened in before.open if j in kept),
        incidents=_incidents(old.profile, new.profile, before.incidents),
        opened_ms=before.opened_ms,
        spent_ms=before.spent_ms,
        counts=after.counts,
        arrays=arrays,
    )
    new.restore(state)


def _incidents(old: Profile, new: Profile, incidents: Sequence[OpenIncident]) -> list[OpenIncident]:
    """Find the streams and slices of open incidents in the new profile; leave out what is not."""
    streams = {_label(new, stream): j for j, stream in enumerate(new.streams)}
    slices = [tuple(sorted(where.items())) for where in new.slices]

    def there(told: _Told) -> list[_Told]:
        at = streams.get(_label(old, old.streams[told.stream]))
        where = tuple(sorted(old.slices[told.slice].items()))
        if at is None or where not in slices:
            return []
        return [msgspec.structs.replace(told, stream=at, slice=slices.index(where))]

    moved = []
    for one in incidents:
        findings = [found for finding in one.findings for found in there(finding)]
        witnesses = [found for witness in one.witnesses for found in there(witness)]
        # Their sums are of the ended judge: what a witness knows, it goes on knowing.
        witnesses = [msgspec.structs.replace(witness, before=[]) for witness in witnesses]
        moved.append(msgspec.structs.replace(one, findings=findings, witnesses=witnesses))
    return [one for one in moved if any(finding.open for finding in one.findings)]


def _arrays(old: ModelJudge, new: ModelJudge, kept: Mapping[int, int]) -> dict[str, NDArray[Any]]:
    """Give the new judge's arrays, with the old one's rows of the streams that are kept."""
    before, after = old.snapshot().arrays, new.snapshot().arrays
    axes = _axes(old, new, kept)
    watched = len(old.panel.watched), len(new.panel.watched)
    for name, array in after.items():
        rows = axes[_axis(name)]
        # A detector whose state is not in rows (one of river's) begins anew.
        known = name in before  # a detector that the configuration did not name before is not
        if known and (_axis(name) != "watched" or (len(before[name]), len(array)) == watched):
            array[rows.new] = before[name][rows.old]
    statistics = axes["statistics"]
    place = dict(zip(statistics.old.tolist(), statistics.new.tolist(), strict=True))
    # A lead is the flat place of an accumulator among those of all statistics.
    lead, each = after["panel.sr.lead"], int(np.prod(after["panel.sr.r"].shape[1:]))
    for j in kept.values():
        d, rest = divmod(int(lead[j]), each)
        lead[j] = place.get(d, 0) * each + rest
    return after


def _axis(name: str) -> str:
    """Say what the rows of a named array stand for."""
    part, _, key = name.partition(".")
    if part == "blocks":
        return {"counts": "bins", "rate.counts": "slices", "rate.at": "whole"}.get(key, "streams")
    bank, _, field = key.partition(".")
    by_stream = {"sr": _SR_BY_STREAM, "tally": _TALLY_BY_STREAM}
    if bank == "scorer" or (bank in by_stream and field not in by_stream[bank]):
        return "statistics"
    if bank == "beside" and not field.endswith(".end"):
        return "watched"
    return "streams"


def _axes(old: ModelJudge, new: ModelJudge, kept: Mapping[int, int]) -> dict[str, _Rows]:
    """Pair the rows of everything that arrays are by."""
    statistics = _ranges(old.panel.sr.first, new.panel.sr.first, kept)
    watched = [{d: at for at, d in enumerate(judge.panel.watched.tolist())} for judge in (old, new)]
    positions = [
        (watched[0][a], watched[1][b])
        for a, b in zip(statistics.old.tolist(), statistics.new.tolist(), strict=True)
        if a in watched[0] and b in watched[1]
    ]
    same = bool(kept) and old.profile.slices == new.profile.slices
    slices = range(len(old.profile.slices)) if same else ()
    return {
        "streams": _rows(list(kept.items())),
        "statistics": statistics,
        "watched": _rows(positions),
        "bins": _ranges(old.blocks.table.first, new.blocks.table.first, kept),
        "slices": _rows([(s, s) for s in slices]),
        "whole": _rows([(0, 0), (1, 1)] if same else []),
    }


def _rows(pairs: Sequence[tuple[int, int]]) -> _Rows:
    both = np.array(pairs, np.int64).reshape(-1, 2)
    return _Rows(both[:, 0], both[:, 1])


def _ranges(old: NDArray[np.int64], new: NDArray[np.int64], kept: Mapping[int, int]) -> _Rows:
    """Pair what streams hold from `first[j]` to `first[j + 1]`."""
    pairs = []
    for a, b in kept.items():
        low, size = int(old[a]), int(old[a + 1] - old[a])
        pairs += [(low + i, int(new[b]) + i) for i in range(size)]
    return _rows(pairs)
