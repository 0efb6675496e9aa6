"""Pathway: a Python step makes each event's cell, tumbling windows by slice add the arrays up.

What it writes is the final state of each window, sent when all events have been seen.
"""

import os
from typing import Any

import numpy as np
import orjson
import pathway as pw
from confluent_kafka import Producer
from job import BUCKET_SECONDS, NAMES, Clock, bins, finish, key, options, sums, written


def main() -> None:
    """Run on one thread until the windows hold every event."""
    os.environ["PATHWAY_THREADS"] = "1"
    chosen = options()
    clock = Clock(chosen.events)
    settings = {
        "bootstrap.servers": chosen.bootstrap,
        "group.id": f"{chosen.output}.group",
        "auto.offset.reset": "earliest",
    }

    def read(content: bytes) -> tuple[int, tuple[str, ...], np.ndarray]:
        clock.start()
        event = orjson.loads(content)
        values = np.array([[event["features"][name] for name in NAMES]])
        seconds = int(np.datetime64(event["time"][:-1], "s").astype(np.int64))
        segments = event["segments"]
        named = ("all", f"country={segments['country']}", f"device={segments['device']}")
        bucket = seconds // BUCKET_SECONDS * BUCKET_SECONDS
        return bucket, named, sums(values, bins(values)).ravel()

    found: dict[tuple[str, int], np.ndarray] = {}

    def changed(key: Any, row: dict[str, Any], time: int, is_addition: bool) -> None:  # noqa: ARG001
        if is_addition:
            found[row["named"], row["bucket"]] = row["cell"]

    def settled(time: int) -> None:  # noqa: ARG001
        clock.seen = int(sum(cell[0] for (where, _), cell in found.items() if where == "all"))
        if clock.seen == clock.wanted:
            measured = clock.measured()
            producer = Producer({"bootstrap.servers": chosen.bootstrap})
            for (where, bucket), cell in found.items():
                producer.produce(chosen.output, written(cell), key(where, bucket))
            producer.flush()
            finish(chosen.result, measured)

    raw = pw.io.kafka.read(settings, chosen.topic, format="raw", autocommit_duration_ms=1_000)
    events = raw.filter(pw.this.data != b"").select(one=pw.apply(read, pw.this.data))
    parts = events.select(
        bucket=pw.apply_with_type(lambda one: one[0], int, pw.this.one),
        named=pw.apply_with_type(lambda one: one[1], tuple[str, ...], pw.this.one),
        cell=pw.apply_with_type(lambda one: one[2], np.ndarray, pw.this.one),
    )
    windows = (
        parts.flatten(pw.this.named)
        .groupby(pw.this.named, pw.this.bucket)
        .reduce(pw.this.named, pw.this.bucket, cell=pw.reducers.sum(pw.this.cell))
    )
    pw.io.subscribe(windows, on_change=changed, on_time_end=settled)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)


if __name__ == "__main__":
    main()
