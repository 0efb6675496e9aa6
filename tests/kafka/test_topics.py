"""Topics are made as declared, and what is wrong with one is said with the remedy."""

import pytest
from kafka.admin import ConfigResource, KafkaAdminClient

from detectors.errors import ConfigError, ServiceUnreachable
from stream.connection import START_TIMEOUT_SECONDS, Connection
from stream.topics import (
    TopicSpec,
    check_append_time,
    ensure_topics,
    partition_count,
    specs,
)


def test_every_topic_is_created_as_declared_and_found_the_second_time(
    bootstrap: str, topic_prefix: str
) -> None:
    wanted = specs(topic_prefix, events_partitions=3, summaries_partitions=2)
    ensure_topics(Connection(bootstrap), wanted)
    ensure_topics(Connection(bootstrap), wanted)
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    asked = [ConfigResource("topic", spec.name) for spec in wanted]
    found = admin.describe_configs(asked, config_filter="all")["topic"]
    admin.close()
    for spec in wanted:
        assert partition_count(Connection(bootstrap), spec.name) == spec.partitions
        config = {key: value["value"] for key, value in found[spec.name].items()}
        assert spec.config.items() <= config.items()
    assert partition_count(Connection(bootstrap), f"{topic_prefix}.state") == 2
    for topic in ("events", "labels", "outcomes"):
        check_append_time(Connection(bootstrap), f"{topic_prefix}.{topic}")


def test_a_topic_with_the_time_of_its_writers_is_refused_with_the_command(
    bootstrap: str, topic_prefix: str
) -> None:
    ensure_topics(Connection(bootstrap), [TopicSpec(f"{topic_prefix}.events", 1, {})])
    with pytest.raises(ConfigError, match=r"kafka-configs.sh .*timestamp.type=LogAppendTime"):
        check_append_time(Connection(bootstrap), f"{topic_prefix}.events")


def test_another_number_of_summaries_partitions_is_refused(
    bootstrap: str, topic_prefix: str
) -> None:
    ensure_topics(Connection(bootstrap), specs(topic_prefix, summaries_partitions=2))
    with pytest.raises(ConfigError, match=r"has 2 partitions, and kafka.summaries_partitions is 4"):
        ensure_topics(Connection(bootstrap), specs(topic_prefix, summaries_partitions=4))


def test_another_number_of_events_partitions_is_the_users_business(
    bootstrap: str, topic_prefix: str
) -> None:
    ensure_topics(Connection(bootstrap), specs(topic_prefix, events_partitions=2))
    ensure_topics(Connection(bootstrap), specs(topic_prefix, events_partitions=8))
    assert partition_count(Connection(bootstrap), f"{topic_prefix}.events") == 2


def test_missing_topics_that_may_not_be_created_are_listed_with_commands(
    bootstrap: str, topic_prefix: str
) -> None:
    with pytest.raises(ServiceUnreachable) as refusal:
        ensure_topics(Connection(bootstrap), specs(topic_prefix), create=False)
    lines = str(refusal.value).splitlines()
    assert len(lines) == 1 + len(specs(topic_prefix))
    assert f"--create --topic {topic_prefix}.state --partitions 4" in lines[6]
    assert "--config cleanup.policy=compact" in lines[6]


def test_topics_that_the_broker_refuses_are_listed_with_its_reason(
    bootstrap: str, topic_prefix: str
) -> None:
    with pytest.raises(ServiceUnreachable, match=r"could not be created .*replica"):
        ensure_topics(Connection(bootstrap), specs(topic_prefix, replication_factor=99))


def test_the_partitions_of_no_topic_cannot_be_counted(bootstrap: str, topic_prefix: str) -> None:
    with pytest.raises(ServiceUnreachable, match=f"There is no topic {topic_prefix}"):
        partition_count(Connection(bootstrap), topic_prefix)


def test_without_a_broker_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert START_TIMEOUT_SECONDS == 20.0
    monkeypatch.setattr("stream.connection.START_TIMEOUT_SECONDS", 0.5)
    with pytest.raises(ServiceUnreachable, match=r"Kafka does not answer at 127.0.0.1:1 "):
        partition_count(Connection("127.0.0.1:1"), "topic")
