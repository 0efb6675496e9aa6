"""Emit events at a rate, each with the time of now; some time after the start, they drift.

A program of its own, which the latency bench starts.  Feature after feature moves by one
standard deviation, so that alerts come one after another.
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from detectors.alert import instant
from driftline.bench.events import FEATURES, events
from stream.connection import Connection
from stream.emitting import BatchProducer
from stream.supervisor import end_with_supervisor

__all__ = ["drifting", "main", "timed"]

_POOL = 5_000
_TICK_SECONDS = 0.01
_MARK = b"2024-01-01T00:00:00Z"


def drifting(pool: Sequence[bytes], features: int) -> list[tuple[bytes, bytes]]:
    """Shift the first so many features of each event by one sd; split it around its time."""
    found = []
    for content in pool:
        event = orjson.loads(content)
        for scale, name in enumerate(FEATURES[:features], start=1):
            event["features"][name] += scale
        event["time"] = _MARK.decode()
        before, _, after = orjson.dumps(event).partition(_MARK)
        found.append((before, after))
    return found


def timed(parts: Sequence[tuple[bytes, bytes]], time_ms: int) -> list[bytes]:
    """Put one time into events.

    >>> timed([(b"<", b">")], 0)
    [b'<1970-01-01T00:00:00Z>']
    """
    text = instant(time_ms).encode()
    return [before + text + after for before, after in parts]


async def _emit(options: argparse.Namespace) -> dict[str, float]:
    """Emit until the time is over; give when it began and ended, and how many were sent."""
    pool = [content for chunk in events(_POOL, options.seed) for content in chunk]
    pools = [drifting(pool, features) for features in range(len(FEATURES) + 1)]
    step = (options.seconds - options.quiet) / (len(FEATURES) + 1)
    connection = Connection(options.bootstrap)
    async with BatchProducer(connection, options.topic, options.partitions) as producer:
        started, sent = time.time(), 0
        while (passed := time.time() - started) < options.seconds:
            drifted = max(0, min(len(FEATURES), int((passed - options.quiet) / step) + 1))
            due = int(passed * options.rate) - sent
            while due > 0:
                first = sent % _POOL
                parts = pools[drifted if passed > options.quiet else 0][first : first + due]
                await producer.send(timed(parts, int(time.time() * 1000)))
                sent += len(parts)
                due -= len(parts)
            await asyncio.sleep(_TICK_SECONDS)
        return {"events": sent, "started": started, "ended": time.time()}


def main() -> None:
    """Emit, and write the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--quiet", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--result", type=Path, required=True)
    options = parser.parse_args()
    end_with_supervisor()
    emitted = asyncio.run(_emit(options))
    options.result.write_bytes(orjson.dumps(emitted, option=orjson.OPT_APPEND_NEWLINE))


if __name__ == "__main__":
    main()
