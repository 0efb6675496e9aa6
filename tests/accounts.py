"""What runs said, as the verifier takes it: a live prefix, and an undisturbed run over its log."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np
import orjson
from aiokafka import ConsumerRecord, TopicPartition

from detectors.alert import Alert, Incident, Metric, encode
from detectors.observe import Batch, Observer, Pane
from detectors.panes import UNSET, Header, decode_part
from detectors.profile import ProfileBook
from stream.batching import batch_of, runs
from stream.checkpoint import Checkpoints, Restored
from stream.config import Config
from stream.connection import Connection, connection_of
from stream.judging import Judging
from stream.names import TopicNames
from stream.records import Records
from stream.replay import Replay
from stream.routing import parts_of
from stream.topic_ranges import TopicRanges
from stream.topics import partition_count
from tests.verifier import Account, Applied, LogFacts, Source, Verdict, applied_of, verify

__all__ = [
    "OUTPUTS",
    "facts_of",
    "part_place",
    "published",
    "read_all",
    "snapshots",
    "take_batch",
    "take_effect",
    "take_pane",
    "undisturbed",
    "verified",
]

OUTPUTS = ("summaries", "rejects", "alerts", "incidents", "metrics")


def published(records: Mapping[str, Iterable[ConsumerRecord]]) -> Account:
    """Read what is in the output topics, by the last part of their names."""
    account = Account()
    for record in records["summaries"]:
        header = decode_part(record.value).header
        account.add("parts", part_place(header, record.partition), record.value)
    for record in records["rejects"]:
        told = orjson.loads(record.value)
        place = (told["topic"], told["partition"], told["offset"])
        account.add("rejects", place, told["code"].encode())
    for record in records["alerts"]:
        alert = msgspec.json.decode(record.value, type=dict[str, msgspec.Raw])["alert"]
        account.add("alerts", record.key.decode(), bytes(alert))
    for record in records["incidents"]:
        account.add("incidents", record.key.decode(), record.value)
    for record in records["metrics"]:
        account.add("metrics", _metric_place(record.value), record.value)
    return account


def part_place(header: Header, summaries: int) -> tuple[str, int, int, int, int, int]:
    """Name a part; empty panes of one place differ in their number."""
    number = header.number if header.o < header.a else UNSET
    return header.topic, header.partition, header.a, summaries, header.part, number


def _metric_place(value: bytes) -> str:
    told = orjson.loads(value)
    labels = ",".join(f"{k}={v}" for k, v in sorted(told["slice"].items())) or "all"
    block = told["block"]
    return f"{block['end']} from {block['start']}: {told['model']} {told['channel']} {labels}"


def take_effect(account: Account, effect: Alert | Incident | Metric) -> None:
    """Note what a judge said in process."""
    if isinstance(effect, Metric):
        account.add("metrics", _metric_place(encode(effect)), encode(effect))
    else:
        kind = "alerts" if isinstance(effect, Alert) else "incidents"
        account.add(kind, effect.key, encode(effect))


def take_pane(account: Account, pane: Pane, summaries: int) -> None:
    """Note the parts of a pane that was observed in process."""
    for number, parts in enumerate(parts_of(pane, summaries)):
        for part in parts:
            account.add("parts", part_place(part.header, number), part.encode())


def take_batch(account: Account, source: Source, batch: Batch) -> None:
    """Note the rejects of a batch."""
    for row, code in zip(batch.reject_rows.tolist(), batch.reject_codes, strict=True):
        account.add("rejects", (*source, int(batch.offsets[row])), code.encode())


def facts_of(batches: Sequence[Batch]) -> LogFacts:
    """Say where the records and the ticks of a partition lie."""
    return LogFacts(
        np.concatenate([[], *(batch.offsets for batch in batches)]).astype(np.int64),
        np.concatenate([[], *(batch.ticks for batch in batches)]).astype(np.bool_),
    )


def undisturbed(
    log: Mapping[Source, Sequence[ConsumerRecord]],
    code: tuple[ProfileBook, Judging],
    config: Config,
    applied: Applied,
) -> tuple[Account, Mapping[Source, LogFacts]]:
    """Observe each partition in one go, and judge: as far as the live judges are."""
    book, judging = code
    account, facts = Account(), {}
    for source, records in log.items():
        observer = Observer((*source, len(log)), book, config.time.pane_seconds * 1000)
        batch = batch_of(Records.of(records), config)
        take_batch(account, source, batch)
        facts[source] = facts_of([batch])
        for pane in observer.feed(batch):
            take_pane(account, pane, config.kafka.summaries_partitions)
            for effect in judging.take(pane, applied):
                take_effect(account, effect)
    account.states = judging.states()
    return account, facts


async def read_all(connection: Connection, topic: str) -> list[ConsumerRecord]:
    """Read a topic from its start to its present end."""
    consumer = await connection.consumer()
    found: list[ConsumerRecord] = []
    try:
        numbers = range(await asyncio.to_thread(partition_count, connection, topic))
        consumer.assign(tps := [TopicPartition(topic, number) for number in numbers])
        for tp, end in (await consumer.end_offsets(tps)).items():
            while await consumer.position(tp) < end:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += records
    finally:
        await consumer.stop()
    return found


async def snapshots(config: Config) -> list[Restored]:
    """Read the snapshots that the stopped judges left."""
    checkpoints = Checkpoints(connection_of(config.kafka), TopicNames(config.kafka.prefix).state)
    found = [await checkpoints.read(p) for p in range(config.kafka.summaries_partitions)]
    return [one for one in found if one is not None]


def verified(config: Config) -> tuple[Account, Verdict]:
    """Compare what the stopped workers of a prefix said with `driftline backtest` of its events."""

    async def run() -> tuple[Account, Verdict]:
        connection, prefix = connection_of(config.kafka), config.kafka.prefix
        topics = {kind: await read_all(connection, f"{prefix}.{kind}") for kind in OUTPUTS}
        live = published(topics)
        live.states = [one.state for one in await snapshots(config)]
        replay = Replay(config, f"{prefix}.events")
        told, applied = Account(), applied_of(live.states)
        summaries = config.kafka.summaries_partitions
        replay.on_pane = lambda pane: take_pane(told, pane, summaries)
        async for effect in replay.run(applied=applied):
            take_effect(told, effect)
        told.states = replay.states()
        facts = await _facts(connection, config, replay, told)
        return live, verify(live, told, facts)

    return asyncio.run(run())


async def _facts(
    connection: Connection, config: Config, replay: Replay, told: Account
) -> Mapping[Source, LogFacts]:
    """Look at the log itself, and note its rejects."""
    topic = f"{config.kafka.prefix}.events"
    batches: dict[Source, list[Batch]] = {}
    async with TopicRanges(connection, topic) as log:
        await log.find(None, None)
        async for partition, records in log.read(replay.ranges):
            bad = replay.quarantined(topic, partition)
            for run in runs(records):
                batch = batch_of(run, config, None, bad)
                take_batch(told, (topic, partition), batch)
                batches.setdefault((topic, partition), []).append(batch)
    return {source: facts_of(found) for source, found in batches.items()}
