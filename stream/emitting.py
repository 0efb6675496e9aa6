"""Emit a file: its events to the topic, in their order, as fast as asked.

The first row of each partition is sent and flushed before anything else, so that no partition
looks empty while the others already move time on.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import msgspec

from detectors.alert import instant
from detectors.errors import ConfigError
from detectors.events import Limits
from stream.config import ColumnsConfig, Config
from stream.connection import Connection, connection_of
from stream.decode.json_events import decode
from stream.names import TopicNames
from stream.sources import read_rows
from stream.topics import prepare_topics
from stream.watermarks import watermarks

__all__ = ["BatchProducer", "Emitted", "Pace", "emit_file", "retimed"]

_CHUNK_ROWS = 4_000
_CHUNK_SECONDS = 0.05
_BATCH_BYTES = 1 << 20


class Pace(NamedTuple):
    """Say how fast to send: events a second, or a multiple of event time; None: at once.

    `arrow_rows` is how many events at most are in one Arrow message; 0 sends JSON.
    """

    rate: float | None = None
    speedup: float | None = None
    arrow_rows: int = 0


class Emitted(NamedTuple):
    """Report progress: events sent so far, and bytes of the file read."""

    events: int
    position: int


class BatchProducer:
    """Send many small values to numbered partitions, one record batch a call and partition."""

    def __init__(
        self, connection: Connection, topic: str, partitions: int, **options: object
    ) -> None:
        """Prepare with a producer's options; `async with` connects."""
        self.sent = 0
        self._options = options
        self._topic = topic
        self._partitions = partitions
        self._connection = connection

    async def __aenter__(self) -> Self:
        """Connect; raise ServiceUnreachable if Kafka does not answer."""
        self._producer = await self._connection.producer(
            max_batch_size=_BATCH_BYTES, **self._options
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Flush and disconnect."""
        await self._producer.stop()

    async def send(self, values: Sequence[bytes]) -> None:
        """Send values round the partitions, in order, and wait for their delivery."""
        waiting = []
        first = self.sent
        for offset in range(min(self._partitions, len(values))):
            partition = (first + offset) % self._partitions
            waiting += await self._send_partition(partition, values[offset :: self._partitions])
        await asyncio.gather(*waiting)
        self.sent += len(values)

    async def _send_partition(
        self, partition: int, values: Iterable[bytes]
    ) -> list["asyncio.Future[object]"]:
        """Fill record batches with one partition's values."""
        waiting = []
        batch = self._producer.create_batch()
        for value in values:
            if batch.append(key=None, value=value, timestamp=None) is None:
                waiting.append(await self._ship(batch, partition))
                batch = self._producer.create_batch()
                batch.append(key=None, value=value, timestamp=None)
        waiting.append(await self._ship(batch, partition))
        return waiting

    async def _ship(self, batch: object, partition: int) -> "asyncio.Future[object]":
        batch.close()  # type: ignore[attr-defined]
        future: asyncio.Future[object] = await self._producer.send_batch(
            batch, self._topic, partition=partition
        )
        return future


def retimed(values: Sequence[bytes], shift_ms: int, limits: Limits) -> list[bytes]:
    """Shift the time of every event; a value that is no event stays as it is."""
    decoded = decode(values, None, limits)
    moved = list(values)
    for row, event in zip(decoded.rows.tolist(), decoded.events, strict=True):
        # The other fields stay as they were written, to the last digit.
        fields = msgspec.json.decode(values[row], type=dict[str, msgspec.Raw])
        fields["time"] = msgspec.Raw(msgspec.json.encode(instant(event.time_ms + shift_ms)))
        moved[row] = msgspec.json.encode(fields)
    return moved


async def emit_file(
    path: Path, config: Config, pace: Pace, *, retime: bool = False, as_late: bool = False
) -> AsyncIterator[Emitted]:
    """Send a file's events; report progress after each chunk.

    Raises
    ------
    ConfigError
        If the file begins before what the topic has already seen, and neither `retime` nor
        `as_late` says what to do about it.
    """
    connection = connection_of(config.kafka)
    partitions, _ = prepare_topics(config.kafka, connection, "emit")
    names = TopicNames(config.kafka.prefix)
    if not retime and not as_late:
        _check_not_behind(path, config, watermarks(connection, names))
    shift_ms = _shift(path, config.columns, config.limits) if retime else 0
    async with BatchProducer(connection, names.events, partitions) as producer:
        started, first_ms, sent = time.monotonic(), None, 0
        for values, position in _chunks(path, config, partitions, pace):
            sending = retimed(values, shift_ms, config.limits) if shift_ms else values
            if pace.speedup:
                times = [e.time_ms for e in decode(values, None, config.limits).events]
                first_ms = first_ms if first_ms is not None or not times else times[0]
                ahead = (times[0] - first_ms) / 1000 / pace.speedup if times and first_ms else 0.0
                await asyncio.sleep(max(0.0, started + ahead - time.monotonic()))
            await producer.send(_written(sending, pace, partitions, config.limits))
            sent += len(values)
            yield Emitted(sent, position)
            if pace.rate:
                due = started + sent / pace.rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))


def _written(
    values: Sequence[bytes], pace: Pace, partitions: int, limits: Limits
) -> Sequence[bytes]:
    """Write events as they are sent; messages are for all partitions, like single events."""
    if not pace.arrow_rows:
        return values
    from stream.packing import packed  # pyarrow, which JSON does without

    return list(packed(values, min(pace.arrow_rows, -(-len(values) // partitions)), limits))


def _chunks(
    path: Path, config: Config, partitions: int, pace: Pace
) -> Iterator[tuple[list[bytes], int]]:
    """Read the file in chunks that fit the pace; the first has one row a partition."""
    size = max(1, round(pace.rate * _CHUNK_SECONDS)) if pace.rate else _CHUNK_ROWS
    size = 50 if pace.speedup else min(size, _CHUNK_ROWS)
    size = max(size, pace.arrow_rows * partitions)
    wanted = partitions
    held: list[bytes] = []
    position = 0
    for rows, position in read_rows(path, config.columns, config.limits):
        held += [row.value for row in rows]
        while len(held) >= wanted:
            yield held[:wanted], position
            held = held[wanted:]
            wanted = size
    if held:
        yield held, position


def _check_not_behind(path: Path, config: Config, seen: dict[int, int]) -> None:
    """Refuse a file that starts before W: its events would be late and change nothing."""
    if not seen:
        return
    latest = max(seen.values()) - config.time.lateness_seconds * 1000
    behind = total = 0
    for rows, _ in read_rows(path, config.columns, config.limits):
        times = [e.time_ms for e in decode([r.value for r in rows], None, config.limits).events]
        behind += sum(t < latest for t in times)
        total += len(times)
    if behind:
        raise ConfigError(
            f"{behind:,} of {total:,} events of {path} are older than what "
            f"{config.kafka.prefix}.events has already seen ({instant(max(seen.values()))}): they "
            "would be late. Shift them with --retime now, send them as late with --as-late, or "
            "choose a fresh kafka.prefix."
        )


def _shift(path: Path, columns: ColumnsConfig, limits: Limits) -> int:
    """Find by how much to shift the file so that its last event is now, in milliseconds."""
    latest = 0
    for rows, _ in read_rows(path, columns, limits):
        times = [e.time_ms for e in decode([r.value for r in rows], None, limits).events]
        latest = max([latest, *times])
    if not latest:
        raise ConfigError(f"{path} holds no event whose time could be shifted.")
    return round(time.time() * 1000) - latest
