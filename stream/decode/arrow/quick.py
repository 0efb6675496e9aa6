"""Messages of one model whose every row is plain: from their bytes to columns, without pyarrow.

What is given here is what the slow way would give; in any doubt nothing is given, for the whole
message.  A schema is taken from the slow way once that has read events of it.
"""

import contextlib
import struct
from typing import Final

from detectors.events import Limits
from detectors.observe import Scanned
from detectors.profile import ProfileBook
from stream.decode.arrow.body import bodies_of, body_of, schema_frame
from stream.decode.arrow.leaves import leaves_of
from stream.decode.arrow.page import Page, Schema

__all__ = ["QuickReader"]

_SCHEMAS_MAX: Final = 16
_CELLS_MAX: Final = 1 << 21


class QuickReader:
    """Read the plain Arrow messages of one log."""

    def __init__(self, book: ProfileBook, limits: Limits) -> None:
        """Read by the profiles of `book`, as it is when a message comes."""
        self._book = book
        self._limits = limits
        self._schemas: dict[bytes, Schema | None] = {}

    def learn(self, value: bytes) -> None:
        """Take the schema of a message that the slow way has read events of, and its structures."""
        schema = schema_frame(value)
        if schema not in self._schemas:
            if len(self._schemas) >= _SCHEMAS_MAX:
                self._schemas.clear()
            leaves = leaves_of(schema)
            self._schemas[schema] = None if leaves is None else Schema(leaves)
        known = self._schemas[schema]
        with contextlib.suppress(struct.error):  # it need not be one that is read here
            if known is not None and (bodies := bodies_of(value, schema)):
                known.verified.take(bodies.frames)

    def read(self, value: bytes, latest_ms: int) -> Scanned | None:
        """Give the rows of a message, none later than `latest_ms`; None in any doubt."""
        if len(value) % 8 or len(value) > self._limits.arrow_bytes:
            return None
        try:
            frame = schema_frame(value)
            schema = self._schemas.get(frame)
            found = None if schema is None else bodies_of(value, frame)
            if schema is None or found is None or not schema.verified.holds(found.frames):
                return None
            body = body_of(found.batch, schema.leaves, self._limits.arrow_rows)
            if body is None or body.rows * len(schema.leaves.all) > _CELLS_MAX:
                return None
            page = Page(value, schema, body, self._limits)
            return page.scanned(found.dictionaries, self._book, latest_ms)
        except (struct.error, UnicodeDecodeError):
            return None
