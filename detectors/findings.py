"""Findings: what each alarm says of its incident, and which of them tell it best."""

from collections.abc import Sequence

import msgspec

from detectors.causes import SURE
from detectors.profile import Profile
from detectors.sights import Sight
from detectors.wording import place

__all__ = ["Finding", "Witness", "first_line", "is_outcome", "leading", "measured"]

_ALL = 0
_OUTCOMES = {"prediction", "error"}
_NAMES_MAX = 3


class Finding(msgspec.Struct):
    """Hold what one stream's alarm has to say in its incident.

    `slice` explains the change, as far as the alarm could tell (`sure`: in standard errors),
    and makes up `share` of it; `strength` is its evidence in units of an alarm.
    """

    stream: int
    alert: str
    sentence: str
    severity: str
    strength: float
    slice: int
    share: float
    sure: float
    onset: int
    open: bool = True


class Witness(msgspec.Struct):
    """Hold what the slices of a channel had added up to at its first alarm, in `stream`.

    `before` is by sibling; `slice`, `share` and `sure` are what has been learnt since.
    """

    stream: int
    sight: Sight
    before: list[tuple[int, float]]
    slice: int = _ALL
    share: float = 1.0
    sure: float = 0.0


def is_outcome(profile: Profile, j: int) -> bool:
    """Say whether a stream is of what comes of the features: prediction or error."""
    stream = profile.streams[j]
    return not stream.missing and profile.channels[stream.channel].name in _OUTCOMES


def measured(profile: Profile, j: int) -> tuple[int, bool]:
    """Name what stream j measures: its channel, or whether that is missing."""
    stream = profile.streams[j]
    return stream.channel, stream.missing


def leading(
    profile: Profile, findings: Sequence[Finding], witnesses: Sequence[Witness]
) -> list[Finding]:
    """Give the finding that tells each channel best: causes before outcomes, strongest first."""
    by_channel: dict[tuple[int, bool], list[Finding]] = {}
    for finding in findings:
        by_channel.setdefault(measured(profile, finding.stream), []).append(finding)
    sure = {measured(profile, w.stream): w for w in witnesses if w.sure >= SURE}
    ranked = [
        (_best(profile, same, sure.get(channel)), max(f.strength for f in same))
        for channel, same in by_channel.items()
    ]
    ranked.sort(key=lambda one: (is_outcome(profile, one[0].stream), -one[1]))
    return [best for best, _ in ranked]


def _best(profile: Profile, findings: Sequence[Finding], witness: Witness | None) -> Finding:
    """Tell one channel's findings as one: the surest cause, in the words of its own slice.

    What has been witnessed since the first alarm comes first, then what the alarm of all events
    is sure of, since it sees every slice.
    """

    def is_of(finding: Finding, where: int) -> bool:
        return profile.streams[finding.stream].slice == where

    known = [f for f in findings if f.sure >= SURE] or list(findings)
    judge = witness or next((f for f in known if is_of(f, _ALL)), known[0])
    own = [f for f in findings if is_of(f, judge.slice)]
    whole = [f for f in findings if is_of(f, _ALL)]
    teller = max(own or whole or findings, key=lambda f: f.strength)
    return msgspec.structs.replace(teller, slice=judge.slice, share=judge.share)


def first_line(profile: Profile, told: Sequence[Finding]) -> str:
    """Write what leads, the slice that explains it, and what else has changed with it.

    `told` is what `leading` gave.
    """
    first, *others = told
    text = first.sentence
    if first.slice not in {_ALL, profile.streams[first.stream].slice}:
        text += f", {first.share:.0%} of it{place(profile.slices[first.slice])}"
    if not others:
        return text
    names = [_name(profile, finding) for finding in others]
    more = f" and {len(names) - _NAMES_MAX} more" if len(names) > _NAMES_MAX else ""
    return f"{text}; with it {', '.join(names[:_NAMES_MAX])}{more}"


def _name(profile: Profile, finding: Finding) -> str:
    """Name a finding's channel."""
    name = profile.stream_name(profile.streams[finding.stream])
    return name.removeprefix("feature:").replace("missing:", "missing ")
