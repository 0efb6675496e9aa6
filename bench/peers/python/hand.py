"""A hand loop as a careful engineer writes it: a consumer, orjson, numpy, whole batches at a time.

`--mode confluent` or `--mode aiokafka` chooses the client.  Partials go out each second, as a
streaming job would send them; nothing is committed.
"""

import asyncio
import time
from collections.abc import Sequence
from operator import itemgetter

import numpy as np
import orjson
from job import BUCKET_SECONDS, NAMES, Clock, bins, finish, key, options, sums, written

_BATCH = 5_000
_FLUSH_SECONDS = 1.0
_take = itemgetter(*NAMES)


class Summaries:
    """Add batches of values up by bucket, country and device."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, str, str], np.ndarray] = {}
        self.flushed = time.monotonic()

    def add(self, contents: Sequence[bytes]) -> None:
        """Decode a batch and add it."""
        events = [orjson.loads(content) for content in contents]
        values = np.array([_take(event["features"]) for event in events])
        times = np.array([event["time"][:-1] for event in events], "datetime64[s]")
        buckets = times.astype(np.int64) // BUCKET_SECONDS * BUCKET_SECONDS
        known: dict[tuple[str, str], int] = {}
        pairs = ((e["segments"]["country"], e["segments"]["device"]) for e in events)
        codes = np.array([known.setdefault(pair, len(known)) for pair in pairs])
        places = bins(values)
        for bucket in np.unique(buckets).tolist():
            for (country, device), code in known.items():
                rows = np.flatnonzero((buckets == bucket) & (codes == code))
                if len(rows):
                    cell = sums(values[rows], places[rows])
                    where = (bucket, country, device)
                    old = self.cells.get(where)
                    self.cells[where] = cell if old is None else old + cell

    def due(self) -> bool:
        """Tell whether it is time to send what is there."""
        return time.monotonic() - self.flushed > _FLUSH_SECONDS

    def taken(self) -> dict[bytes, bytes]:
        """Roll the slices up and start afresh."""
        slices: dict[bytes, np.ndarray] = {}
        for (bucket, country, device), cell in self.cells.items():
            for where in ("all", f"country={country}", f"device={device}"):
                name = key(where, bucket)
                slices[name] = slices[name] + cell if name in slices else cell
        self.cells.clear()
        self.flushed = time.monotonic()
        return {name: written(cell) for name, cell in slices.items()}


def with_confluent(chosen, clock: Clock) -> None:  # noqa: ANN001
    """Run on confluent-kafka."""
    from confluent_kafka import Consumer, Producer

    summaries = Summaries()
    producer = Producer({"bootstrap.servers": chosen.bootstrap})
    consumer = Consumer(
        {
            "bootstrap.servers": chosen.bootstrap,
            "group.id": f"peer-{time.time_ns()}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 50,
            "max.partition.fetch.bytes": 4 << 20,
            "queued.max.messages.kbytes": 131_072,
        }
    )
    consumer.subscribe([chosen.topic])
    done = False
    while not done:
        messages = consumer.consume(_BATCH, 1.0)
        contents = [value for message in messages if (value := message.value())]
        if contents:
            clock.start()
            summaries.add(contents)
            done = clock.count(len(contents))
        if done or summaries.due():
            for name, content in summaries.taken().items():
                producer.produce(chosen.output, content, name)
            producer.poll(0)
    producer.flush()
    finish(chosen.result, clock.measured())


async def with_aiokafka(chosen, clock: Clock) -> None:  # noqa: ANN001
    """Run on aiokafka."""
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    summaries = Summaries()
    producer = AIOKafkaProducer(bootstrap_servers=chosen.bootstrap)
    consumer = AIOKafkaConsumer(
        chosen.topic,
        bootstrap_servers=chosen.bootstrap,
        group_id=f"peer-{time.time_ns()}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 << 20,
    )
    await producer.start()
    await consumer.start()
    done = False
    while not done:
        for records in (await consumer.getmany(timeout_ms=1_000, max_records=_BATCH)).values():
            contents = [record.value for record in records if record.value]
            if contents:
                clock.start()
                summaries.add(contents)
                done = clock.count(len(contents))
        if done or summaries.due():
            for name, content in summaries.taken().items():
                await producer.send(chosen.output, content, name)
    await producer.flush()
    finish(chosen.result, clock.measured())


def main() -> None:
    """Run with the client that was asked for."""
    chosen = options()
    clock = Clock(chosen.events)
    if chosen.mode == "aiokafka":
        asyncio.run(with_aiokafka(chosen, clock))
    else:
        with_confluent(chosen, clock)


if __name__ == "__main__":
    main()
