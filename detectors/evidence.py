"""What a stream's evidence says: which statistic moved, since when, and by how much."""

import msgspec
import numpy as np

from detectors.arithmetic import exp
from detectors.drift.shiryaev_roberts import Lead
from detectors.profile import Channel, Statistic, Stream
from detectors.scores import VOLUME
from detectors.season import NO_SEASON
from detectors.summary.cells import UNIT
from detectors.wording import figure

__all__ = ["Alarm", "category_of", "rare_alarm", "score_alarm"]


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """Say what one stream's evidence amounts to at the end of a block.

    `before` and `now` are in the unit of the value (level, spread), of the statistic (skew,
    tails), shares, or events a second; `sigma` is in standard deviations of one event's
    contribution, for a rate the logarithm of its ratio.  `shares` has the shares (before, now) of
    the categories that moved most.
    """

    statistic: str
    category: str | None
    direction: str
    onset: int
    n: int
    sigma: float
    before: float
    now: float
    shares: dict[str, tuple[float, float]] = {}


def category_of(channel: Channel, stream: Stream, at: int) -> str | None:
    """Name the bin that a share counts; None where no share or a missing value is meant."""
    if at < 0 or stream.missing:
        return None
    if channel.kind == "numeric":
        return figure(channel.edges[min(at, len(channel.edges) - 1)])
    return channel.categories[at] if at < len(channel.categories) else "unseen"


def _in_units(channel: Channel, stream: Stream, stat: Statistic, lead: Lead) -> tuple[float, float]:
    """Give what a statistic should have been and what it was since the onset, for people."""
    reference = stream.reference
    n = max(lead.n, 1)
    shift = lead.value / n - stat.mean
    if stat.name == VOLUME:
        now = lead.units / n * reference.mean / reference.block_n
        return max(now, 0.5 / n * reference.mean / reference.block_n) / float(exp(shift)), now
    if stat.name == "level":
        now = channel.centre + channel.scale * lead.units / UNIT / n
        # With a season, what the reference was at these hours, not what it was on the whole.
        return now - shift * reference.sd if stat.season != NO_SEASON else reference.mean, now
    if stat.name == "spread":
        return reference.sd, reference.sd * float(exp(shift / 2))
    if stat.bin >= 0:
        return reference.counts[stat.bin] / reference.n_scored, lead.units / n
    return stat.mean, stat.mean + shift


def score_alarm(channel: Channel, stream: Stream, stat: Statistic, lead: Lead) -> Alarm:
    """Describe what the leading accumulator of a stream has gathered since its onset."""
    shift = lead.value / max(lead.n, 1) - stat.mean
    before, now = _in_units(channel, stream, stat, lead)
    return Alarm(
        statistic=stat.name,
        category=category_of(channel, stream, stat.bin),
        direction="up" if lead.side == 0 else "down",
        onset=lead.onset,
        n=lead.n,
        sigma=shift / float(np.sqrt(stat.within)),
        before=before,
        now=now,
    )


def rare_alarm(channel: Channel, stream: Stream, lead: Lead) -> Alarm:
    """Describe how much more often than ever a stream has seen what it hardly knows."""
    reference = stream.reference
    hits = reference.n - reference.n_scored
    before, now = hits / max(reference.n, 1), lead.units / max(lead.n, 1)
    rate = min(reference.rare_rate, 0.5)
    # Where nearly all values are missing, the rare thing is a value that is there.
    present = stream.missing and 0 in reference.rare
    if present:
        before, now = 1 - before, 1 - now
    plain = channel.kind == "numeric" or stream.missing
    return Alarm(
        statistic="rare",
        category=None if plain else "rare",
        direction="down" if present else "up",
        onset=lead.onset,
        n=lead.n,
        sigma=(now - before) / float(np.sqrt(rate * (1 - rate))),
        before=before,
        now=now,
    )
