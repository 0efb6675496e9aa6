"""bytewax: batches decoded and combined in one step, then folded in event-time windows.

A window closes when the input has ended; `--mode event` folds event by event instead, which is
what its documentation shows.
"""

import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

import bytewax.operators as op
import bytewax.operators.windowing as windowed
import numpy as np
import orjson
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.testing import run_main
from confluent_kafka import OFFSET_BEGINNING
from job import (
    BUCKET_SECONDS,
    EDGES,
    FEATURES,
    NAMES,
    Clock,
    bins,
    finish,
    fresh,
    key,
    options,
    sums,
    written,
)

_take = itemgetter(*NAMES)
_ROWS = np.arange(FEATURES)

Partial = tuple[int, np.ndarray]


class Flow:
    """Hold the clock and the settings beside the dataflow's steps."""

    def __init__(self) -> None:
        self.chosen = options()
        self.clock = Clock(self.chosen.events)

    def batch(self, messages: Iterable[Any]) -> list[tuple[str, Partial]]:
        """Decode a batch and combine it by bucket and slice."""
        self.clock.start()
        events = [orjson.loads(m.value) for m in messages if m.value]
        if not events:
            return []
        values = np.array([_take(event["features"]) for event in events])
        places = bins(values)
        found: dict[tuple[str, int], list[int]] = {}
        for row, event in enumerate(events):
            for where in _slices(event):
                found.setdefault((where, _bucket(event)), []).append(row)
        self.clock.count(len(events))
        return [
            (where, (bucket, sums(values[rows], places[rows])))
            for (where, bucket), rows in found.items()
        ]

    def each(self, message: Any) -> list[tuple[str, tuple[int, np.ndarray]]]:
        """Decode one event; give it to each of its slices."""
        self.clock.start()
        if not message.value:
            return []
        event = orjson.loads(message.value)
        x = np.array(_take(event["features"]))
        self.clock.count(1)
        return [(where, (_bucket(event), x)) for where in _slices(event)]


def _slices(event: dict[str, Any]) -> tuple[str, str, str]:
    segments = event["segments"]
    return "all", f"country={segments['country']}", f"device={segments['device']}"


def _bucket(event: dict[str, Any]) -> int:
    seconds = datetime.fromisoformat(event["time"]).timestamp()
    return int(seconds) // BUCKET_SECONDS * BUCKET_SECONDS


def _add(cell: np.ndarray, one: tuple[int, np.ndarray]) -> np.ndarray:
    x = one[1]
    cell[:, 0] += 1
    cell[:, 1] += x
    cell[:, 2] += x * x
    cell[_ROWS, [3 + int(np.searchsorted(EDGES[f], x[f])) for f in range(FEATURES)]] += 1
    return cell


def main() -> None:
    """Run the dataflow on one worker until the topic's end."""
    flow = Flow()
    chosen = flow.chosen
    brokers = [chosen.bootstrap]
    dataflow = Dataflow("peer")
    source = KafkaSource(
        brokers, [chosen.topic], starting_offset=OFFSET_BEGINNING, tail=False, batch_size=5_000
    )
    read = op.input("events", dataflow, source)
    clock = windowed.EventClock(
        ts_getter=lambda one: datetime.fromtimestamp(one[0], UTC),
        wait_for_system_duration=timedelta(seconds=3_600),
    )
    ten = windowed.TumblingWindower(
        align_to=datetime(2023, 1, 1, tzinfo=UTC), length=timedelta(seconds=BUCKET_SECONDS)
    )
    if chosen.mode == "event":
        slices = op.flat_map("slices", read, flow.each)
        add = _add
    else:
        slices = op.flat_map_batch("slices", read, flow.batch)
        add = lambda cell, one: cell + one[1]  # noqa: E731
    steps = (clock, ten, fresh, add, lambda a, b: a + b)
    folded = windowed.fold_window("sums", slices, *steps)
    epoch = math.floor(datetime(2023, 1, 1, tzinfo=UTC).timestamp())

    def message(one: tuple[str, tuple[int, np.ndarray]]) -> KafkaSinkMessage:
        where, (window, cell) = one
        return KafkaSinkMessage(key(where, epoch + window * BUCKET_SECONDS), written(cell))

    op.output("out", op.map("write", folded.down, message), KafkaSink(brokers, chosen.output))
    run_main(dataflow)
    finish(chosen.result, flow.clock.measured())


if __name__ == "__main__":
    main()
