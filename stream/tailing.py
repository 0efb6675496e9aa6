"""Follow the alerts topic."""

from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.config import Config
from stream.names import TopicNames
from stream.reader import private_consumer
from stream.topics import partition_count
from stream.worker import bootstrap_of

__all__ = ["follow_alerts"]


async def follow_alerts(
    config: Config, since_ms: int | None, show: Callable[[bytes], None]
) -> None:
    """Show every alert record published from now on, or since a time; until cancelled.

    Raises
    ------
    ServiceUnreachable
        If there is no alerts topic yet, or Kafka does not answer.
    """
    bootstrap = bootstrap_of(config.kafka)
    topic = TopicNames(config.kafka.prefix).alerts
    consumer = await private_consumer(bootstrap)
    try:
        partitions = [TopicPartition(topic, n) for n in range(partition_count(bootstrap, topic))]
        consumer.assign(partitions)
        await _seek(consumer, partitions, since_ms)
        async for record in consumer:
            if record.value:
                show(record.value)
    finally:
        await consumer.stop()


async def _seek(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition], since_ms: int | None
) -> None:
    """Start at the end, or at the first record of a time."""
    await consumer.seek_to_end(*partitions)
    if since_ms is None:
        return
    found = await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
    for partition, start in found.items():
        if start is not None:
            consumer.seek(partition, start.offset)
