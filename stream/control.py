"""The control topic: profiles and semantic configuration, each in force from an event time.

Everything that changes an answer is a record here, so that a replay sees it too.  The first
worker on a prefix publishes its semantic configuration; a later one must agree with it.
"""

import asyncio
import math
from collections.abc import Collection
from hashlib import blake2b
from typing import Annotated, TypeVar

import msgspec

from detectors.alert import instant, instant_ms
from detectors.epochs import Epochs
from detectors.errors import ConfigError, SnapshotTooNew
from detectors.panes import UNSET
from detectors.profile import Profile, ProfileBook, load
from stream.config import SEMANTIC, Config, semantic_fields, semantic_hash, semantics_of
from stream.connection import Connection
from stream.outbox import Outbox
from stream.reader import PrivateReader

__all__ = [
    "MARGIN_MS",
    "Control",
    "ControlRecord",
    "Place",
    "config_record",
    "effective_from",
    "profile_record",
    "quarantine_record",
    "read_control",
]

_AGE_SECONDS = 0.5
MARGIN_MS = 60_000


class ControlRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one record of the control topic, in the published format."""

    schema: int = 1
    kind: str
    model: str
    effective_from: str
    hash: str
    body: msgspec.Raw

    @property
    def key(self) -> bytes:
        """Give the key of the record."""
        return f"{self.kind}/{self.model}/{self.effective_from}".encode()


class Place(msgspec.Struct, frozen=True):
    """Name a record of an input."""

    topic: str
    partition: int
    offset: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


_Body = TypeVar("_Body", Config, Place)


def profile_record(profile: Profile, effective_from_ms: int) -> ControlRecord:
    """Make the control record that puts a profile in force."""
    return ControlRecord(
        kind="profile",
        model=profile.model,
        effective_from=instant(effective_from_ms),
        hash=profile.hash,
        body=msgspec.Raw(msgspec.json.encode(profile)),
    )


def config_record(config: Config, effective_from_ms: int = 0) -> ControlRecord:
    """Make the control record that puts a semantic configuration in force."""
    return ControlRecord(
        kind="config",
        model="*",
        effective_from=instant(effective_from_ms),
        hash=semantic_hash(config),
        body=msgspec.Raw(msgspec.json.encode(semantic_fields(config))),
    )


def quarantine_record(topic: str, partition: int, offset: int) -> ControlRecord:
    """Make the control record that keeps one record of an input from being decoded."""
    body = msgspec.json.encode(Place(topic, partition, offset))
    return ControlRecord(
        kind="quarantine",
        model=f"{topic}/{partition}/{offset}",
        effective_from=instant(0),
        hash=blake2b(body, digest_size=16).hexdigest(),
        body=msgspec.Raw(body),
    )


def effective_from(w_max_ms: int, bucket_seconds: tuple[int, ...]) -> int:
    """Say from when a pushed profile is in force: 60 s ahead of W, on a bucket's border.

    Where no event has been seen yet, it is in force from the beginning.  The border is one of
    the old profile's buckets and of the new one's, so no bucket is split.

    >>> effective_from(UNSET, (10,)), effective_from(1_000, (10, 15))
    (0, 90000)
    """
    if w_max_ms == UNSET:
        return 0
    step = math.lcm(*bucket_seconds) * 1000
    return -(-(w_max_ms + MARGIN_MS) // step) * step


class Control:
    """Read the control topic, now and whenever something unknown turns up."""

    def __init__(self, connection: Connection, topic: str) -> None:
        """Prepare a reader of its own: no group, nothing committed."""
        self.book = ProfileBook()
        self.epochs = Epochs()
        self._configs: dict[int, Config] = {}
        self._quarantined: dict[tuple[str, int], set[int]] = {}
        self._topic = topic
        self._reader = PrivateReader(connection, topic, 0)
        self._lock = asyncio.Lock()
        self._synced_at = -math.inf
        self._known_to_ms = UNSET

    async def start(self) -> None:
        """Connect and read everything there is."""
        await self._reader.start()
        await self.sync()

    async def sync(self) -> None:
        """Read up to the topic's present end: all that was written before now is then known."""
        async with self._lock:
            for _, value in await self._reader.drain():
                self._take(value)
            self._synced_at = asyncio.get_running_loop().time()

    async def keep_up(self, w_ms: int) -> None:
        """Read again if that is half a second ago, or W (milliseconds) has gone on by 30 s.

        A record is in force 60 s behind W at the earliest, so it is known before it counts,
        however fast a backfill is read.
        """
        age_seconds = asyncio.get_running_loop().time() - self._synced_at
        if age_seconds > _AGE_SECONDS or w_ms > self._known_to_ms + MARGIN_MS // 2:
            await self.sync()
        self._known_to_ms = max(w_ms, self._known_to_ms)

    @property
    def config(self) -> Config | None:
        """Give the semantic configuration that was pushed last, or is in force; None: none is."""
        return self._configs[max(self._configs)] if self._configs else None

    def config_for(self, config: Config) -> Config:
        """Replace the semantic sections of a configuration by those of the prefix."""
        theirs = self.config
        if theirs is None:
            return config
        sections = {name: getattr(theirs, name) for name in SEMANTIC}
        return msgspec.structs.replace(config, **sections)

    def quarantined(self, topic: str, partition: int) -> Collection[int]:
        """Give the offsets of a partition's records that must not be decoded."""
        return self._quarantined.get((topic, partition), ())

    async def agree(self, config: Config, outbox: Outbox) -> None:
        """Publish this worker's semantic configuration, or check that it is the prefix's.

        Raises
        ------
        ConfigError
            If the prefix runs with another semantic configuration.
        """
        if self.config is None:
            await self.publish(config_record(config), outbox)
        assert self.config is not None
        theirs, ours = semantic_fields(self.config), semantic_fields(config)
        differing = [
            f"{section}.{key}"
            for section in ours
            for key in sorted({*ours[section], *theirs[section]})
            if ours[section].get(key) != theirs[section].get(key)
        ]
        if differing:
            raise ConfigError(
                f"This configuration differs from the one that {self._topic} holds in "
                f"{', '.join(differing)}. To put this one in force for every worker: "
                "`driftline config push FILE`. Else use the prefix's, or choose another "
                "kafka.prefix."
            )

    async def publish(self, record: ControlRecord, outbox: Outbox) -> None:
        """Write a record, and read it back."""
        await outbox.send(self._topic, record.key, msgspec.json.encode(record), 0)
        await outbox.delivered()
        await self.sync()

    async def stop(self) -> None:
        """Close the connection."""
        await self._reader.stop()

    def _take(self, value: bytes) -> None:
        """Put one control record in force; kinds that this version does not know are left."""
        if not value:
            return
        try:
            record = msgspec.json.decode(value.decode(), type=ControlRecord)
            start_ms = instant_ms(record.effective_from)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"A record of {self._topic} is not driftline's: {error}.") from error
        if record.kind == "profile":
            profile = load(bytes(record.body), f"the profile of {record.model} in {self._topic}")
            self.book.add(profile, start_ms)
        elif record.kind == "quarantine":
            place = self._body(record, Place)
            self._quarantined.setdefault((place.topic, place.partition), set()).add(place.offset)
        elif record.kind == "config":
            config = self._body(record, Config)
            self._configs[start_ms] = config
            self.epochs.add(semantics_of(config)._replace(config=record.hash), start_ms)

    def _body(self, record: ControlRecord, kind: type[_Body]) -> _Body:
        """Read what a record is about; a body that is not understood is a later version's."""
        try:
            return msgspec.json.decode(record.body, type=kind)
        except msgspec.ValidationError as error:
            raise SnapshotTooNew(
                f"The {record.kind} of {record.effective_from} in {self._topic} is a later "
                f"version's ({error}): run the newer driftline."
            ) from error


async def read_control(connection: Connection, topic: str) -> Control:
    """Give what the control topic holds now, and disconnect."""
    control = Control(connection, topic)
    try:
        await control.start()
    finally:
        await control.stop()
    return control
