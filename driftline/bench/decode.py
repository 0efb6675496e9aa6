"""Decoding alone: the same events through every decoder.

In one process; a rate is events in a second of processor time.

typed     the typed decoder of the record path: bytes to checked events
strict    the strict decoder, which decides what the others leave in doubt
orjson    orjson.loads of each event: an unchecked dictionary, nothing taken out of it
msgspec   a struct of only the needed fields, unchecked otherwise
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import orjson

from detectors.events import Limits
from driftline.bench.events import FEATURES, events
from driftline.bench.options import Options
from driftline.bench.results import Ratio, Result, Told, interleaved
from stream.decode.json_events import decode
from stream.decode.strict import decode_strict

__all__ = ["contenders", "run"]

_BATCH = 2_000
Values = Sequence[bytes]


def run(options: Options, told: Told) -> Result:
    """Let every decoder take the same batches in each round."""
    values = [value for chunk in events(options.events, options.seed) for value in chunk]
    batches = [values[i : i + _BATCH] for i in range(0, len(values), _BATCH)]
    measures = {name: _measure(each, batches) for name, each in contenders().items()}
    rounds = tuple(interleaved(measures, options.rounds, told))
    mean_bytes = sum(map(len, values)) / len(values)
    return Result(
        bench="decode",
        says=__doc__.partition("\n\n")[2].strip("\n"),
        unit="events/s",
        rounds=rounds,
        ratios=(
            Ratio("typed / strict", "typed", ("strict",)),
            Ratio("typed / orjson", "typed", ("orjson",)),
        ),
        figures={"bytes an event": mean_bytes},
    )


def contenders() -> dict[str, Callable[[Values], Any]]:
    """Give every decoder as a function of a batch of values."""
    limits = Limits()
    needed = _needed()
    return {
        "typed": lambda values: decode(values, None, limits),
        "strict": lambda values: [decode_strict(value, None, limits) for value in values],
        "orjson": lambda values: [orjson.loads(value) for value in values],
        "msgspec": lambda values: [needed(value) for value in values],
    }


def _needed() -> Callable[[bytes], Any]:
    """Make a decoder of a struct that has only the fields that the job needs."""
    features = msgspec.defstruct("Features", [(name, float) for name in FEATURES], gc=False)
    segments = msgspec.defstruct("Segments", [("country", str), ("device", str)], gc=False)
    fields = [("time", str), ("model", str), ("features", features), ("segments", segments)]
    event = msgspec.defstruct("Event", [*fields, ("prediction", float)], gc=False)
    return msgspec.json.Decoder(event).decode


def _measure(each: Callable[[Values], Any], batches: Sequence[Values]) -> Callable[[], float]:
    each(batches[0])  # compiles

    def measure() -> float:
        started = time.process_time()
        for batch in batches:
            each(batch)
        return sum(map(len, batches)) / (time.process_time() - started)

    return measure
