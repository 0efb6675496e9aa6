"""Fetched bytes as `Records` in place of record objects: the one module inside aiokafka's fetcher.

aiokafka makes a Python object of every record, which costs more than all else on an event's
way.  So for a role that takes `Records`, one consumer's fetcher parses with two classes of ours
(aiokafka 0.14.0: `Fetcher._proc_fetch_request` names both, and nothing else does).  Offsets,
markers, aborted transactions and checksums are treated as `PartitionRecords` treats them.
With another aiokafka its record objects are gathered.
"""

# ruff: noqa: SLF001  the private parts of aiokafka are what this module is about

import zlib
from collections.abc import Iterator, Sequence
from gzip import BadGzipFile
from importlib.metadata import version
from types import FunctionType, MethodType
from typing import Any, Literal

import structlog
from aiokafka.consumer.fetcher import READ_COMMITTED, Fetcher, PartitionRecords
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords
from cramjam import DecompressionError

from detectors.errors import ConfigError, StateRefused
from stream.record_batches import MalformedError, RecordBatch, split, walk
from stream.records import Records

__all__ = ["UNREADABLE", "chunks_of", "parses_in_place", "read_in_place", "unreadable"]

_Fetch = Literal["auto", "in-place", "records"]

_AIOKAFKA = "0.14.0"
# What aiokafka's own parsing raises for bytes that it cannot read, from its codecs as well.
UNREADABLE = (
    CorruptRecordException, UnsupportedCodecError,
    DecompressionError, BadGzipFile, EOFError, zlib.error,
)  # fmt: skip

log = structlog.get_logger(__name__)


def parses_in_place(fetch: _Fetch) -> bool:
    """Choose the way to read for the setting `kafka.fetch`.

    Raises
    ------
    ConfigError
        If "in-place" is asked for, and another aiokafka is installed than it was made for.
    """
    installed = version("aiokafka")
    if fetch == "records" or installed == _AIOKAFKA:
        return fetch != "records"
    if fetch == "in-place":
        raise ConfigError(
            f'kafka.fetch is "in-place", which needs aiokafka {_AIOKAFKA}; {installed} is '
            'installed. Install what requirements.lock names, or set kafka.fetch to "auto".'
        )
    log.warning("reading by record objects, several times slower", aiokafka=installed)
    return False


def read_in_place(consumer: Any, chunks_max: int) -> None:
    """Let one started consumer hand out chunks of records, so many at a time at most.

    Its fetcher runs aiokafka's own code, with our classes under the names of aiokafka's.
    """
    code = Fetcher._proc_fetch_request
    ours = {"MemoryRecords": _Content, "PartitionRecords": _Chunks}
    changed = FunctionType(code.__code__, {**code.__globals__, **ours}, code.__name__)
    consumer._fetcher._proc_fetch_request = MethodType(changed, consumer._fetcher)
    consumer._max_poll_records = chunks_max


def chunks_of(drained: Sequence[Any], *, gathered: bool) -> Sequence[Any]:
    """Give what was drained from a partition in chunks: `Records`, or one list of objects."""
    if isinstance(drained[0], Records):
        return drained
    return [Records.of(drained) if gathered else drained]


def unreadable(error: Exception, where: str) -> StateRefused:
    """Word the refusal of a log that cannot be read: reading past it would leave out events."""
    return StateRefused(
        f"{where}: {error} Nothing behind it was read. Look at the log with Kafka's "
        "kafka-dump-log; mend it, or begin anew with another kafka.prefix."
    )


class _Content:
    """Keep the bytes that a fetch brought of one partition; answer as MemoryRecords does."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.has_next = MemoryRecords(content).has_next

    def size_in_bytes(self) -> int:
        return len(self.content)


class _Chunks(PartitionRecords):  # type: ignore[misc]  # aiokafka is untyped
    """Iterate over the chunks of one fetch of a partition, where aiokafka's does over records."""

    _records: Any
    next_fetch_offset: int

    def _unpack_records(self) -> Iterator[Records]:
        content = self._records.content
        try:
            walked = walk(content, self._batches(content), self.next_fetch_offset)
            for records, next_offset in walked:
                self.next_fetch_offset = next_offset
                if len(records):
                    yield records
        except MalformedError as error:
            raise unreadable(error, f"{self._tp.topic}/{self._tp.partition}") from error

    def _batches(self, content: bytes) -> Iterator[tuple[RecordBatch, bool]]:
        for batch in split(content):
            if self._check_crcs and not batch.crc_fits(content):
                raise MalformedError(batch.base_offset, "does not fit its checksum.")
            yield batch, self._skips(batch, content)

    def _skips(self, batch: RecordBatch, content: bytes) -> bool:
        """Tell whether a batch is a marker or, at this isolation level, was aborted."""
        aborted = False
        if self._isolation_level == READ_COMMITTED:
            self._consume_aborted_up_to(batch.base_offset)
            if batch.is_control:
                marker = DefaultRecordBatch(content[batch.begin : batch.stop])
                if self._contains_abort_marker(marker):
                    self._aborted_producers.discard(batch.producer_id)
            aborted = batch.is_transactional and batch.producer_id in self._aborted_producers
        return aborted or batch.is_control
