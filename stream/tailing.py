"""Follow what is published: incidents, and the alerts in them."""

from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.config import Config
from stream.connection import connection_of
from stream.ledger import Record, decode_record
from stream.names import TopicNames
from stream.topics import partition_count

__all__ = ["follow_alerts"]

_POLL_MS = 500


async def follow_alerts(
    config: Config, since_ms: int | None, show: Callable[[Record], None]
) -> None:
    """Show alert and incident records published from now on, or since a time; until cancelled.

    What comes at once is shown by event time, incidents before their alerts.

    Raises
    ------
    ServiceUnreachable
        If there are no such topics yet, or Kafka does not answer.
    ConfigError
        If a record is not one of driftline's.
    """
    connection, names = connection_of(config.kafka), TopicNames(config.kafka.prefix)
    counts = {t: partition_count(connection, t) for t in (names.alerts, names.incidents)}
    consumer = await connection.consumer()
    try:
        partitions = [TopicPartition(t, n) for t, count in counts.items() for n in range(count)]
        consumer.assign(partitions)
        await _seek(consumer, partitions, since_ms)
        while True:
            batches = await consumer.getmany(timeout_ms=_POLL_MS)
            found = [
                decode_record(record.value, tp.topic)
                for tp, batch in batches.items()
                for record in batch
                if record.value
            ]
            for record in sorted(found, key=_moment):
                show(record)
    finally:
        await consumer.stop()


def _moment(record: Record) -> tuple[str, bool]:
    """Give the time in a record, and whether it is an alert's."""
    alert = record.get("alert")
    return (alert or record)["time"], alert is not None


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
