"""The control topic: profiles and semantic configuration, each in force from an event time.

Everything that changes an answer is a record here, so that a replay sees it too.  The first
worker on a prefix publishes its semantic configuration; a later one must agree with it.
"""

import asyncio
import math
from datetime import datetime

import msgspec

from detectors.alert import instant
from detectors.errors import ConfigError
from detectors.panes import UNSET
from detectors.profile import Profile, ProfileBook, load
from stream.config import Config, semantic_fields, semantic_hash
from stream.connection import Connection
from stream.outbox import Outbox
from stream.reader import PrivateReader

__all__ = ["Control", "ControlRecord", "config_record", "effective_from", "profile_record"]

CONTROL_AGE_SECONDS = 0.5
_MARGIN_MS = 60_000


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


def profile_record(profile: Profile, effective_from_ms: int) -> ControlRecord:
    """Make the control record that puts a profile in force."""
    return ControlRecord(
        kind="profile",
        model=profile.model,
        effective_from=instant(effective_from_ms),
        hash=profile.hash,
        body=msgspec.Raw(msgspec.json.encode(profile)),
    )


def config_record(config: Config) -> ControlRecord:
    """Make the control record of a prefix's semantic configuration."""
    return ControlRecord(
        kind="config",
        model="*",
        effective_from=instant(0),
        hash=semantic_hash(config),
        body=msgspec.Raw(msgspec.json.encode(semantic_fields(config))),
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
    return -(-(w_max_ms + _MARGIN_MS) // step) * step


class Control:
    """Read the control topic, now and whenever something unknown turns up."""

    def __init__(self, connection: Connection, topic: str) -> None:
        """Prepare a reader of its own: no group, nothing committed."""
        self.book = ProfileBook()
        self.config_hash: str | None = None
        self._topic = topic
        self._reader = PrivateReader(connection, topic, 0)
        self._lock = asyncio.Lock()
        self._synced_at = -math.inf

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

    async def refresh(self, age_seconds: float) -> None:
        """Read again if the last time is longer ago than this."""
        if asyncio.get_running_loop().time() - self._synced_at > age_seconds:
            await self.sync()

    async def agree(self, config: Config, outbox: Outbox) -> None:
        """Publish this worker's semantic configuration, or check that it is the prefix's.

        Raises
        ------
        ConfigError
            If the prefix runs with another semantic configuration.
        """
        if self.config_hash is None:
            record = config_record(config)
            await outbox.send(self._topic, record.key, msgspec.json.encode(record), 0)
            await outbox.delivered()
            await self.sync()
        if self.config_hash != semantic_hash(config):
            raise ConfigError(
                "The sections [time], [slices], [detect] or [policy] of this configuration differ "
                f"from those that {self._topic} holds. Start every worker of a prefix with the "
                "same ones, or choose another kafka.prefix."
            )

    async def stop(self) -> None:
        """Close the connection."""
        await self._reader.stop()

    def _take(self, value: bytes) -> None:
        """Put one control record in force; kinds that this version does not know are left."""
        if not value:
            return
        try:
            record = msgspec.json.decode(value, type=ControlRecord)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ConfigError(f"A record of {self._topic} is not driftline's: {error}.") from error
        if record.kind == "profile":
            profile = load(bytes(record.body), f"the profile of {record.model} in {self._topic}")
            time = datetime.fromisoformat(record.effective_from)
            self.book.add(profile, round(time.timestamp() * 1000))
        elif record.kind == "config" and self.config_hash is None:
            self.config_hash = record.hash
