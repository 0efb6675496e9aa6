"""Lines of a file, none of them longer than an event may be: a file is as hostile as a topic."""

from collections import deque
from collections.abc import Iterator
from typing import IO, NamedTuple

__all__ = ["Line", "Lines", "Row"]

# Of a table's line, not all goes into the event; some 10 MiB of cells are made of so many bytes.
_BYTES_MIN = 1 << 18


class Row(NamedTuple):
    """Hold one event as bytes, with its record time where the file has one."""

    value: bytes
    record_ms: int | None


class Line(NamedTuple):
    """Hold one line with its end; of one that `is_cut` there was more, which is gone."""

    number: int
    content: bytes
    is_cut: bool


class Lines(Iterator[Line]):
    r"""Read lines of bounded length, and take some back where a row turns out to be none.

    >>> import io
    >>> lines = Lines(io.BytesIO(b"a\nb"), event_bytes=100)
    >>> [line.content for line in lines]
    [b'a\n', b'b']
    """

    def __init__(self, stream: IO[bytes], event_bytes: int) -> None:
        """Cut off what no event of `event_bytes` can need."""
        self.bytes_max = max(event_bytes + 1, _BYTES_MIN)
        self._stream = stream
        self._number = 0
        self._again: deque[Line] = deque()

    def __next__(self) -> Line:
        """Give the next line; the rest of one that is too long is passed over."""
        if self._again:
            return self._again.popleft()
        content = self._stream.readline(self.bytes_max)
        if not content:
            raise StopIteration
        self._number += 1
        is_cut = False
        if len(content) == self.bytes_max and not content.endswith(b"\n"):
            while (more := self._stream.readline(self.bytes_max)) and not more.endswith(b"\n"):
                is_cut = True
            is_cut = is_cut or bool(more)
        return Line(self._number, content, is_cut)

    def take_back(self, lines: list[Line]) -> None:
        """Give these lines again before any other."""
        self._again.extendleft(reversed(lines))
