"""Accept: the level that a channel has taken becomes its reference.

What was counted since the change replaces what the reference counted: means, shares, the rate of
rare things.  Bins and their scores, seasons, memory, and how much blocks differ stay: a few
blocks cannot show them.  `blocks` says how few they are, so the detectors allow the new level the
error that it has; a profile fitted anew knows it better.

Only streams that have moved are touched: a slice that is like its reference keeps it.  One that
has moved and has too few blocks since to say where it stands is `learning` until a new profile.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.alert import nine_digits
from detectors.blocks import stream_table
from detectors.calibrate import rare_rate
from detectors.errors import ConfigError
from detectors.fit import replay
from detectors.layout import layout_of
from detectors.measure import mean_and_sd
from detectors.policy import Policy, tuning
from detectors.profile import Profile, Reference, Statistic, Stream, seal
from detectors.references import replaced
from detectors.scores import SMOOTH, Scorer, influence_variances, is_smooth
from detectors.summary.cells import Cell
from detectors.wording import place

__all__ = ["BLOCKS_MIN", "accepted"]

BLOCKS_MIN = 10
_SURE = 3.0
_RARE_MAX = 0.5
_VARIANCE_MIN = 0.02
_WEEK_MINUTES = 10_080


@dataclass
class _Since:
    """Hold what one stream's blocks since the change add up to.

    `values` has a list for each statistic, seasons taken out; `tails` are the counts next to a
    number's ends, block by block; `buckets` is how long all blocks are together.
    """

    counts: NDArray[np.int64]
    sums: NDArray[np.int64]
    values: list[list[float]]
    tails: list[int] = field(default_factory=list)
    blocks: int = 0
    buckets: int = 0


def accepted(
    profile: Profile, chosen: Collection[int], cells: Sequence[Cell], policy: Policy
) -> Profile:
    """Give the profile in which the chosen streams, and what moved with them, have a new level.

    `chosen` are indices of streams; with each of them go the streams of its channel in other
    slices that have moved too.  `cells` are those of the buckets since the change, ascending.
    The profile is sealed, and names the old one as its `parent`.

    Raises
    ------
    ConfigError
        If a chosen stream has too few blocks since the change, or most of its events lie where
        the profile has no bins.
    """
    since = _gather(profile, cells)
    channels = {(profile.streams[j].channel, profile.streams[j].missing) for j in chosen}
    streams = list(profile.streams)
    for j, stream in enumerate(profile.streams):
        if j in chosen:
            _check(profile, stream, since[j])
        elif (stream.channel, stream.missing) not in channels:
            continue
        levels = _levels(stream, since[j])
        if j in chosen or _has_moved(stream, since[j], levels, policy):
            streams[j] = _moved(profile, stream, since[j], levels)
    return seal(msgspec.structs.replace(profile, streams=tuple(streams), parent=profile.hash))


def _gather(profile: Profile, cells: Sequence[Cell]) -> list[_Since]:
    """Merge the buckets into blocks, and add up what each stream's blocks hold."""
    layout = layout_of(profile)
    table = stream_table(profile, layout)
    total = sum(len(s.reference.statistics) for s in profile.streams)
    scorer = Scorer(profile, table, np.ones(total))
    found = [
        _Since(
            counts=np.zeros(int(table.first[j + 1] - table.first[j]), np.int64),
            sums=np.zeros(5, np.int64),
            values=[[] for _ in stream.reference.statistics],
        )
        for j, stream in enumerate(profile.streams)
    ]
    for blocks, closed in replay(profile, layout, cells):
        scorer.score(closed.streams, blocks, closed.end)
        for j in closed.streams.tolist():
            one, bins = found[j], blocks.bins(j)
            one.counts += bins
            one.sums += blocks.extra[j]
            one.blocks += 1
            one.buckets += closed.end - int(blocks.start[j])
            if len(bins) > 1:
                one.tails.append(int(bins[1] + bins[-2]))
            for d, values in enumerate(one.values, int(scorer.stats.first[j])):
                if scorer.n[d]:
                    values.append(float(scorer.value[d]))
    return found


def _check(profile: Profile, stream: Stream, since: _Since) -> None:
    """Refuse what cannot be accepted yet, or not in this way."""
    where = place(profile.slices[stream.slice])
    name = f"{profile.model}: {profile.stream_name(stream)}{where}"
    if since.blocks < BLOCKS_MIN:
        minutes = (BLOCKS_MIN - since.blocks) * _minutes_a_block(profile, stream, since)
        raise ConfigError(
            f"{name} has {since.blocks} blocks of events since the change, and a new level takes "
            f"{BLOCKS_MIN}. Accept it in about {max(1, round(minutes))} min."
        )
    if not _has_bins(stream.reference, since):
        raise ConfigError(
            f"{name} has most of its events since the change where the profile has no bins for "
            "them. Fit a profile from these events instead: `driftline profile fit`."
        )


def _has_bins(reference: Reference, since: _Since) -> bool:
    """Say whether at least half of the events lie where the profile can tell them apart."""
    rare = int(since.counts[list(_rare(reference, since))].sum())
    return rare <= _RARE_MAX * int(since.counts.sum())


def _minutes_a_block(profile: Profile, stream: Stream, since: _Since) -> float:
    """Give how long one block takes, as it was since the change or in the reference."""
    if since.blocks:
        return since.buckets / since.blocks * profile.bucket_seconds / 60
    return _WEEK_MINUTES / stream.reference.blocks_per_week


def _rare(reference: Reference, since: _Since) -> tuple[int, ...]:
    """Name the rare bins: those that were, and those of which a block now expects none.

    A value that was rare stays with the rare: nothing is known of how its share varies.  Where
    one value is all that is left, everything else is rare.
    """
    if is_smooth(reference) or len(reference.counts) == 1:
        return reference.rare
    usual = np.flatnonzero(since.counts >= since.blocks).tolist()
    kept = usual if len(usual) == 1 else [b for b in usual if b not in reference.rare]
    return tuple(b for b in range(len(reference.counts)) if b not in kept)


def _levels(stream: Stream, since: _Since) -> list[float]:
    """Give the mean of each statistic since the change; the old one where no block shows it."""
    statistics = zip(stream.reference.statistics, since.values, strict=True)
    return [float(np.mean(values)) if values else stat.mean for stat, values in statistics]


def _has_moved(stream: Stream, since: _Since, levels: Sequence[float], policy: Policy) -> bool:
    """Say whether a stream is further off than its detectors allow, and than chance explains."""
    reference = stream.reference
    if not since.blocks or not _has_bins(reference, since):
        return False
    n, hits = int(since.counts.sum()), int(since.counts[list(reference.rare)].sum())
    expected = reference.rare_rate * n
    if reference.rare_rate > 0 and hits > expected + _SURE * float(
        np.sqrt(expected * reference.dispersion)
    ):
        return True
    doubt = _SURE / float(np.sqrt(since.blocks))
    for stat, level in zip(reference.statistics, levels, strict=True):
        noise = float(np.sqrt(stat.within / max(reference.block_n, 1.0) + stat.between))
        # What whitening leaves of a shift that lasts.
        shift = (level - stat.mean) / (noise * stat.sd) * (1 - stat.phi) / (1 - stat.theta)
        tuned = tuning(stream, stat, policy)
        if abs(shift) > tuned.delta * tuned.scale + doubt:
            return True
    return False


def _moved(profile: Profile, stream: Stream, since: _Since, levels: Sequence[float]) -> Stream:
    """Give a stream its new level."""
    channel, old = profile.channels[stream.channel], stream.reference
    number = channel.kind == "numeric" and not stream.missing
    n = int(since.counts.sum())
    changed: dict[str, object] = {
        "counts": tuple(since.counts.tolist()),
        "blocks": since.blocks,
        "block_n": nine_digits(n / since.blocks),
    }
    if channel.kind == "rate":
        changed["mean"] = nine_digits(n / since.blocks / profile.block_seconds)
    elif number and n:
        total, high, low = since.sums[2:].tolist()
        mean, sd = mean_and_sd(channel, n, (total, high, low))
        changed |= {"mean": nine_digits(mean), "sd": nine_digits(sd)}
    if since.blocks < BLOCKS_MIN:
        changed["learning"] = f"{since.blocks} blocks of {BLOCKS_MIN} needed at its accepted level"
    rare = _rare(old, since)
    if rare and n:
        rate, spread = rare_rate(since.counts, rare, since.tails if number else [])
        changed |= {"rare": rare, "rare_rate": nine_digits(rate)}
        changed["dispersion"] = nine_digits(max(spread, old.dispersion))
    moved = replaced(stream, **changed)
    return replaced(moved, statistics=_statistics(moved.reference, old, levels))


def _statistics(new: Reference, old: Reference, levels: Sequence[float]) -> tuple[Statistic, ...]:
    """Move the means; a share that is no longer to be seen among the others has none."""
    fitted = []
    widths = _widths(new) if is_smooth(old) else {}
    for stat, level in zip(old.statistics, levels, strict=True):
        mean, within = level, max(stat.within, widths.get(stat.name, 0.0))
        if stat.bin >= 0:
            if stat.bin in new.rare or new.n_scored - new.counts[stat.bin] < new.blocks:
                continue
            before, now = old.counts[stat.bin] / old.n_scored, new.counts[stat.bin] / new.n_scored
            # Scores are about the new share from now on; what is left is the season's part.
            mean = level - (now - before) / float(np.sqrt(before * (1 - before)))
        fitted.append(
            msgspec.structs.replace(stat, mean=nine_digits(mean), within=nine_digits(within))
        )
    return tuple(fitted)


def _widths(new: Reference) -> dict[str, float]:
    """Give the variance of one event's contribution to each moment, at the new level."""
    counts = np.array(new.counts, np.float64)
    counts[list(new.rare)] = 0
    x = np.array(new.scores)
    p = counts / counts.sum()
    mean = float(p @ x)
    variance = float(p @ (x - mean) ** 2)
    if variance < _VARIANCE_MIN:
        return {}
    scores = tuple(((x - mean) / np.sqrt(variance)).tolist())
    level, *shape = influence_variances(msgspec.structs.replace(new, scores=scores))
    return dict(zip(SMOOTH, (level * variance, *shape), strict=True))
