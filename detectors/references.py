"""References: what the counts of a stream's blocks say, and what they cannot support.

A stream whose reference is too short to support a claim is `learning`: it is shown, and does not
alarm.  A version that is too new to have a reference is measured against its model's.
"""

from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.alert import nine_digits
from detectors.calibrate import normal_scores, rare_bins, rare_rate
from detectors.channels import FitOptions
from detectors.measure import mean_and_sd
from detectors.profile import Channel, Profile, Reference, Statistic, Stream
from detectors.scores import SMOOTH, VOLUME, influence_variances

__all__ = [
    "BLOCKS_MIN",
    "Counted",
    "plain_statistics",
    "reference_of",
    "replaced",
    "with_fallbacks",
    "with_learning",
]

BLOCKS_MIN = 30
_DAY_MS = 86_400_000
# Days are compared with a little slack: the last event is not the end of the last day.
_SLACK_DAYS = 0.02


class Counted(NamedTuple):
    """Hold what a stream's blocks add up to.

    `sums` are missing, clipped, sum q, and sum q^2 in two limbs; `tails` the counts next to a
    number's ends, block by block.
    """

    blocks: int
    blocks_per_week: float
    counts: NDArray[np.int64]
    sums: list[int]
    tails: list[int]


def reference_of(draft: Profile, stream: Stream, seen: Counted) -> Reference:
    """Make the reference of one stream, without its statistics."""
    channel = draft.channels[stream.channel]
    m, per_week, counts, sums, tails = seen
    n = int(counts.sum())
    per_block = n / max(m, 1)
    plain = Reference(
        counts=tuple(counts.tolist()),
        mean=0.0,
        sd=0.0,
        blocks=m,
        blocks_per_week=nine_digits(per_week),
        block_n=nine_digits(per_block),
        statistics=(),
        scores=(),
        rare=(),
        rare_rate=0.0,
        dispersion=1.0,
    )
    if channel.kind == "rate":
        return msgspec.structs.replace(plain, mean=nine_digits(per_block / draft.block_seconds))
    number = channel.kind == "numeric" and not stream.missing
    rare = (0, len(counts) - 1) if number else rare_bins(counts, m)
    if m >= BLOCKS_MIN and rare:
        rate, dispersion = map(nine_digits, rare_rate(counts, rare, tails if number else []))
        plain = msgspec.structs.replace(plain, rare=rare, rare_rate=rate, dispersion=dispersion)
    if not number or not n:
        return plain
    mean, sd = map(nine_digits, mean_and_sd(channel, n, (sums[2], sums[3], sums[4])))
    return msgspec.structs.replace(plain, mean=mean, sd=sd, scores=normal_scores(counts, rare))


def plain_statistics(channel: Channel, stream: Stream) -> tuple[Statistic, ...]:
    """List the statistics of a stream before its blocks have been seen."""
    reference = stream.reference
    if reference.blocks < BLOCKS_MIN:
        return ()
    if channel.kind == "rate":
        return (Statistic(VOLUME, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0),) if reference.n else ()
    if reference.scores:
        within = influence_variances(reference)
        return tuple(
            Statistic(name, 0.0, nine_digits(w), 0.0, 1.0, 0.0, 0.0)
            for name, w in zip(SMOOTH, within, strict=True)
        )
    kept = [b for b, c in enumerate(reference.counts) if c and b not in reference.rare]
    if len(kept) <= 1:
        return ()
    bins = kept if len(kept) > 2 else kept[1:]
    return tuple(Statistic("share", 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, b) for b in bins)


def replaced(stream: Stream, **changed: Any) -> Stream:
    """Change fields of a stream's reference."""
    reference = msgspec.structs.replace(stream.reference, **changed)
    return msgspec.structs.replace(stream, reference=reference)


def with_learning(profile: Profile, options: FitOptions) -> Profile:
    """Say of each stream whose reference cannot support a claim why it does not alarm."""
    days = (profile.reference.end_ms - profile.reference.start_ms) / _DAY_MS
    whole = {(s.channel, s.missing): s.reference.blocks for s in profile.streams if s.slice == 0}
    streams = []
    for stream in profile.streams:
        reason = ""
        blocks = whole.get((stream.channel, stream.missing), 0)
        if days < options.learn_days - _SLACK_DAYS:
            reason = f"the reference covers {days:.1f} days of {options.learn_days:g} needed"
        elif blocks < options.learn_blocks:
            reason = f"the reference has {blocks} blocks of {options.learn_blocks} needed"
        elif stream.reference.blocks < BLOCKS_MIN:
            reason = f"the slice has {stream.reference.blocks} blocks of {BLOCKS_MIN} needed"
        streams.append(replaced(stream, learning=reason))
    return msgspec.structs.replace(profile, streams=tuple(streams))


def with_fallbacks(profile: Profile) -> Profile:
    """Measure versions that are too new to have a reference against the model's; drop the empty."""
    whole = {(s.channel, s.missing): s.reference for s in profile.streams if s.slice == 0}
    streams = []
    for stream in profile.streams:
        reference = stream.reference
        if "version" in profile.slices[stream.slice] and reference.blocks < BLOCKS_MIN:
            reference = whole[stream.channel, stream.missing]
        if reference.blocks:
            streams.append(msgspec.structs.replace(stream, reference=reference))
    return msgspec.structs.replace(profile, streams=tuple(streams))
