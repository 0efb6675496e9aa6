"""Ask one Kafka broker, in 23 bytes, whether it does its work.

A connection that opens proves little: the port accepts while the broker still reads its log,
and a fenced broker cannot lead a partition.  A broker that lists itself can.
"""

import socket
import struct

__all__ = ["answers"]

_METADATA_KEY, _METADATA_VERSION = 3, 1
_HEADER = struct.Struct(">hhih")  # key, version, correlation id, length of the client id (-1: none)
_NO_TOPICS = struct.pack(">i", 0)
_LISTED = struct.Struct(">iii")  # size, correlation id, number of brokers


def answers(bootstrap: str, timeout_seconds: float = 1.0) -> bool:
    """Tell whether the plaintext broker at `bootstrap` lists at least one broker.

    Source: the Metadata request, version 1, of the Kafka protocol guide.

    >>> answers("127.0.0.1:1")
    False
    """
    host, _, port = bootstrap.rpartition(":")
    request = _HEADER.pack(_METADATA_KEY, _METADATA_VERSION, 1, -1) + _NO_TOPICS
    try:
        with (
            socket.create_connection((host, int(port)), timeout_seconds) as connection,
            connection.makefile("rb") as reply,
        ):
            connection.sendall(struct.pack(">i", len(request)) + request)
            _, _, brokers = _LISTED.unpack(reply.read(_LISTED.size))
    except (OSError, struct.error):
        return False
    return bool(brokers)
