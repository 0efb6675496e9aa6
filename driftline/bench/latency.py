"""From an event to the alert that it makes, at 2,000 and 50,000 events a second.

A worker with bucket, lateness and pane of 1 s takes events that are emitted with the time of
now, and whose features shift one after another; a consumer notes when it sees each record. The
worker is pinned to one core; emitter, broker and consumer are not.

    alert    seen, less the end of the block that made it, less lateness and pane: what is left
             is transport, decoding, judging, publishing. An event waits at most a bucket for the
             end of its block, then lateness, then a pane; so `emit -> alert` is at most bucket +
             lateness + pane + this. (It can be negative: few wait for a whole pane.)
    metric   the same for the metrics, which every block of every stream publishes
    summary  seen, less the end of the pane that it summarises
    joining  the same of summaries, in the first 5 s after the worker took its partitions

Alerts of one block come together: `alert blocks` says how many independent moments there were.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import NamedTuple

import msgspec
import numpy as np
from aiokafka import TopicPartition

from detectors.errors import DriftlineError
from detectors.panes import decode_part
from driftline.bench.options import Options
from driftline.bench.place import Place, Wanted, place
from driftline.bench.processes import python, running
from driftline.bench.results import Result, Told
from driftline.bench.workers import started_worker
from stream.connection import connection_of

__all__ = ["Seen", "quantiles", "run"]

_RATES = (2_000, 50_000)
_JOINING_SECONDS = 5.0
_AFTER_SECONDS = 4.0
_START_SECONDS = 120.0
_ENVIRON = {
    "DRIFTLINE_TIME_PRESET": "realtime",
    "DRIFTLINE_TIME_BLOCK_SECONDS": "1",
    # Ten minutes of reference are enough here: what counts is when alerts come, not which.
    "DRIFTLINE_DETECT_LEARN_DAYS": "0.001",
    "DRIFTLINE_DETECT_LEARN_BLOCKS": "100",
}


class Seen(NamedTuple):
    """Hold what one run saw: milliseconds beyond what must be waited, by kind."""

    alert: list[float]
    metric: list[float]
    summary: list[float]
    joining: list[float]


class _Emitted(msgspec.Struct):
    """Hold what the emission wrote."""

    events: int
    started: float
    ended: float


class _Alert(msgspec.Struct):
    """Take the one field that is needed out of an alert."""

    time: datetime


class _Published(msgspec.Struct):
    """Take the alert out of its record."""

    alert: _Alert


class _Block(msgspec.Struct):
    end: datetime


class _Metric(msgspec.Struct):
    """Take the end of its block out of a metric; the budget's has none."""

    block: _Block | None = None


def run(options: Options, told: Told) -> Result:
    """Measure each rate in each round, a fresh worker and topic each time."""
    figures: dict[str, float] = {}
    for rate in _RATES:
        runs, blocks = [], 0
        for number in range(1, options.rounds + 1):
            told.progress(f"Round {number} of {options.rounds}: {rate:,} events/s")
            seen, alerted = _once(options, rate, told)
            runs.append(seen)
            blocks += alerted
            told.line(f"round {number}, {rate:,}/s: {_line(seen)}")
        together = Seen(*(list(chain.from_iterable(lists)) for lists in zip(*runs, strict=True)))
        figures |= {f"{rate:,}/s: {name}": value for name, value in quantiles(together).items()}
        figures[f"{rate:,}/s: alert blocks"] = float(blocks)
        # The target is about alerts.
        figures[f"{rate:,}/s: p99 ms beyond"] = figures[f"{rate:,}/s: alert p99 ms"]
    return Result(
        bench="latency", says=__doc__.partition("\n\n")[2].strip(), unit="ms", figures=figures
    )


def quantiles(seen: Seen) -> dict[str, float]:
    """Give median, 95th and 99th percentile and count of each kind that was seen."""
    found = {}
    for kind, values in seen._asdict().items():
        if values:
            for q in (50, 95, 99):
                found[f"{kind} p{q} ms"] = float(np.percentile(values, q))
            found[f"{kind} max ms"] = max(values)
        found[f"{kind} records"] = float(len(values))
    return found


def _line(seen: Seen) -> str:
    pairs = seen._asdict().items()
    return ", ".join(
        f"{kind} p50 {np.percentile(v, 50):,.0f} p99 {np.percentile(v, 99):,.0f} ms ({len(v)})"
        for kind, v in pairs
        if v
    )


def _once(options: Options, rate: int, told: Told) -> tuple[Seen, int]:
    """Run a worker on a fresh topic while events come; give what was seen, as `_sorted_out`."""
    wanted = Wanted(0, options.seed, config_path=options.config_path, environ=_ENVIRON)
    seconds = float(options.of(36, 15))
    with place(wanted, options.bootstrap, told) as where:
        where.prepare()
        with started_worker(where, None, 1) as (judge, (observe,)):
            observe.logged("assigned", _START_SECONDS)
            result = where.bench.directory / "emission.json"
            command = _emission(where, rate, seconds, options.seed)
            unpinned = where.bench._replace(core=None)
            with running(unpinned, "emission", [*command, "--result", str(result)]) as emission:
                seen = asyncio.run(_watched(where, seconds + _AFTER_SECONDS))
                line = emission.result(result, _START_SECONDS)
            judge.check_alive()
            observe.check_alive()
    emitted = msgspec.json.decode(line, type=_Emitted)
    if emitted.events < 0.9 * rate * seconds:
        raise DriftlineError(
            f"Only {emitted.events / seconds:,.0f} of {rate:,} events a second were emitted: "
            "the machine is too slow for this, or too busy."
        )
    return _sorted_out(where, seen, emitted)


def _emission(where: Place, rate: int, seconds: float, seed: int) -> list[str]:
    options = {
        "bootstrap": where.config.kafka.bootstrap,
        "topic": where.log.names.events,
        "partitions": where.config.kafka.events_partitions,
        "rate": rate,
        "seconds": seconds,
        "quiet": seconds / 4,
        "seed": seed,
    }
    return python("driftline.bench.emission", *(f"--{k}={v}" for k, v in options.items()))


_Records = Mapping[str, list[tuple[float, bytes]]]


async def _watched(where: Place, seconds: float) -> _Records:
    """Read alerts, metrics and summaries as they come; give when each was seen, and its value."""
    names, partitions = where.log.names, where.config.kafka.summaries_partitions
    topics = {names.alerts: 1, names.metrics: partitions, names.summaries: partitions}
    seen: dict[str, list[tuple[float, bytes]]] = {topic: [] for topic in topics}
    consumer = await connection_of(where.config.kafka).consumer()
    try:
        consumer.assign([TopicPartition(t, p) for t, count in topics.items() for p in range(count)])
        await consumer.seek_to_beginning()
        deadline: float | None = None
        while deadline is None or time.monotonic() < deadline:
            for tp, records in (await consumer.getmany(timeout_ms=50)).items():
                now = time.time()
                seen[tp.topic] += [(now, record.value) for record in records]
            if deadline is None and seen[names.summaries]:
                deadline = time.monotonic() + seconds
    finally:
        await consumer.stop()
    return seen


def _sorted_out(where: Place, seen: _Records, emitted: _Emitted) -> tuple[Seen, int]:
    """Take what must be waited for off, and leave out what only the end of the input made.

    The count is of the blocks that made the alerts: those of one block come together.
    """
    names, config = where.log.names, where.config.time
    waited = config.lateness_seconds + config.pane_seconds
    last = emitted.ended - waited - 1.0
    ends = [
        (at, msgspec.json.decode(value, type=_Published).alert.time.timestamp())
        for at, value in seen[names.alerts]
    ]
    metrics = ((at, msgspec.json.decode(v, type=_Metric).block) for at, v in seen[names.metrics])
    blocks = [(at, block.end.timestamp()) for at, block in metrics if block is not None]
    panes = [
        (at, decode_part(value).header.number * config.pane_seconds)
        for at, value in seen[names.summaries]
    ]
    live = [(at, end) for at, end in panes if emitted.started + 1 < end < last]
    first = emitted.started + _JOINING_SECONDS
    found = Seen(
        _beyond(ends, waited, last),
        _beyond(blocks, waited, last),
        [(at - end) * 1e3 for at, end in live if end > first],
        [(at - end) * 1e3 for at, end in live if end <= first],
    )
    return found, len({end for _, end in ends if end < last})


def _beyond(seen: Sequence[tuple[float, float]], waited: float, last: float) -> list[float]:
    return [(at - end - waited) * 1e3 for at, end in seen if end < last]
