"""Put a profile, or a semantic configuration, in force on a prefix."""

import asyncio
from collections.abc import Sequence
from typing import Self

import msgspec

from detectors.errors import ConfigError
from detectors.panes import UNSET
from detectors.profile import Profile, seal
from stream.config import Config
from stream.connection import connection_of
from stream.control import (
    MARGIN_MS,
    Control,
    ControlRecord,
    config_record,
    effective_from,
    profile_record,
)
from stream.names import TopicNames
from stream.outbox import Outbox
from stream.reached import Reached
from stream.topics import prepare_topics

__all__ = ["push_config", "push_profile", "renewed"]

_PATIENCE_SECONDS = 60.0


def renewed(profile: Profile, before: Sequence[Profile]) -> Profile:
    """Give a profile that was in force once, and is no longer, a hash of its own.

    Each term of a profile has its own judge: the one of the first term would run through the
    time of another profile, and take it for silence.  `before` lists the terms in order.
    """
    terms = [one.hash for one in before]
    if profile.hash not in terms or profile.hash == terms[-1]:
        return profile
    return seal(msgspec.structs.replace(profile, parent=terms[-1]))


async def push_profile(
    config: Config, profile: Profile, patience_seconds: float = _PATIENCE_SECONDS
) -> str | None:
    """Write a profile to the control topic; give from when it is in force, None: the beginning.

    While a backfill runs through its events too fast for that, wait, as long as patience lasts.

    Raises
    ------
    ConfigError, ServiceUnreachable
        If the prefix runs with another configuration, Kafka does not answer, or events are read so
        fast that some might be judged with the profile before.
    """
    async with _Pushing(config, patience_seconds) as push:
        await push.control.agree(config, push.outbox)
        before = push.control.book.segments(profile.model)
        profile = renewed(profile, [one for _, one in before])
        buckets = {p.bucket_seconds for _, p in before} | {profile.bucket_seconds}
        start = effective_from(push.latest_ms, tuple(sorted(buckets)))
        if before and before[-1][1].hash == profile.parent:
            # What stands on another profile follows it, even if that is not in force yet.
            start = max(start, effective_from(before[-1][0], tuple(sorted(buckets))))
        return await push.publish(profile_record(profile, start), start)


async def push_config(config: Config) -> str | None:
    """Put a semantic configuration in force; give from when, None: the beginning.

    Raises
    ------
    ConfigError, ServiceUnreachable
        If it would cut panes otherwise, which is fixed when a prefix is new, and as for profiles.
    """
    async with _Pushing(config, _PATIENCE_SECONDS) as push:
        theirs = push.control.config or config
        for key in ("pane_seconds", "ticks"):
            ours, fixed = (str(getattr(one.time, key)).lower() for one in (config, theirs))
            if ours != fixed:
                raise ConfigError(
                    f"time.{key} is {ours}, and {fixed} on {config.kafka.prefix}: panes are cut "
                    "in one way from the first event on. Keep it, or begin anew with another "
                    "kafka.prefix."
                )
        book = push.control.book
        known = {p.bucket_seconds for model in book.models for _, p in book.segments(model)}
        start = effective_from(push.latest_ms, tuple(sorted(known or {1})))
        return await push.publish(config_record(config, start), start)


class _Pushing:
    """Hold the connections of a push, and W before it."""

    def __init__(self, config: Config, patience_seconds: float) -> None:
        self._config = config
        self._patience_seconds = patience_seconds
        self._connection = connection_of(config.kafka)
        self._reached = Reached(config, self._connection)
        self.outbox = Outbox(self._connection)
        self.control = Control(self._connection, TopicNames(config.kafka.prefix).control)
        self.latest_ms = UNSET

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(prepare_topics, self._config.kafka, self._connection, "push")
        await self.outbox.start()
        await self.control.start()
        await self._reached.start()
        self.latest_ms = await self._reached.calm_ms(self._patience_seconds)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._reached.stop()
        await self.control.stop()
        await self.outbox.stop()

    async def publish(self, record: ControlRecord, start_ms: int) -> str | None:
        """Write the record, and make sure that every worker has read it in time."""
        await self.control.publish(record, self.outbox)
        if self.latest_ms == UNSET:
            return None
        await asyncio.sleep(self._reached.settle_seconds)
        if await self._reached.latest_ms() > start_ms - MARGIN_MS // 2:
            raise ConfigError(
                f"The {record.kind} is in force from {record.effective_from}, but events are read "
                "so fast just now that this was reached before every worker knew. Push again once "
                "they have caught up; between the two a replay may differ."
            )
        return record.effective_from
