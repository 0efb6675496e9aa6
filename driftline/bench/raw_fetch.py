"""Fetch record batches over a bare socket: one partition after another, one request ahead.

No group, no client library: Kafka's Fetch request (version 4) against one local broker.  While
a response is being worked on, the broker already answers the next request.
"""

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple, Self

from detectors.errors import ServiceUnreachable
from stream.record_batches import split

__all__ = ["Fetched", "RawFetch"]

_FETCH, _VERSION = 1, 4
_WAIT_MS, _BYTES_MIN = 100, 1
_RECEIVE_BYTES = 8 << 20
# Correlation, throttle time, number of topics.
_PREFIX = struct.Struct(">iii")
# Partition, error, high watermark, last stable offset, number of aborted transactions.
_PARTITION = struct.Struct(">ihqqi")


class Fetched(NamedTuple):
    """Hold one response: the partition, the offset asked for, and the bytes of its batches."""

    partition: int
    offset: int
    content: bytes


class RawFetch:
    """Read a topic from its start to its present end."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, bytes_max: int) -> None:
        """Connect to the broker, which leads every partition."""
        host, _, port = bootstrap.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=30.0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        self._topic = topic.encode()
        self._bytes_max = bytes_max
        self._next = dict.fromkeys(range(partitions), 0)

    def __enter__(self) -> Self:
        """Use in a `with` block, which disconnects."""
        return self

    def __exit__(self, *_: object) -> None:
        """Disconnect."""
        self._socket.close()

    def __iter__(self) -> Iterator[Fetched]:
        """Give responses, round the partitions, until each has been read to its end.

        Raises
        ------
        ServiceUnreachable
            If the broker refuses, or hangs up.
        """
        waiting = list(self._next)
        asked = self._ask(waiting[0])
        while True:
            partition, offset = asked
            content, high_watermark = self._receive()
            self._next[partition] = max((b.next_offset for b in split(content)), default=offset)
            waiting.remove(partition)
            if self._next[partition] < high_watermark:
                waiting.append(partition)
            if waiting:
                asked = self._ask(waiting[0])
            yield Fetched(partition, offset, content)
            if not waiting:
                return

    def _ask(self, partition: int) -> tuple[int, int]:
        offset = self._next[partition]
        name = struct.pack(">h", len(self._topic)) + self._topic
        header = struct.pack(">hhih", _FETCH, _VERSION, partition, 5) + b"bench"
        body = struct.pack(">iiiib", -1, _WAIT_MS, _BYTES_MIN, self._bytes_max, 0)
        wanted = struct.pack(">iiqi", 1, partition, offset, self._bytes_max)
        request = header + body + struct.pack(">i", 1) + name + wanted
        self._socket.sendall(struct.pack(">i", len(request)) + request)
        return partition, offset

    def _receive(self) -> tuple[bytes, int]:
        """Receive one response; give its batches and the partition's end."""
        (length,) = struct.unpack(">i", self._exactly(4))
        response = self._exactly(length)
        at = _PREFIX.size
        (name,) = struct.unpack_from(">h", response, at)
        at += 2 + name + 4
        _, error, high_watermark, _, aborted = _PARTITION.unpack_from(response, at)
        if error:
            raise ServiceUnreachable(f"The broker refused a fetch with error {error}.")
        at += _PARTITION.size + 16 * max(aborted, 0)
        (size,) = struct.unpack_from(">i", response, at)
        return bytes(response[at + 4 : at + 4 + max(size, 0)]), high_watermark

    def _exactly(self, count: int) -> memoryview:
        buffer = memoryview(bytearray(count))
        at = 0
        while at < count:
            received = self._socket.recv_into(buffer[at:])
            if not received:
                raise ServiceUnreachable("The broker hung up in the middle of a fetch.")
            at += received
        return buffer
