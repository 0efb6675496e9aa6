"""The profile: the versioned reference of a model, and what every number is measured against.

A profile *fixes* what is observed: channels with their scales, bins and categories, and
slices.  Whatever else turns up is counted as `unseen` or as belonging to no slice.  It also
holds what the reference knows about every stream: bin counts, block-to-block variance, and
how the statistics of its own blocks are distributed (ALARMS: fitted once, used for ever).
"""

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

import msgspec

from detectors.errors import ConfigError
from detectors.panes import FOREVER
from detectors.season import NO_SEASON, Calendar, Season

__all__ = [
    "SCHEMA",
    "Channel",
    "InForce",
    "Profile",
    "ProfileBook",
    "Reference",
    "Span",
    "Statistic",
    "Stream",
    "load",
    "render",
    "seal",
]

SCHEMA = 1


class Span(msgspec.Struct, frozen=True):
    """Tell how much data a profile was fitted from, and over which time (ms since the epoch)."""

    events: int
    start_ms: int
    end_ms: int


class Channel(msgspec.Struct, frozen=True, omit_defaults=True):
    """Fix how one measured quantity is binned, over all slices.

    A numeric channel has `len(edges) + 1` bins: bin j holds edges[j-1] < x <= edges[j], so the
    first bin is below the reference's minimum and the last above its maximum.  A categorical
    one has a bin for each category and a last one for everything unseen.  The rate of events
    has no bins of events: one number stands for them.
    """

    name: str
    kind: Literal["numeric", "categorical", "rate"]
    centre: float = 0.0
    scale: float = 1.0
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def bins(self) -> int:
        """Count the bins, the outer or unseen ones included."""
        if self.kind == "rate":
            return 1
        return (len(self.edges) if self.kind == "numeric" else len(self.categories)) + 1

    @property
    def watches_missing(self) -> bool:
        """Say whether the channel's missing values are a stream of their own."""
        return self.name.startswith("feature:")


class Statistic(msgspec.Struct, frozen=True, omit_defaults=True):
    """Hold what the reference's blocks say about one alarmable statistic of a stream.

    `within` is the variance of one event's contribution, `between` the variance from block to
    block on top of it; `sd`, `kappa3` and `kappa4` describe the standardised score.  `bin` is
    the category's bin for a share, -1 for the statistics of a number.  `season` and (`phi`,
    `theta`) are taken out before scores are made; `delta` is by how much the mean of a score may
    be off where the reference is too short to know; `widened` is the factor by which its variance
    had to be raised for the detector to be silent on its own reference.
    """

    name: str
    mean: float
    within: float
    between: float
    sd: float
    kappa3: float
    kappa4: float
    bin: int = -1
    season: Season = NO_SEASON
    phi: float = 0.0
    theta: float = 0.0
    delta: float = 0.0
    widened: float = 1.0


class Reference(msgspec.Struct, frozen=True):
    """Hold the reference of one stream: counts a bin, blocks, statistics, and what is rare.

    A stream that is `learning` is measured and does not alarm; the text says why.
    """

    counts: tuple[int, ...]
    mean: float
    sd: float
    blocks: int
    blocks_per_week: float
    block_n: float
    statistics: tuple[Statistic, ...]
    scores: tuple[float, ...]
    rare: tuple[int, ...]
    rare_rate: float
    dispersion: float
    learning: str = ""

    @property
    def n(self) -> int:
        """Count the reference's events of this stream."""
        return sum(self.counts)

    @property
    def may_alarm(self) -> bool:
        """Say whether there is anything that the stream could alarm with."""
        return not self.learning and bool(self.statistics or self.rare)

    @property
    def n_scored(self) -> int:
        """Count those outside the rare bins: what shares are shares of."""
        return self.n - sum(self.counts[b] for b in self.rare)


class Stream(msgspec.Struct, frozen=True):
    """Name one watched stream: slice (index), channel (index), and whether it is `missing`."""

    slice: int
    channel: int
    missing: bool
    reference: Reference


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the reference of one model, as fitted.

    `slices[0]` is always `{}`, all events.  `streams` has one entry for each slice and channel
    that has reference data, the `missing` streams after the values, and the rates of all slices
    at the end.  `versions` are those that the reference has seen.  `parent` is the hash of the
    profile of which this one accepted a change.
    """

    schema: int = SCHEMA
    model: str
    hash: str = ""
    reference: Span
    bucket_seconds: int
    block_events: int
    block_seconds: int
    calendar: Calendar = Calendar()
    parent: str = ""
    channels: tuple[Channel, ...]
    slices: tuple[dict[str, str], ...]
    versions: tuple[str, ...] = ()
    streams: tuple[Stream, ...]

    @property
    def bucket_ms(self) -> int:
        """Give the bucket's length in milliseconds."""
        return self.bucket_seconds * 1000

    def stream_name(self, stream: Stream) -> str:
        """Name the stream's channel as alerts and metrics do."""
        name = self.channels[stream.channel].name
        return "missing:" + name.removeprefix("feature:") if stream.missing else name


def seal(profile: Profile) -> Profile:
    """Return the profile with its content hash (blake2b-128 of its canonical JSON) filled in."""
    content = msgspec.json.encode(msgspec.structs.replace(profile, hash=""))
    return msgspec.structs.replace(profile, hash=blake2b(content, digest_size=16).hexdigest())


def render(profile: Profile) -> str:
    """Write the profile as JSON that reads well in a diff: a line for each channel and stream."""
    fields: dict[str, Any] = msgspec.to_builtins(profile)
    lines = []
    for key, value in fields.items():
        if key in {"channels", "slices", "streams"}:
            rows = ",\n".join("    " + json.dumps(v, ensure_ascii=False) for v in value)
            lines.append(f'  "{key}": [\n{rows}\n  ]')
        else:
            lines.append(f'  "{key}": {json.dumps(value, ensure_ascii=False)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def load(content: bytes | str, source: str) -> Profile:
    """Read a profile and check its hash.

    Raises
    ------
    ConfigError
        If it is no profile of this schema, or was edited after it was fitted.
    """
    try:
        profile = msgspec.json.decode(content, type=Profile)
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{source} is not a driftline profile ({error}); make one with `driftline profile fit`."
        ) from error
    if profile.schema != SCHEMA:
        raise ConfigError(
            f"{source} has profile schema {profile.schema}, this driftline reads {SCHEMA}; "
            "fit it again with `driftline profile fit`."
        )
    if seal(profile).hash != profile.hash:
        raise ConfigError(
            f"{source} does not fit its hash {profile.hash}: it was changed after it was fitted. "
            "Fit it again with `driftline profile fit`."
        )
    return profile


class InForce(NamedTuple):
    """Name a profile, and the event times (milliseconds, end excluded) that it is for."""

    profile: Profile
    from_ms: int
    until_ms: int


class ProfileBook:
    """Hold every profile that is in force from some event time on, by model.

    `changes` counts the records that were added, so that a reader sees whether any was.

    >>> book = ProfileBook()
    >>> book.at("fraud", 0) is None
    True
    """

    def __init__(self) -> None:
        """Start with no profile."""
        self._by_model: dict[str, list[tuple[int, Profile]]] = {}
        self._by_hash: dict[str, Profile] = {}
        self.changes = 0

    def add(self, profile: Profile, effective_from_ms: int) -> None:
        """Put a profile in force from an event time; a later record of the same time wins."""
        entries = self._by_model.setdefault(profile.model, [])
        entries[:] = [entry for entry in entries if entry[0] != effective_from_ms]
        entries.append((effective_from_ms, profile))
        entries.sort(key=lambda entry: entry[0])
        self._by_hash[profile.hash] = profile
        self.changes += 1

    def at(self, model: str, time_ms: int) -> Profile | None:
        """Give the profile that is in force for an event of this model and time."""
        found = None
        for effective_from_ms, profile in self._by_model.get(model, ()):
            if effective_from_ms <= time_ms:
                found = profile
        return found

    @property
    def models(self) -> list[str]:
        """Name the models that have a profile."""
        return sorted(self._by_model)

    def segments(self, model: str) -> Sequence[tuple[int, Profile]]:
        """List the model's profiles with the event times they are in force from, in order."""
        return self._by_model.get(model, ())

    def in_force(self, model: str) -> list[InForce]:
        """List the model's profiles with the event times that they are for, in order."""
        entries = self.segments(model)
        ends = [*(from_ms for from_ms, _ in entries[1:]), FOREVER]
        pairs = zip(entries, ends, strict=False)
        return [InForce(profile, from_ms, until_ms) for (from_ms, profile), until_ms in pairs]

    def end_of(self, profile: Profile) -> int | None:
        """Give the event time at which another profile of the model takes over; None if never."""
        entries = self._by_model.get(profile.model, [])
        own = [at for at, (_, entry) in enumerate(entries) if entry.hash == profile.hash]
        following = entries[own[-1] + 1 :] if own else []
        return following[0][0] if following else None

    def by_hash(self, digest: str) -> Profile | None:
        """Give the profile with this content hash."""
        return self._by_hash.get(digest)
