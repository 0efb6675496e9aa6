"""What people write today: Faust, one event at a time, with river's detectors in the loop.

A program of its own, which the throughput bench starts: it reads a topic's events from the
first, measures itself, writes its result to a file, and leaves the group.
"""

import argparse
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterable
from pathlib import Path

import faust
import orjson
from river import drift

from stream.supervisor import end_with_supervisor

__all__ = ["Detectors", "main"]


class Detectors:
    """Hold river's detectors for every slice and feature that turns up."""

    def __init__(self) -> None:
        self.updates = 0
        self._by_stream = defaultdict(lambda: (drift.ADWIN(), drift.PageHinkley()))

    def take(self, value: bytes) -> None:
        """Update the detectors of each slice that one event belongs to."""
        event = orjson.loads(value)
        segments = event["segments"]
        slices = (("all", ""), *((key, segments[key]) for key in ("country", "device")))
        for where in slices:
            for feature, x in event["features"].items():
                for detector in self._by_stream[where, feature]:
                    detector.update(x)
                    self.updates += 1


def main() -> None:
    """Run the worker until it has seen enough events, or for long enough."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--result", type=Path, required=True)
    options = parser.parse_args()
    end_with_supervisor()
    app = faust.App(
        options.group,
        broker=f"kafka://{options.bootstrap}",
        value_serializer="raw",
        store="memory://",
        topic_partitions=options.partitions,
        web_enabled=False,
    )
    detectors = Detectors()

    async def process(stream: AsyncIterable[bytes]) -> None:
        events, started, cpu, done = 0, 0.0, 0.0, False
        async for value in stream:
            if not value or done:  # a tick of driftline's, or on the way out
                continue
            cpu = cpu or time.process_time()
            started = started or time.perf_counter()
            detectors.take(value)
            events += 1
            seconds = time.perf_counter() - started
            if events == options.events or seconds > options.seconds:
                done = True
                measured = {"events": events, "seconds": seconds}
                measured["cpu_seconds"] = time.process_time() - cpu
                options.result.write_bytes(orjson.dumps(measured, option=orjson.OPT_APPEND_NEWLINE))
                signal.raise_signal(signal.SIGTERM)

    app.agent(app.topic(options.topic), name="naive")(process)
    faust.Worker(app, loglevel="error").execute_from_commandline()


if __name__ == "__main__":
    main()
