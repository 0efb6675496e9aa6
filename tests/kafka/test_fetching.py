"""Every codec and kind of producer on a real Kafka: both ways to read make the same panes."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition
from kafka.admin import KafkaAdminClient
from live import as_json
from logs import events, profile
from workers import Log, eventually, numbered

from detectors.observe import Observer
from detectors.panes import Clock
from detectors.profile import ProfileBook
from stream.batching import batch_of
from stream.config import Config
from stream.fetching import read_in_place
from stream.records import TICK, Records
from stream.routing import parts_of

CODECS = (None, "gzip", "snappy", "lz4", "zstd")
VALUES = [as_json(event) for event in events(4_000, seed=3)]


@pytest.fixture(scope="module")
def mixed(bootstrap: str) -> tuple[str, TopicPartition]:
    """Write a partition by producers of every kind, with ticks, rejects, nulls and aborts."""
    topic = "mixed-events"
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    configs = {"message.timestamp.type": "LogAppendTime", "compression.type": "producer"}
    made = {topic: {"num_partitions": 1, "replication_factor": 1, "configs": configs}}
    admin.create_topics(made, wait_for_metadata=True)
    admin.close()
    asyncio.run(_write(bootstrap, topic))
    return bootstrap, TopicPartition(topic, 0)


async def _write(bootstrap: str, topic: str) -> None:
    draw, waiting = random.Random(7), list(VALUES)
    for number in range(40):
        options = {"compression_type": CODECS[number % 5], "linger_ms": draw.choice([0, 20])}
        transactional = number % 3 == 1
        if transactional:
            options["transactional_id"] = f"writer-{number}"
        producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap, enable_idempotence=number % 2 == 0 or transactional,
            **options,
        )  # fmt: skip
        await producer.start()
        if transactional:
            await producer.begin_transaction()
        sent = [
            await producer.send(topic, value, key=draw.choice([None, b"key"]), partition=0)
            for value in [waiting.pop() for _ in range(draw.randrange(1, 100))]
        ]
        sent.append(await producer.send(topic, b'{"time": "broken', partition=0))
        sent.append(await producer.send(topic, None, key=b"null", partition=0))
        headers = [TICK] if number % 4 == 0 else [("trace", b"abc"), ("other", None)]
        sent.append(await producer.send(topic, b"", partition=0, headers=headers))
        await asyncio.gather(*sent)
        if transactional:
            await (producer.abort_transaction if number % 2 else producer.commit_transaction)()
        await producer.stop()


Read = Callable[[AIOKafkaConsumer], None]


def by_objects(_: AIOKafkaConsumer) -> None:
    pass


def in_place(consumer: AIOKafkaConsumer) -> None:
    read_in_place(consumer, 2)


@asynccontextmanager
async def reading(bootstrap: str, read: Read, **options: object) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="none", **options
    )
    await consumer.start()
    read(consumer)
    try:
        yield consumer
    finally:
        await consumer.stop()


async def chunks(consumer: AIOKafkaConsumer, tp: TopicPartition, start: int) -> list[Records]:
    """Read from an offset to the end of the log, which its position must reach."""
    consumer.assign([tp])
    consumer.seek(tp, start)
    (end,) = (await consumer.end_offsets([tp])).values()
    found: list[Records] = []
    while await consumer.position(tp) < end:
        drained = (await consumer.getmany(tp, timeout_ms=500)).get(tp, [])
        found += drained if drained and isinstance(drained[0], Records) else [Records.of(drained)]
    assert await consumer.position(tp) == end
    return found


def listed(found: list[Records]) -> list[tuple[object, ...]]:
    return [
        (at, one.value(row), ms, append, tick)
        for one in found
        for row, (at, ms, append, tick) in enumerate(
            zip(*(a.tolist() for a in (one.offsets, one.times_ms, one.append_times, one.ticks)),
                strict=True)
        )
    ]  # fmt: skip


def read_all(
    where: tuple[str, TopicPartition], read: Read, start: int = 0, **options: object
) -> list[Records]:
    async def scenario() -> list[Records]:
        async with reading(where[0], read, **options) as consumer:
            return await chunks(consumer, where[1], start)

    return asyncio.run(scenario())


def panes(found: list[Records]) -> list[bytes]:
    """Observe, and give every part of every pane as it would be written."""
    book = ProfileBook()
    book.add(profile(), 0)
    observer = Observer(("mixed-events", 0, 1), book, 2_000)
    observer.start(0, Clock())
    return [
        part.encode()
        for records in found
        if len(records)
        for pane in observer.feed(batch_of(records, Config()))
        for parts in parts_of(pane, 2)
        for part in parts
    ]


@pytest.mark.parametrize("isolation", ["read_uncommitted", "read_committed"])
@pytest.mark.parametrize("fetch_bytes", [2_000, 1 << 20])
def test_both_ways_make_the_same_records_and_panes(
    mixed: tuple[str, TopicPartition], isolation: str, fetch_bytes: int
) -> None:
    options = {"isolation_level": isolation, "max_partition_fetch_bytes": fetch_bytes}
    objects, ours = (read_all(mixed, read, **options) for read in (by_objects, in_place))
    assert listed(objects) == listed(ours)
    assert panes(objects) == panes(ours)
    assert len(panes(ours)) > 8
    assert sum(int(one.ticks.sum()) for one in ours) >= 8
    assert all(one.append_times.all() for one in ours)
    assert len({one[0] for one in listed(ours)}) == len(listed(ours))


def test_the_isolation_level_decides_what_is_read(mixed: tuple[str, TopicPartition]) -> None:
    levels = ("read_uncommitted", "read_committed")
    every, committed = (len(listed(read_all(mixed, in_place, isolation_level=i))) for i in levels)
    assert committed < every


@pytest.mark.parametrize("back", [1, 13, 200, 777])
def test_a_seek_into_a_batch_leaves_out_what_is_before_it(
    mixed: tuple[str, TopicPartition], back: int
) -> None:
    whole = listed(read_all(mixed, in_place))
    start = whole[-back][0]
    assert listed(read_all(mixed, in_place, start=start)) == whole[-back:]


@pytest.mark.parametrize("in_place", [1, 0])
def test_a_worker_reads_compressed_records_either_way(
    bootstrap: str, topic_prefix: str, in_place: int
) -> None:
    log = Log(bootstrap, topic_prefix)
    try:
        for codec in CODECS:
            log.write(numbered(2_000, f"{codec} "), compression_type=codec)
        reader = log.worker(take="records", in_place=in_place, fetch_bytes=5_000)
        eventually(lambda: reader.calls("caught up"))
        eventually(log.exact)
        assert reader.process.poll() is None
    finally:
        log.close()
