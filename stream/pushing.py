"""Put a profile in force on a prefix."""

from collections.abc import Sequence

import msgspec

from detectors.alert import instant
from detectors.panes import UNSET
from detectors.profile import Profile, seal
from stream.config import Config
from stream.connection import connection_of
from stream.control import Control, effective_from, profile_record
from stream.names import TopicNames
from stream.outbox import Outbox
from stream.watermarks import watermarks
from stream.worker import prepare_topics

__all__ = ["push_profile", "renewed"]


def renewed(profile: Profile, before: Sequence[Profile]) -> Profile:
    """Give a profile that was in force once, and is no longer, a hash of its own.

    Each term of a profile has its own judge: the one of the first term would run through the
    time of another profile, and take it for silence.  `before` lists the terms in order.
    """
    terms = [one.hash for one in before]
    if profile.hash not in terms or profile.hash == terms[-1]:
        return profile
    return seal(msgspec.structs.replace(profile, parent=terms[-1]))


async def push_profile(config: Config, profile: Profile) -> str | None:
    """Write a profile to the control topic; give from when it is in force, None: the beginning.

    Raises
    ------
    ConfigError, ServiceUnreachable
        If the prefix runs with another configuration, or Kafka does not answer.
    """
    connection = connection_of(config.kafka)
    prepare_topics(config.kafka, connection)
    names = TopicNames(config.kafka.prefix)
    outbox, control = Outbox(connection), Control(connection, names.control)
    await outbox.start()
    try:
        await control.start()
        await control.agree(config, outbox)
        latest = max(watermarks(connection, names).values(), default=UNSET)
        before = control.book.segments(profile.model)
        profile = renewed(profile, [one for _, one in before])
        buckets = {p.bucket_seconds for _, p in before} | {profile.bucket_seconds}
        start = effective_from(latest, tuple(sorted(buckets)))
        if before and before[-1][1].hash == profile.parent:
            # What stands on another profile follows it, even if that is not in force yet.
            start = max(start, effective_from(before[-1][0], tuple(sorted(buckets))))
        record = profile_record(profile, start)
        await outbox.send(names.control, record.key, msgspec.json.encode(record), 0)
        await outbox.delivered()
    finally:
        await control.stop()
        await outbox.stop()
    return None if latest == UNSET else instant(start)
