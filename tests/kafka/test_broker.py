"""The broker that every other test relies on, whichever it is."""

from kafka.admin import KafkaAdminClient, NewTopic

from stream.kafka_probe import answers


def test_the_broker_of_the_tests_answers_and_holds_topics(
    bootstrap: str, topic_prefix: str
) -> None:
    assert answers(bootstrap)
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(topic_prefix, num_partitions=2, replication_factor=1)])
    assert topic_prefix in admin.list_topics()
    admin.delete_topics([topic_prefix])
    admin.close()


def test_a_container_serves_as_broker_where_a_docker_engine_answers(
    container_bootstrap: str,
) -> None:
    assert answers(container_bootstrap)
