"""What an undisturbed run over the same log gives, and how a disturbed one differs from it."""

from collections.abc import Iterator, Mapping

import orjson

from detectors.alert import Alert, Incident, Metric, encode
from detectors.monitor import MonitorState
from detectors.observe import Observer
from detectors.panes import Clock
from simulation.clock import VirtualLoop
from simulation.cluster import Host, SimulatedConnection
from simulation.world import CONFIG, NAMES, Outcome
from stream.batching import batch_of
from stream.checkpoint import pack
from stream.control import Control
from stream.judging import Judging

__all__ = ["differences"]

Published = Mapping[str, dict[str, bytes]]


def differences(outcome: Outcome) -> list[str]:
    """Name every difference between what was published and an undisturbed run; none is right."""
    try:
        live = _published(outcome)
    except ValueError as error:
        return [str(error)]
    judging, expected = _undisturbed(outcome)
    found = []
    if outcome.lag_panes > 1:
        found.append(f"the run did not come to rest: {outcome.lag_panes} panes behind")
    for kind, told in expected.items():
        if not told:
            found.append(f"0 {kind} compared")
        for key in sorted({*told, *live[kind]}):
            if told.get(key) != live[kind].get(key):
                what = "missing" if key not in live[kind] else "too many"
                found.append(
                    f"{kind} {key}: {'other bytes' if key in told and key in live[kind] else what}"
                )
    found += _states(outcome.states, judging.states())
    totals = judging.totals
    unjudged = totals.accepted - totals.judged - totals.late - totals.unprofiled.total()
    if unjudged < 0:
        found.append(f"{-unjudged} events were judged twice")
    return found


def _published(outcome: Outcome) -> Published:
    """Give the records by kind and key; a key that came twice came with the same bytes."""
    found: dict[str, dict[str, bytes]] = {
        "alerts": {},
        "incidents": {},
        "metrics": {},
        "rejects": {},
    }
    for topic in (NAMES.alerts, NAMES.incidents, NAMES.metrics, NAMES.rejects):
        kind = topic.rpartition(".")[2]
        for record in outcome.records(topic):
            key, value = (record.key or b"").decode(), record.value or b""
            if kind == "metrics":
                key = _metric_key(value)
            if kind == "rejects":
                value = b""
            if kind == "alerts":
                value = orjson.dumps(orjson.loads(value)["alert"])
            if found[kind].setdefault(key, value) != value:
                raise ValueError(f"{kind} {key} was published with two different contents")
    return found


def _metric_key(value: bytes) -> str:
    told = orjson.loads(value)
    return f"{told['model']} {told['channel']} {told['slice']} {told['block']['end']}"


def _undisturbed(outcome: Outcome) -> tuple[Judging, Published]:
    """Observe and judge the log in one go."""
    loop = VirtualLoop()
    control = Control(SimulatedConnection(Host(outcome.cluster)), NAMES.control)
    try:
        loop.run_until_complete(control.start())
    finally:
        loop.close()
    partitions = CONFIG.kafka.events_partitions
    judging = Judging(control.book, control.epochs, CONFIG.kafka.summaries_partitions)
    applied = {
        number: {(s.topic, s.partition): s.next for s in state.sources}
        for number, state in enumerate(outcome.states)
    }
    found: dict[str, dict[str, bytes]] = {
        "alerts": {},
        "incidents": {},
        "metrics": {},
        "rejects": {},
    }
    records = outcome.records(NAMES.events)
    for partition in range(partitions):
        mine = [r for r in records if r.partition == partition]
        source = (NAMES.events, partition, partitions)
        observer = Observer(source, control.book, CONFIG.time.pane_seconds * 1000)
        observer.start(0, Clock())
        batch = batch_of(mine, CONFIG)
        for row in batch.reject_rows.tolist():
            if mine[row].offset < applied[0].get((NAMES.events, partition), 0):
                found["rejects"][f"{NAMES.events}/{partition}/{mine[row].offset}"] = b""
        for pane in observer.feed(batch):
            for effect in judging.take(pane, applied):
                kind, key = _key(effect)
                found[kind][key] = encode(effect)
    return judging, found


def _key(effect: Alert | Incident | Metric) -> tuple[str, str]:
    if isinstance(effect, Metric):
        return "metrics", _metric_key(encode(effect))
    return ("alerts" if isinstance(effect, Alert) else "incidents"), effect.key


def _states(live: list[MonitorState], expected: list[MonitorState]) -> Iterator[str]:
    """Compare the judges' states, chunk by chunk."""
    if len(live) != len(expected):
        yield f"{len(live)} snapshots for {len(expected)} partitions"
        return
    for number, (ours, theirs) in enumerate(zip(live, expected, strict=True)):
        if pack(ours.sources) != pack(theirs.sources):
            yield f"summaries partition {number}: another order"
        for name in sorted({*ours.models, *theirs.models}):
            if name not in ours.models or name not in theirs.models:
                yield f"summaries partition {number}: model {name} is in one only"
            elif pack(ours.models[name]) != pack(theirs.models[name]):
                yield f"summaries partition {number}: another state of {name}"
