"""Arrow messages to columns by the profiles in force; rows in doubt become JSON events first.

So what is plain takes no Python object for a row, and what is not is decided where every JSON
event is.
"""

import json
import math
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.events import Event, Limits
from detectors.observe import Scanned
from detectors.panes import FOREVER
from detectors.profile import Profile, ProfileBook
from stream.decode.arrow.columns import SheetExtractor
from stream.decode.arrow.quick import QuickReader
from stream.decode.arrow.sheet import Sheet, sheets
from stream.decode.json_events import decode

__all__ = ["ArrowReader", "Message"]

Rows = NDArray[np.int64]

# Rows of more models than that in one message are left to the slow way.
_MODELS_MAX: Final = 16
_AT_ONCE: Final = 256
_BYTES_MAX: Final = 16 * 2**20
# JSON has no infinity, but numbers that are too large.
_TOO_LARGE: Final = 10**400
_NOTHING: Final = np.empty(0, np.int64)


class Message(NamedTuple):
    """Hold what a message of n rows came to: each row is scanned, an event, or a reject."""

    rows: int
    scanned: list[Scanned]
    events: list[Event]
    event_rows: Rows
    reject_rows: Rows
    reject_codes: list[str]


class ArrowReader:
    """Read the Arrow messages of one log."""

    def __init__(self, book: ProfileBook, limits: Limits) -> None:
        """Read by the profiles of `book`, as it is when a message comes."""
        self._book = book
        self._limits = limits
        # A row was bounded with its message; a rare row may be longer than an event's bytes.
        self._row_limits = msgspec.structs.replace(limits, event_bytes=_BYTES_MAX)
        self._extractors: dict[str, tuple[Profile, SheetExtractor]] = {}
        self._schema: bytes | None = None
        self.quick = QuickReader(book, limits)

    def read(self, value: bytes, record_ms: int | None) -> Message:
        """Read one message; `record_ms` is what its rows' times are held against.

        Raises
        ------
        RejectedError
            If the message as a whole is no events.
        """
        ahead_ms = self._limits.max_future_seconds * 1000
        latest_ms = FOREVER if record_ms is None else record_ms + ahead_ms
        scanned = self.quick.read(value, latest_ms)
        if scanned is not None:
            return Message(len(scanned.rows), [scanned], [], _NOTHING, _NOTHING, [])
        found = self.read_slowly(value, record_ms)
        self.quick.learn(value)
        return found

    def read_slowly(self, value: bytes, record_ms: int | None) -> Message:
        """Do what `read` does, in the way that decides where the quick one is in doubt."""
        pages, self._schema = sheets(value, self._limits, self._schema)
        found = Message(0, [], [], _NOTHING, _NOTHING, [])
        for sheet in pages:
            found = self._append(found, sheet, record_ms)
        return found

    def _append(self, before: Message, sheet: Sheet, record_ms: int | None) -> Message:
        """Read one batch of a message."""
        if record_ms is not None:
            latest_ms = record_ms + self._limits.max_future_seconds * 1000
            sheet.doubtful |= sheet.times_ms > latest_ms
        first = before.rows
        settled = np.zeros(len(sheet), np.bool_)
        scanned = []
        for profile, rows in self._by_profile(sheet):
            settled[rows] = True
            scanned.append(self._extractor(profile).scanned(sheet, rows, first))
        left = np.flatnonzero(~settled)
        events, event_rows, reject_rows, codes = list(before.events), [], [], []
        for at in range(0, len(left), _AT_ONCE):
            rows = left[at : at + _AT_ONCE]
            times = None if record_ms is None else np.full(len(rows), record_ms, np.int64)
            found = decode(_as_json(sheet, rows), times, self._row_limits)
            events += found.events
            event_rows.append(rows[found.rows] + first)
            reject_rows.append(rows[found.rejected_rows] + first)
            codes += found.reject_codes
        return Message(
            rows=first + len(sheet),
            scanned=before.scanned + scanned,
            events=events,
            event_rows=np.concatenate([before.event_rows, *event_rows]),
            reject_rows=np.concatenate([before.reject_rows, *reject_rows]),
            reject_codes=before.reject_codes + codes,
        )

    def _by_profile(self, sheet: Sheet) -> Iterator[tuple[Profile, Rows]]:
        """Give the plain rows that each profile is in force for."""
        models = sheet.fields["model"].coded
        plain = ~sheet.doubtful
        one = len(models.names) == 1 and bool((models.codes == 0).all())
        counts = np.bincount(models.codes[plain], minlength=len(models.names))
        for code in np.argsort(-counts, kind="stable")[:_MODELS_MAX].tolist():
            mine = plain if one else plain & (models.codes == code)
            known = self._book.in_force(models.names[code]) if counts[code] else ()
            for profile, from_ms, until_ms in known:
                rows = np.flatnonzero(
                    mine & (sheet.times_ms >= from_ms) & (sheet.times_ms < until_ms)
                )
                if len(rows):
                    yield profile, rows

    def _extractor(self, profile: Profile) -> SheetExtractor:
        """Prepare each profile once."""
        held = self._extractors.get(profile.hash)
        if held is None or held[0] is not profile:
            held = self._extractors[profile.hash] = profile, SheetExtractor(profile)
        return held[1]


def _as_json(sheet: Sheet, rows: Rows) -> list[bytes | None]:
    """Write rows as the JSON events that they stand for."""
    return [json.dumps(_plain(row), ensure_ascii=False).encode() for row in sheet.rows(rows)]


def _plain(value: Any) -> Any:
    """Say what JSON has no word for: NaN is missing, and an infinity too large a number."""
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else _TOO_LARGE
    return value
