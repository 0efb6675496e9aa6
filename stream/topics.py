"""Every topic of driftline: partitions and retention; created and checked before a role runs.

The defaults are here and nowhere else.  Synchronous, with kafka-python's admin client.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from kafka.admin import ConfigResource

from detectors.errors import ConfigError, ServiceUnreachable
from stream.access import ACCESS, CLOCK, TICKS, check_access, check_seen
from stream.config import KafkaConfig
from stream.connection import RECORD_BYTES_MAX, Connection
from stream.names import TopicNames

__all__ = [
    "TopicSpec",
    "check_append_time",
    "ensure_topics",
    "partition_count",
    "partition_counts",
    "prepare_topics",
    "specs",
]

_DAY_MS = 86_400_000
_EXISTS = 36
_APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}
_COMPACT = {"cleanup.policy": "compact"}
_LARGE = {"max.message.bytes": str(RECORD_BYTES_MAX)}
# Old snapshots are dead weight within minutes; a segment is compacted only once it is closed.
_SHORT_SEGMENTS = {"segment.ms": str(_DAY_MS // 24), "segment.bytes": str(64 << 20)}


class TopicSpec(NamedTuple):
    """Say how a topic is made; `fixed_by` is the configuration key of an unchangeable count."""

    name: str
    partitions: int
    config: Mapping[str, str]
    replication_factor: int = 1
    fixed_by: str = ""


def specs(
    prefix: str,
    events_partitions: int = 4,
    summaries_partitions: int = 4,
    replication_factor: int = 1,
) -> tuple[TopicSpec, ...]:
    """Say how each topic of a prefix is made.

    >>> [spec.name for spec in specs("d")][:4]
    ['d.events', 'd.labels', 'd.outcomes', 'd.control']
    """
    by_summaries = "kafka.summaries_partitions"
    events, summaries = events_partitions, summaries_partitions
    kept_and_compacted = {"cleanup.policy": "compact,delete"} | _days(90)
    rows: list[tuple[str, int, dict[str, str], str]] = [
        ("events", events, _APPEND_TIME | _days(7), ""),
        ("labels", events, _APPEND_TIME | _days(30), ""),
        ("outcomes", events, _APPEND_TIME | _days(30), ""),
        ("control", 1, _COMPACT | _LARGE, "driftline"),
        ("summaries", summaries, _days(7), by_summaries),
        ("state", summaries, _COMPACT | _LARGE | _SHORT_SEGMENTS, by_summaries),
        ("metrics", summaries, _days(30), ""),
        ("alerts", 1, kept_and_compacted, ""),
        ("incidents", 1, kept_and_compacted, ""),
        ("feedback", 1, _days(90), ""),
        ("rejects", 1, _days(7), ""),
        ("runs", 1, _days(90), ""),
    ]
    # With fewer than 3 copies, waiting for a second one would stop at the first broker's fall.
    safe = {"min.insync.replicas": "2"} if replication_factor >= 3 else {}
    return tuple(
        TopicSpec(f"{prefix}.{name}", partitions, config | safe, replication_factor, fixed_by)
        for name, partitions, config, fixed_by in rows
    )


def ensure_topics(
    connection: Connection, wanted: Iterable[TopicSpec], *, create: bool = True
) -> dict[str, int]:
    """Create the topics that are missing, and check those that are there; count partitions.

    Raises
    ------
    ServiceUnreachable
        If Kafka does not answer, or topics are missing and may not be created; the message
        lists the commands that create them.
    ConfigError
        If a topic whose partition count is fixed at creation has another count than asked.
    """
    every = list(wanted)
    with connection.admin() as admin:
        counts = _counts(admin, [spec.name for spec in every])
        missing = [spec for spec in every if spec.name not in counts]
        if missing and create:
            _create(admin, connection.bootstrap, missing)
            counts |= _counts(admin, [spec.name for spec in missing])
        elif missing:
            raise ServiceUnreachable(_ask(connection.bootstrap, missing, "are not there"))
    for spec in every:
        if spec.fixed_by and counts[spec.name] != spec.partitions:
            raise ConfigError(_changed(spec, counts[spec.name]))
    return counts


def prepare_topics(
    kafka: KafkaConfig, connection: Connection, role: str, *, ticks: bool = True
) -> tuple[int, int]:
    """Create what is missing, check what `role` needs; give the partitions of events, summaries.

    Without `kafka.create_topics` nothing is looked at but what the role needs; a topic that it
    does not need has 0 partitions then.  `role` is a key of `stream.access.ACCESS`; a worker's
    does without the right to write `ticks`, where it writes none.

    Raises
    ------
    ConfigError, ServiceUnreachable
        If a topic is not as it must be, is missing, or may not be used.
    """
    needs, names = ACCESS[role], TopicNames(kafka.prefix)
    wanted = specs(
        kafka.prefix,
        events_partitions=kafka.events_partitions,
        summaries_partitions=kafka.summaries_partitions,
        replication_factor=kafka.replication_factor,
    )
    if not kafka.create_topics:
        topics = {f"{kafka.prefix}.{need.name}" for need in needs if need.kind == "topic"}
        wanted = tuple(spec for spec in wanted if spec.name in topics)
    checks_clock = kafka.require_append_time and CLOCK in needs
    with connection.admin() as admin:
        spared = {need for need, asked in ((CLOCK, checks_clock), (TICKS, ticks)) if not asked}
        check_access(admin, kafka.prefix, [need for need in needs if need not in spared])
    counts = ensure_topics(connection, wanted, create=kafka.create_topics)
    if checks_clock:
        check_append_time(connection, names.events)
    return counts.get(names.events, 0), counts.get(names.summaries, 0)


def partition_count(connection: Connection, topic: str) -> int:
    """Read back how many partitions a topic has; ServiceUnreachable where there is none."""
    counts = partition_counts(connection, [topic])
    if topic not in counts:
        raise ServiceUnreachable(f"There is no topic {topic} on {connection.bootstrap}.")
    return counts[topic]


def partition_counts(connection: Connection, topics: Collection[str]) -> dict[str, int]:
    """Read back how many partitions topics have; those that are not there are left out."""
    with connection.admin() as admin:
        return _counts(admin, topics)


def check_append_time(connection: Connection, topic: str) -> None:
    """Check that the broker sets the time of each record of a topic.

    Raises
    ------
    ConfigError
        If clients set it, which is Kafka's default; the message holds the command to run.
    """
    with connection.admin() as admin:
        answer = admin.describe_configs([ConfigResource("topic", topic)], config_filter="all")
    found = answer["topic"].get(topic, {}).get("message.timestamp.type", {}).get("value")
    if found != "LogAppendTime":
        raise ConfigError(
            f"The topic {topic} has message.timestamp.type={found}: the clocks of its writers "
            f"would drive driftline's. Run: kafka-configs.sh --bootstrap-server "
            f"{connection.bootstrap} --alter --entity-type topics --entity-name {topic} "
            f"--add-config message.timestamp.type=LogAppendTime"
        )


def _counts(admin: Any, names: Collection[str]) -> dict[str, int]:
    """Count the partitions of those topics that are there."""
    found = admin.describe_topics(list(names))
    check_seen(found)
    return {topic["name"]: len(topic["partitions"]) for topic in found if topic["partitions"]}


def _create(admin: Any, bootstrap: str, missing: Collection[TopicSpec]) -> None:
    """Create topics; another worker may be doing the same at this moment."""
    request = {
        spec.name: {
            "num_partitions": spec.partitions,
            "replication_factor": spec.replication_factor,
            "configs": dict(spec.config),
        }
        for spec in missing
    }
    answer = admin.create_topics(request, raise_errors=False)
    refused = {
        topic["name"]: topic["error_message"] or f"error {topic['error_code']}"
        for topic in answer["topics"]
        if topic["error_code"] not in (0, _EXISTS)
    }
    if refused:
        why = f"could not be created ({'; '.join(sorted(set(refused.values())))})"
        raise ServiceUnreachable(_ask(bootstrap, [s for s in missing if s.name in refused], why))
    admin.wait_for_topics([spec.name for spec in missing])


def _ask(bootstrap: str, missing: Collection[TopicSpec], why: str) -> str:
    """Word what is missing and the commands that make it."""
    lines = [f"These topics {why}: {', '.join(spec.name for spec in missing)}. Create them with:"]
    for spec in missing:
        config = "".join(f" --config {key}={value}" for key, value in spec.config.items())
        lines.append(
            f"  kafka-topics.sh --bootstrap-server {bootstrap} --create --topic {spec.name} "
            f"--partitions {spec.partitions} --replication-factor {spec.replication_factor}{config}"
        )
    return "\n".join(lines)


def _changed(spec: TopicSpec, found: int) -> str:
    """Word the refusal of a partition count that cannot change."""
    if spec.fixed_by == "driftline":
        return f"The topic {spec.name} has {found} partitions, and must have {spec.partitions}."
    return (
        f"The topic {spec.name} has {found} partitions, and {spec.fixed_by} is "
        f"{spec.partitions}: models would move between judges and lose their state. Set "
        f"{spec.fixed_by} to {found}, or begin anew with another kafka.prefix."
    )


def _days(days: int) -> dict[str, str]:
    return {"retention.ms": str(days * _DAY_MS)}
