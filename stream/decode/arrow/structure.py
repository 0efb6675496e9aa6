"""The structure of a frame: all of its bytes but the numbers that differ from message to message.

Arrow verifies a frame as a whole before it reads it: every offset, table and alignment.  That does
not depend on the rows, nulls, buffers and lengths that it tells.  So a frame of a structure that
has been verified once needs no second time, and any other one is left to Arrow.
"""

import struct
from typing import Final, NamedTuple

from stream.decode.arrow.frames import Table

__all__ = ["Verified"]

_DICTIONARY: Final = 2
_NUMBER_BYTES: Final = 8
_PAIR_BYTES: Final = 16  # of a node or a buffer
_KNOWN_BYTES_MAX: Final = 1 << 20


class _Structure(NamedTuple):
    """Hold a frame's bytes as one number, and the mask that leaves the structure of it."""

    mask: int
    rest: int


class Verified:
    """Remember the structures of the frames that Arrow has read."""

    def __init__(self) -> None:
        """Know none yet."""
        self._known: dict[int, list[_Structure]] = {}
        self._bytes = 0

    def take(self, frames: list[bytes]) -> None:
        """Remember those of one more message: frames of batches and dictionaries.

        Raises
        ------
        struct.error
            If they are none.
        """
        for frame in frames:
            if self.holds([frame]):
                continue
            if self._bytes + len(frame) > _KNOWN_BYTES_MAX:
                self._known, self._bytes = {}, 0
            mask = _mask(frame)
            structure = _Structure(mask, int.from_bytes(frame, "little") & mask)
            self._known.setdefault(len(frame), []).append(structure)
            self._bytes += len(frame)

    def holds(self, frames: list[bytes]) -> bool:
        """Tell whether the structure of each is known.

        Where the numbers are follows from the structure, so its bytes alone are compared.
        """
        for frame in frames:
            number = int.from_bytes(frame, "little")
            if not any(number & one.mask == one.rest for one in self._known.get(len(frame), ())):
                return False
        return True


def _mask(frame: bytes) -> int:
    """Cover all bytes but the body's length, a dictionary's number, rows, nodes and buffers."""
    message = Table.root(frame)
    header = message.table(2)
    batch = header.table(1) if header and message.number(1, "<B") == _DICTIONARY else header
    if header is None or batch is None:
        raise struct.error
    spans = [
        (at, _NUMBER_BYTES) for at in (message.place(3), header.place(0), batch.place(0)) if at
    ]
    spans += [(at, _PAIR_BYTES * count) for at, count in (batch.vector(1), batch.vector(2))]
    mask = bytearray(b"\xff" * len(frame))
    for at, size in spans:
        if at + size > len(frame):
            raise struct.error
        mask[at : at + size] = bytes(size)
    return int.from_bytes(mask, "little")
