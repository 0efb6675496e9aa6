"""What each role may do on Kafka, and nothing more: the ACLs, and their check at the start.

docs/guides/security.md shows this table, deploy/acls.sh makes it; tests hold the three together.
READ and WRITE of a topic imply DESCRIBE.
"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
)
from kafka import errors as admin_errors

from detectors.errors import ServiceUnreachable

__all__ = [
    "ACCESS",
    "CLOCK",
    "EVERY",
    "TICKS",
    "Need",
    "check_access",
    "check_seen",
    "denied",
    "not_allowed",
]

EVERY = "*"  # every topic of the prefix
_DENIED = 29
_REMEDY = "docs/guides/security.md lists the ACLs of every role"


class Need(NamedTuple):
    """Name an operation on a topic or group; the prefix and a dot stand before `name`."""

    kind: str
    name: str
    operation: str


def _needs(**operations: str) -> tuple[Need, ...]:
    """Read `topic_NAME="READ WRITE"` and `group_NAME="READ"`."""
    split = ((key.partition("_"), words.split()) for key, words in operations.items())
    return tuple(Need(kind, name, word) for (kind, _, name), words in split for word in words)


# Who sets the times of records; not needed without `kafka.require_append_time`.
CLOCK = Need("topic", "events", "DESCRIBE_CONFIGS")
# Time that passes in idle partitions; not needed without `time.ticks`.
TICKS = Need("topic", "events", "WRITE")
_OBSERVE = (
    CLOCK,
    TICKS,
    *_needs(
        topic_events="READ",
        topic_control="READ",
        topic_summaries="READ WRITE",
        topic_rejects="WRITE",
        group_observe="READ",
    ),
)
_JUDGE = _needs(
    topic_control="READ",
    topic_summaries="READ",
    topic_state="READ WRITE",
    topic_metrics="WRITE",
    topic_alerts="WRITE",
    topic_incidents="WRITE",
    group_judge="READ",
)
ACCESS: dict[str, tuple[Need, ...]] = {
    "observe": _OBSERVE,
    "judge": _JUDGE,
    "worker": tuple(dict.fromkeys(_OBSERVE + _JUDGE)),
    "learn": _needs(
        topic_events="READ",
        topic_control="READ WRITE",
        topic_summaries="READ",
        group_learn="READ",
    ),
    "emitter": _needs(topic_events="WRITE"),
    "emit": _needs(topic_events="WRITE", group_observe="DESCRIBE"),
    "alerts": _needs(topic_alerts="READ", topic_incidents="READ"),
    "backtest": _needs(topic_events="READ", topic_control="READ", topic_summaries="DESCRIBE"),
    "push": (
        Need("topic", EVERY, "CREATE"),
        Need("topic", EVERY, "DESCRIBE"),
        *_needs(topic_control="READ WRITE", topic_summaries="READ"),
    ),
}


def check_access(admin: Any, prefix: str, needs: Collection[Need]) -> None:
    """Ask the broker whether it allows these operations on topics.

    A topic that is not there yet, and a group that nobody has joined, have no rights to show.

    Raises
    ------
    ServiceUnreachable
        If it does not; the message names every operation that is missing.
    """
    wanted = [n for n in needs if n.kind == "topic" and n.name != EVERY]
    topics = sorted({f"{prefix}.{need.name}" for need in wanted})
    found = {topic["name"]: topic for topic in admin.describe_topics(topics)}
    missing = []
    for need in wanted:
        topic = found[f"{prefix}.{need.name}"]
        # None: a topic that is not there, or a broker that is too old to know.
        allowed = [] if topic["error_code"] == _DENIED else topic["authorized_operations"]
        if allowed is not None and need.operation not in allowed:
            missing.append(f"{need.operation} on the topic {topic['name']}")
    if missing:
        raise not_allowed(missing)


def check_seen(found: Sequence[Any]) -> None:
    """Raise ServiceUnreachable if we may not even see a topic of an answer."""
    hidden = [topic["name"] for topic in found if topic["error_code"] == _DENIED]
    if hidden:
        rights = "DESCRIBE (which READ and WRITE imply)"
        raise not_allowed([f"{rights} on the topic {name}" for name in hidden])


def not_allowed(operations: Collection[str]) -> ServiceUnreachable:
    """Word that the broker does not allow us these operations."""
    return ServiceUnreachable(f"Kafka does not allow this user {', '.join(operations)}: {_REMEDY}.")


def denied(error: BaseException) -> ServiceUnreachable | None:
    """Word what a client of aiokafka or kafka-python met in the middle of its work, if it is that.

    Neither says which operation it was.
    """
    of_topic = (TopicAuthorizationFailedError, admin_errors.TopicAuthorizationFailedError)
    of_group = (GroupAuthorizationFailedError, admin_errors.GroupAuthorizationFailedError)
    of_cluster = (ClusterAuthorizationFailedError, admin_errors.ClusterAuthorizationFailedError)
    what = " ".join(map(str, error.args))[:300]
    if isinstance(error, of_topic):
        return not_allowed([f"READ or WRITE on the topic {what}"])
    if isinstance(error, of_group):
        return not_allowed([f"READ on the group {what}"])
    if isinstance(error, of_cluster):
        return not_allowed([f"an operation on the cluster {what}"])
    return None
