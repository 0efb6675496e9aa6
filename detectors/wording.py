"""The one sentence of an alert, as a person would write it."""

import msgspec

from detectors.alert import instant

__all__ = [
    "Change",
    "figure",
    "percent",
    "place",
    "sentence",
    "sentence_closed",
    "sentence_resolved",
]


class Change(msgspec.Struct, frozen=True):
    """Hold what a sentence needs: what changed where, by how much, since when (ms)."""

    model: str
    channel: str
    where: dict[str, str]
    statistic: str
    category: str | None
    direction: str
    sigma: float
    before: float
    now: float
    onset_ms: int


def figure(value: float) -> str:
    """Write a number for reading: three digits, thousands grouped, no exponent in daily sizes.

    >>> [figure(x) for x in (39811.4, 17.93, 0.0562, 0.0)]
    ['39,811', '17.9', '0.0562', '0']
    """
    size = abs(value)
    if size >= 1e9 or 0 < size < 1e-4:
        return f"{value:.2e}"
    return f"{value:,.0f}" if size >= 1000 else f"{value:.3g}"


def percent(share: float) -> str:
    """Write a share as a percentage.

    >>> percent(0.0312), percent(0.00002)
    ('3.1 %', '0.002 %')
    """
    points = 100 * share
    return f"{points:.2g} %" if points < 10 else f"{points:.0f} %"


def place(where: dict[str, str]) -> str:
    """Name a slice: nothing for all events.

    >>> place({"country": "DE", "device": "ios"}), place({})
    (' in country=DE, device=ios', '')
    """
    return " in " + ", ".join(f"{k}={v}" for k, v in where.items()) if where else ""


def _since(onset_ms: int) -> str:
    return "since " + instant(onset_ms).replace("T", " ")[:16] + "Z"


def _traffic(change: Change) -> str:
    """Say how many more or fewer events there are."""
    ratio = change.now / change.before if change.before > 0 else 1.0
    if change.now <= 0:
        return "there are no events"
    if ratio >= 2:
        return f"there are {ratio:.2g} times as many events"
    more = "more" if ratio > 1 else "fewer"
    return f"there are {percent(abs(1 - ratio))} {more} events"


def sentence(change: Change) -> str:
    """Write what has changed."""
    name = change.channel.partition(":")[2] or change.channel
    subject = f"{name}{place(change.where)}"
    since = _since(change.onset_ms)
    before, now = change.before, change.now
    span = f"({figure(before)} → {figure(now)})"
    shares = f"{percent(before)} before"
    if change.statistic == "volume":
        text = f"{_traffic(change)}{place(change.where)} {since} {span[:-1]} events/s)"
    elif change.channel.startswith("missing:"):
        text = f"{subject} is missing in {percent(now)} of events {since}, {shares}"
    elif change.statistic == "level":
        size, up = f"{abs(change.sigma):.2g}", change.direction == "up"
        # Ranks decide; a few values far out can pull the mean the other way.
        means = span if (now > before) == up else f"(by rank; mean {span[1:-1]})"
        text = f"{subject} is {size} sigma {'higher' if up else 'lower'} {since} {means}"
    elif change.statistic == "spread":
        times = figure(now / before) if before > 0 else "many"
        text = f"{subject} spreads {times} times as wide {since} (sd {span[1:-1]})"
    elif change.statistic in {"skew", "tails"}:
        kind = "skew of its distribution" if change.statistic == "skew" else "weight of its tails"
        text = f"{subject} has changed its shape {since} ({kind}: {span[1:-1]})"
    elif change.statistic == "share" and change.channel == "error" and change.category == "1":
        text = f"{subject} is {percent(now)} {since}, {percent(before)} before"
    elif change.statistic == "share":
        text = f"{subject} is {change.category!r} in {percent(now)} of events {since}, {shares}"
    elif change.category is None:
        text = f"{subject} lies outside its known range in {percent(now)} of events {since}, "
        text += shares
    else:
        text = f"{subject} takes values the profile hardly knows in {percent(now)} of events "
        text += f"{since}, {shares}"
    return f"{change.model}: {text}"


def sentence_resolved(change: Change, end_ms: int) -> str:
    """Write that a change is over."""
    name = change.channel.partition(":")[2] or change.channel
    end = instant(end_ms).replace("T", " ")[:16]
    if change.channel == "rate":
        return (
            f"{change.model}: there are as many events{place(change.where)} as in its reference "
            f"again, as of {end}Z"
        )
    what = "is missing no more often than" if change.channel.startswith("missing:") else "is like"
    subject = f"{name}{place(change.where)}"
    return f"{change.model}: {subject} {what} its reference again, as of {end}Z"


def sentence_closed(change: Change, end_ms: int, *, accepted: bool) -> str:
    """Write that a change is looked for no more, since another profile has taken over."""
    name = change.channel.partition(":")[2] or change.channel
    end = instant(end_ms).replace("T", " ")[:16]
    what = "is accepted as the new level" if accepted else "is measured by another profile"
    subject = f"{name}{place(change.where)}"
    return f"{change.model}: {subject} {what}, as of {end}Z"
