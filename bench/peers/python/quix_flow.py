"""Quix Streams as its documentation has it: expand to slices, group by slice, tumbling windows.

Grouping goes through a topic of its own, state through RocksDB and its changelog.  A window
closes when later events of its slice come; so the last ones stay open, and are not written.
"""

import tempfile
from bisect import bisect_left
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import orjson
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from job import BINS, BUCKET_SECONDS, EDGES, FEATURES, NAMES, Clock, finish, key, options, written
from quixstreams import Application

_EDGES = [edges.tolist() for edges in EDGES]
_STRIDE = 3 + BINS


def _slices(content: bytes) -> list[dict[str, Any]]:
    """Give an event to each of its slices."""
    event = orjson.loads(content)
    time_ms = int(datetime.fromisoformat(event["time"]).timestamp() * 1000)
    values, segments = [event["features"][name] for name in NAMES], event["segments"]
    named = ("all", f"country={segments['country']}", f"device={segments['device']}")
    return [{"slice": where, "time": time_ms, "values": values} for where in named]


def _add(state: dict[str, Any], one: dict[str, Any]) -> dict[str, Any]:
    cell = state["cell"]
    for f, x in enumerate(one["values"]):
        at = f * _STRIDE
        cell[at] += 1
        cell[at + 1] += x
        cell[at + 2] += x * x
        cell[at + 3 + bisect_left(_EDGES[f], x)] += 1
    return state


def main() -> None:
    """Run until every event has been added to its three slices."""
    chosen = options()
    clock = Clock(chosen.events * 3)
    producer = Producer({"bootstrap.servers": chosen.bootstrap})

    def counted(state: dict[str, Any], one: dict[str, Any]) -> dict[str, Any]:
        if clock.count(1):
            app.stop()
        return _add(state, one)

    def begun(one: dict[str, Any]) -> dict[str, Any]:
        return counted({"slice": one["slice"], "cell": [0.0] * (FEATURES * _STRIDE)}, one)

    def started(content: bytes) -> bool:
        clock.start()
        return bool(content)

    def send(window: dict[str, Any]) -> None:
        found = window["value"]
        name = key(found["slice"], window["start"] // 1000)
        producer.produce(chosen.output, written(np.array(found["cell"])), name)
        producer.poll(0)

    with tempfile.TemporaryDirectory() as state:
        app = Application(
            broker_address=chosen.bootstrap,
            consumer_group=f"{chosen.output}.group",
            auto_offset_reset="earliest",
            state_dir=state,
            loglevel="ERROR",
        )
        source = app.topic(chosen.topic, value_deserializer="bytes")
        (
            app.dataframe(source)
            .filter(started)
            .apply(_slices, expand=True)
            .set_timestamp(lambda one, *_: one["time"])
            .group_by("slice")
            .tumbling_window(timedelta(seconds=BUCKET_SECONDS), grace_ms=5_000)
            .reduce(counted, begun)
            .final()
            .update(send)
        )
        app.run()
    producer.flush()
    measured = clock.measured() | {"events": chosen.events}
    admin = AdminClient({"bootstrap.servers": chosen.bootstrap})
    own = [name for name in admin.list_topics().topics if f"__{chosen.output}.group" in name]
    for done in admin.delete_topics(own).values():
        done.result()
    finish(chosen.result, measured)


if __name__ == "__main__":
    main()
