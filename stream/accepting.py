"""Accept a new level: from the summaries since the change to a profile in force."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from detectors.accept import accepted
from detectors.alert import instant_ms
from detectors.errors import ConfigError
from detectors.panes import UNSET, Entry, decode_part
from detectors.profile import Profile, ProfileBook
from detectors.summary.cells import Cell
from stream.config import Config
from stream.connection import connection_of
from stream.control import read_control
from stream.ledger import read_ledger
from stream.names import TopicNames
from stream.pushing import push_profile
from stream.reader import PrivateReader
from stream.routing import summaries_partition
from stream.topics import partition_count

__all__ = ["Acceptance", "accept"]

# An event may be so far ahead of the broker's clock, and its summary before it in time.
_AHEAD_MS = 60_000


class Acceptance(NamedTuple):
    """Say what was accepted: the profiles before and now, and from when the new one holds."""

    before: Profile
    now: Profile
    since: str
    in_force: str

    @property
    def moved(self) -> list[int]:
        """List the streams that have a new level."""
        pairs = zip(self.before.streams, self.now.streams, strict=True)
        return [j for j, (old, new) in enumerate(pairs) if old != new]


async def accept(config: Config, start: str) -> Acceptance:
    """Accept the new level of an alert, or of all of an incident's, and put it in force.

    Raises
    ------
    ConfigError, ServiceUnreachable
        If there is no one such alert, it has resolved, its profile is not the model's any more,
        too little has happened since the change, or Kafka does not answer.
    """
    ledger = await read_ledger(config)
    found = ledger.find(start)
    alerts = [one for one in ledger.latest_alerts(found) if one["status"] == "firing"]
    if not alerts:
        raise ConfigError(
            f"The {found.kind} {found.id} has resolved: its streams are like their reference, and "
            "there is nothing to accept."
        )
    connection, names = connection_of(config.kafka), TopicNames(config.kafka.prefix)
    control = await read_control(connection, names.control)
    profile, known = _in_force(control.book, alerts[0])
    chosen = [_stream(profile, alert) for alert in alerts]
    # The youngest change of all: before it, not all of them had their new level.
    onset = max(str(alert["onset"]) for alert in alerts)
    cells = await _cells_since(config, profile, known, instant_ms(onset))
    new = accepted(profile, chosen, cells, config.policy)
    in_force = await push_profile(config, new)
    return Acceptance(profile, new, onset, in_force or "the beginning")


def _in_force(book: ProfileBook, alert: dict[str, Any]) -> tuple[Profile, set[str]]:
    """Give the model's latest profile, and the hashes of all whose summaries are like its own.

    The latest may be one that was accepted a moment ago, and is in force in a minute.
    """
    profiles = [profile for _, profile in book.segments(alert["model"])]
    alike = {p.hash for p in profiles if _layout(p) == _layout(profiles[-1])}
    if alert["profile"] not in alike:
        raise ConfigError(
            f"The alert {alert['id']} is about profile {alert['profile']}, and {alert['model']} "
            "has one with other bins or slices now. Fit a profile instead: `driftline profile fit`."
        )
    return profiles[-1], alike


def _layout(profile: Profile) -> tuple[object, ...]:
    return profile.bucket_seconds, profile.channels, profile.slices


def _stream(profile: Profile, alert: dict[str, Any]) -> int:
    """Find the stream of an alert."""
    for j, stream in enumerate(profile.streams):
        named = profile.stream_name(stream), profile.slices[stream.slice]
        if named == (alert["channel"], alert["slice"]):
            return j
    raise ConfigError(f"The profile {profile.hash} has no stream {alert['channel']}.")


async def _cells_since(
    config: Config, profile: Profile, known: Collection[str], onset_ms: int
) -> list[Cell]:
    """Read the cells of the model's buckets that are final, from the onset on.

    An empty cell stands at either end, so that silence counts.
    """
    connection, topic = connection_of(config.kafka), TopicNames(config.kafka.prefix).summaries
    count = await asyncio.to_thread(partition_count, connection, topic)
    partition = summaries_partition(profile.model, count)
    async with PrivateReader(connection, topic, partition, onset_ms - _AHEAD_MS) as reader:
        values = [value for _, value in await reader.drain()]
    entries, horizon_ms = _entries(values, known)
    first = onset_ms // profile.bucket_ms
    last = (horizon_ms - config.time.lateness_seconds * 1000) // profile.bucket_ms
    cells = [Cell(e.bucket, e.events, e.data) for e in entries if first <= e.bucket < last]
    ends = [Cell(first, 0, b""), Cell(max(first, last), 0, b"")]
    return sorted([*cells, *ends], key=lambda cell: cell.bucket)


def _entries(values: Sequence[bytes], known: Collection[str]) -> tuple[list[Entry], int]:
    """Give the entries of these profiles, each once, and the slowest partition's W."""
    seen = set()
    clocks: dict[tuple[str, int], int] = {}
    entries: list[Entry] = []
    for value in values:
        part = decode_part(value)
        header = part.header
        place = (header.topic, header.partition)
        if header.w_after != UNSET:
            clocks[place] = max(header.w_after, clocks.get(place, UNSET))
        if (*place, header.a, header.o, header.part) not in seen:
            seen.add((*place, header.a, header.o, header.part))
            entries += [entry for entry in part.entries if entry.profile in known]
    return entries, min(clocks.values(), default=0)
