"""W of every partition of a prefix's events, as the observe role has committed it."""

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from detectors.errors import ServiceUnreachable
from detectors.panes import UNSET, Clock
from stream.names import TopicNames

__all__ = ["watermarks"]


def watermarks(bootstrap: str, names: TopicNames) -> dict[int, int]:
    """Give W in milliseconds by events partition; partitions without an event are left out.

    Raises
    ------
    ServiceUnreachable
        If Kafka does not answer.
    """
    try:
        admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        try:
            groups = admin.list_group_offsets(names.observe_group)
        finally:
            admin.close()
    except KafkaError as error:
        raise ServiceUnreachable(f"Kafka at {bootstrap} does not answer: {error}.") from error
    found = {}
    for partition, commit in groups.get(names.observe_group, {}).items():
        clock = Clock.read(commit.metadata or "")
        if partition.topic == names.events and clock.w != UNSET:
            found[partition.partition] = clock.w
    return found
