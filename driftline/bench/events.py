"""The events of the benches: seeded, in the native format, about 420 bytes each."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import orjson

__all__ = [
    "COUNTRIES",
    "DEVICES",
    "FEATURES",
    "MODEL",
    "START",
    "Shape",
    "events",
]

MODEL = "bench"
FEATURES = tuple(f"f{i}" for i in range(10))
COUNTRIES = ("DE", "FR", "GB", "US")
DEVICES = ("android", "ios", "web")
START = datetime(2024, 1, 1, tzinfo=UTC)
_CHUNK = 10_000


class Shape(NamedTuple):
    """Say how wide an event is: its numbers, and how many stores a third segment names."""

    features: int = len(FEATURES)
    stores: int = 0


_USUAL = Shape()


def events(
    count: int,
    seed: int,
    *,
    start: datetime = START,
    events_per_second: int = 1_000,
    shape: Shape = _USUAL,
) -> Iterator[list[bytes]]:
    """Give `count` events in chunks: the same bytes for the same arguments.

    Ten numbers of different scales, a prediction, and a country and a device, so that each
    event belongs to three slices: all, its country, its device.  Nothing drifts.

    >>> chunk = next(events(1, seed=7))
    >>> sorted(orjson.loads(chunk[0]))
    ['features', 'id', 'model', 'prediction', 'segments', 'time']
    """
    names = [f"f{i}" for i in range(shape.features)]
    for first in range(0, count, _CHUNK):
        n = min(_CHUNK, count - first)
        draw = np.random.default_rng((seed, first))
        numbers = draw.normal(0.0, 1.0, (n, len(names))) * np.arange(1, len(names) + 1)
        scores = draw.beta(2.0, 5.0, n).tolist()
        segments = _segments(draw, n, shape.stores)
        yield [
            orjson.dumps(
                {
                    "id": f"bench-{first + i:012}",
                    "time": start + timedelta(milliseconds=(first + i) * 1000 // events_per_second),
                    "model": MODEL,
                    "features": dict(zip(names, row, strict=True)),
                    "prediction": scores[i],
                    "segments": segments[i],
                },
                option=orjson.OPT_UTC_Z,
            )
            for i, row in enumerate(numbers.tolist())
        ]


def _segments(draw: np.random.Generator, n: int, stores: int) -> list[dict[str, Any]]:
    """Draw the segments of n events."""
    countries = draw.choice(len(COUNTRIES), n, p=(0.4, 0.3, 0.2, 0.1)).tolist()
    devices = draw.choice(len(DEVICES), n, p=(0.5, 0.3, 0.2)).tolist()
    if stores:
        return [{"store": f"s{k:04}"} for k in draw.integers(0, stores, n).tolist()]
    pairs = zip(countries, devices, strict=True)
    return [{"country": COUNTRIES[c], "device": DEVICES[d]} for c, d in pairs]
