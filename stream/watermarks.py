"""W of every partition of a prefix's events, as the observe role has committed it."""

import time
from typing import Any

from kafka.errors import GroupAuthorizationFailedError

from detectors.errors import ServiceUnreachable
from detectors.panes import UNSET, Clock
from stream.access import not_allowed
from stream.connection import Connection
from stream.names import TopicNames

__all__ = ["watermarks"]

_PATIENCE_SECONDS = 20.0
_PAUSE_SECONDS = 0.5


def watermarks(connection: Connection, names: TopicNames) -> dict[int, int]:
    """Give W in milliseconds by events partition; partitions without an event are left out.

    Raises
    ------
    ServiceUnreachable
        If Kafka does not answer.
    """
    found = {}
    for partition, commit in _commits(connection, names.observe_group).items():
        clock = Clock.read(commit.metadata or "")
        if partition.topic == names.events and clock.w != UNSET:
            found[partition.partition] = clock.w
    return found


def _commits(connection: Connection, group: str) -> dict[Any, Any]:
    """Read a group's commits; a broker that has just started may still look for its groups."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            with connection.admin() as admin:
                groups: dict[str, dict[Any, Any]] = admin.list_group_offsets(group)
                return groups.get(group, {})
        except ServiceUnreachable as error:
            if isinstance(error.__cause__, GroupAuthorizationFailedError):
                raise not_allowed([f"DESCRIBE on the group {group}"]) from error
            if not getattr(error.__cause__, "retriable", False) or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
