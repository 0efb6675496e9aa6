"""Decoding alone: the same events through every decoder.

In one process; a rate is events in a second of processor time.

typed     the typed decoder of the record path: bytes to checked events
arrow     Arrow messages of the same events, 1,000 or 10,000 in each
strict    the strict decoder, which decides what the others leave in doubt
orjson    orjson.loads of each event: an unchecked dictionary, nothing taken out of it
msgspec   a struct of only the needed fields, unchecked otherwise
"""

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
import orjson

from detectors.events import Limits
from detectors.profile import ProfileBook
from driftline.bench.events import FEATURES, events
from driftline.bench.options import Options
from driftline.bench.place import Wanted, fitted
from driftline.bench.results import Ratio, Result, Told, interleaved
from stream.config import Config
from stream.decode.json_events import decode
from stream.decode.scan.scanner import Scanner
from stream.decode.strict import decode_strict
from stream.packing import packed
from stream.records import Records

__all__ = ["Batch", "arrow", "contenders", "run"]

_BATCH = 2_000
_ARROW_ROWS = (1_000, 10_000)
_T = TypeVar("_T")


class Batch(NamedTuple):
    """Hold some events, one by one and in one buffer, as a fetch brings them."""

    values: Sequence[bytes]
    records: Records


def run(options: Options, told: Told) -> Result:
    """Let every decoder take the same batches in each round."""
    values = [value for chunk in events(options.events, options.seed) for value in chunk]
    parts = [values[i : i + _BATCH] for i in range(0, len(values), _BATCH)]
    batches = [Batch(part, Records.of_values(part)) for part in parts]
    measures = {name: _measure(each, batches) for name, each in contenders().items()}
    for rows in _ARROW_ROWS:
        messages = [Records.of_values([value]) for value in packed(values, rows, Limits())]
        measures[f"arrow {rows:,}"] = _measure(arrow(), messages)
    rounds = tuple(interleaved(measures, options.rounds, told))
    mean_bytes = sum(map(len, values)) / len(values)
    return Result(
        bench="decode",
        says=__doc__.partition("\n\n")[2].strip("\n"),
        unit="events/s",
        rounds=rounds,
        ratios=(
            Ratio("scanner / typed", "scanner", ("typed",)),
            Ratio("scanner / orjson", "scanner", ("orjson",)),
            Ratio("scanner / msgspec", "scanner", ("msgspec",)),
            *(Ratio(f"arrow {n:,} / scanner", f"arrow {n:,}", ("scanner",)) for n in _ARROW_ROWS),
            Ratio("typed / strict", "typed", ("strict",)),
            Ratio("typed / orjson", "typed", ("orjson",)),
        ),
        figures={"bytes an event": mean_bytes},
    )


def contenders() -> dict[str, Callable[[Batch], int]]:
    """Give every decoder as a function of a batch that says how many events it took."""
    limits, scanner, needed = Limits(), _scanner(), _needed()

    def scanned(batch: Batch) -> int:
        rows = np.arange(len(batch.records))
        taken, _ = scanner.scan(batch.records, rows, None)
        return sum(len(piece.rows) for piece in taken)

    return {
        "scanner": scanned,
        "typed": lambda batch: len(decode(batch.values, None, limits).events),
        "strict": lambda batch: len([decode_strict(v, None, limits) for v in batch.values]),
        "orjson": lambda batch: len([orjson.loads(v) for v in batch.values]),
        "msgspec": lambda batch: len([needed(v) for v in batch.values]),
    }


def arrow() -> Callable[[Records], int]:
    """Give a function of one Arrow message that says how many of its rows came as columns."""
    reader = _scanner().arrow

    def read(records: Records) -> int:
        found = reader.read(records.value(0) or b"", None)
        return sum(len(piece.rows) for piece in found.scanned)

    return read


@cache
def _scanner() -> Scanner:
    book = ProfileBook()
    book.add(fitted(Wanted(0), Config()), 0)
    return Scanner(book, Limits())


def _needed() -> Callable[[bytes], Any]:
    """Make a decoder of a struct that has only the fields that the job needs."""
    features = msgspec.defstruct("Features", [(name, float) for name in FEATURES], gc=False)
    segments = msgspec.defstruct("Segments", [("country", str), ("device", str)], gc=False)
    fields = [("time", str), ("model", str), ("features", features), ("segments", segments)]
    event = msgspec.defstruct("Event", [*fields, ("prediction", float)], gc=False)
    return msgspec.json.Decoder(event).decode


def _measure(each: Callable[[_T], int], batches: Sequence[_T]) -> Callable[[], float]:
    each(batches[0])  # compiles

    def measure() -> float:
        started = time.process_time()
        events = sum(each(batch) for batch in batches)
        return events / (time.process_time() - started)

    return measure
