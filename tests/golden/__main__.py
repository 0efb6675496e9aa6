"""Write the golden records of this version: `python -m tests.golden tests/golden/VERSION`.

The log has all that a log may have: ticks, idle minutes that a clock ends, late events, rejects,
models without a profile, a second epoch; and the snapshot is taken where a judge holds all that a
judge may hold.
"""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import orjson
import pyarrow as pa

from detectors.alert import Alert, Incident, Metric, encode
from detectors.epochs import Epochs
from detectors.events import Event
from detectors.fit import fit
from detectors.monitor import Monitor, MonitorState
from detectors.observe import Observer, Pane
from detectors.panes import End, Part
from detectors.policy import Policy
from detectors.profile import Profile, ProfileBook, render
from stream.checkpoint import Checkpoints
from stream.config import Config, semantics_of
from stream.control import ControlRecord, config_record, profile_record, quarantine_record
from stream.feedback import Feedback
from stream.packing import packed
from stream.routing import parts_of
from tests import arrows, logs
from tests.golden.rare import EVERY_KEY, as_after_months, every_field
from tests.golden.records import input_read, sampled
from tests.live import as_json
from tests.logs import START_MS, Record

TOPIC = "driftline.events"
PANE_MS = 60_000
PARTITIONS = 2
EPOCH_MS = START_MS + 600_000
IDLE_MS = START_MS + 6_300_000
# One metric in so many is kept, so that the golden files are small.
EVERY = 37
# So small that a pane has parts.
PART_BYTES = 1_200
SECOND = Config(policy=Policy(alarm_budget="2/week"))
FAR_MS = START_MS + 10**10


def control(profile: Profile) -> list[ControlRecord]:
    """Make a control record of every kind."""
    return [
        profile_record(profile, 0),
        config_record(Config()),
        config_record(SECOND, EPOCH_MS),
        quarantine_record(TOPIC, 1, 17),
        profile_record(every_field(profile), 0),
        config_record(EVERY_KEY, FAR_MS),
    ]


def bare(drawn: Sequence[Event]) -> list[Event]:
    """Leave out what adds no kind of stream, so that the golden files are small."""
    found = []
    for event in drawn:
        features = {name: event.features[name] for name in ("amount", "age", "plan")}
        country = event.segments["country"].replace("US", "FR")
        found.append(
            msgspec.structs.replace(
                event, version=None, features=features, segments={"country": country}
            )
        )
    return found


def log() -> list[list[Record]]:
    """Draw each partition's records."""
    shift = logs.Shift(700, 2.5, "DE", until=900)
    drawn = bare(logs.events(6_600, seed=2, shifts=(shift,)))
    for event in drawn[5_900:6_100]:
        event.features["plan"] = "trial"
    spread = logs.topic(drawn, PARTITIONS, seed=3)
    found = []
    for partition, records in enumerate(spread):
        kept = [r for r in records if not r.tick]
        for i in range(100, len(kept) - 100, 400):
            at = kept[i].record_ms
            kept[i] = Record(at, reject="time_missing")
            kept[i + 1] = Record(at, logs.renamed([drawn[i]], "toys")[0])
            late = msgspec.structs.replace(drawn[i], time_ms=at - 900_000)
            kept[i + 2] = Record(at, late)
            kept[i + 50] = Record(kept[i + 50].record_ms, tick=True)
        if partition:
            kept = [r for r in kept if r.record_ms < IDLE_MS]
        found.append(kept)
    return found


def observed(records: Sequence[Record], observer: Observer, until_ms: int) -> Iterator[Pane]:
    """Observe a partition; a clock ends its panes from its last record on."""
    yield from observer.feed(logs.batch(records, 0))
    for now_ms in range(records[-1].record_ms, until_ms, PANE_MS // 2):
        if (pane := observer.tick(now_ms)) is not None:
            yield pane


def parts(book: ProfileBook) -> tuple[list[Part], Pane]:
    """Give all parts in the order of their panes' numbers, and the last pane."""
    made, last = [], None
    spread = log()
    until_ms = max(records[-1].record_ms for records in spread)
    for partition, records in enumerate(spread):
        observer = Observer((TOPIC, partition, PARTITIONS), book, PANE_MS)
        for pane in observed(records, observer, until_ms):
            made += parts_of(pane, 1)[0]
            last = pane
    assert last is not None
    return sorted(made, key=lambda p: (p.header.number, p.header.partition)), last


def quiet(book: ProfileBook) -> list[Alert | Incident | Metric]:
    """Say what a judge says where two events of three have gone."""
    drawn = bare(logs.events(9_000, seed=5))
    return logs.judged([e for i, e in enumerate(drawn) if i < 2_000 or i % 3 == 0], book)


def holds_all(state: MonitorState) -> bool:
    """Say whether a judge holds all that it may."""
    sources, models = state.sources, state.models.values()
    return (
        any(source.incomplete for source in sources)
        and any(source.uncrossed for source in sources)
        and any(source.waiting for source in sources)
        and any(model.incidents and model.pending and model.counts.late for model in models)
    )


def state_records(offset: int, state: MonitorState) -> list[bytes]:
    """Write a snapshot to records; keys and values take turns."""
    held: list[bytes] = []

    class Shelf:
        async def send(self, _topic: str, key: bytes, value: bytes, _partition: int) -> None:
            held.extend((key, value))

        async def delivered(self) -> None:
            pass

    checkpoints = Checkpoints(None, "", lambda: "golden")  # type: ignore[arg-type]
    asyncio.run(checkpoints.write(Shelf(), 0, 1, (offset, state)))  # type: ignore[arg-type]
    return held


def inputs() -> tuple[list[bytes], int]:
    """Write an event as JSON, some as Arrow messages, and what is none in both."""
    drawn = logs.events(4, seed=4)
    more = {"attributions": {"amount": 0.5}, "metrics": {"revenue": 12.0}, "weight": 4}
    lines = []
    for i, event in enumerate(drawn):
        told = more | {"id": f"e{i}", "prediction": {"score": event.score, "class": "fraud"}}
        lines.append(orjson.dumps(orjson.loads(as_json(event)) | told))
    (message,) = packed(lines[1:], 10, Config().limits)
    times = pa.array([drawn[0].time_ms] * 2, pa.timestamp("ms", "UTC"))
    nameless = arrows.message({"time": times, "model": ["shop", None]})
    return [lines[0], message, nameless, b"{"], drawn[-1].time_ms


def published(effects: Sequence[Alert | Incident | Metric]) -> tuple[list[bytes], dict[str, Any]]:
    """Write alerts, incidents, and what people said of one; and name them."""
    incidents = [effect for effect in effects if isinstance(effect, Incident)]
    alerts = [effect for effect in effects if isinstance(effect, Alert)]
    last = incidents[-1]
    feedback = Feedback(id=last.id, verdict="real", time=last.time, note="seen", model="shop")
    told = [{"alert": msgspec.Raw(encode(alert)), "provenance": {}} for alert in alerts]
    ledger = [*map(msgspec.json.encode, told), *map(encode, incidents)]
    ledger.append(msgspec.json.encode(feedback))
    return ledger, {
        "incidents": sorted({incident.id for incident in incidents}),
        "alerts": sorted({alert.id for alert in alerts}),
    }


def make(version: Path) -> None:
    """Write the golden records of this version."""
    profile = fit(bare(logs.events(30_000, seed=1)), logs.SHORT, Policy())
    controls = control(profile)
    book = logs.book(profile)
    epochs = Epochs(semantics_of(Config()))
    epochs.add(semantics_of(SECOND), EPOCH_MS)
    with mock.patch("stream.routing.PART_BYTES_MAX", PART_BYTES):
        made, last = parts(book)
    first, before = Monitor(book, epochs), list[Any]()
    cut = 0
    while not holds_all(first.snapshot()):
        before += first.apply(made[cut])
        cut += 1
    state = as_after_months(first.snapshot())
    snapshot = state_records(cut, state)
    monitor = Monitor(book, epochs)
    monitor.restore(state)
    told = {
        "epochs": True,
        "metrics_every": EVERY,
        "next": cut,
        "open": [one.id for model in state.models.values() for one in model.incidents],
        "pending": sum(len(p) for model in state.models.values() for p in model.pending.values()),
        "judged": sum(model.counts.judged for model in state.models.values()),
    }
    after = logs.effects(monitor, made[cut:])
    ledger, named = published([*before, *after, *quiet(book)])
    values, input_ms = inputs()
    for name, records in {
        "snapshot": snapshot,
        "parts": [part.encode() for part in made[cut:]],
        "snapshot_after": state_records(len(made), monitor.snapshot()),
        "control": [msgspec.json.encode(record) for record in controls],
        "ledger": ledger,
        "input": values,
    }.items():
        (version / f"{name}.records").write_bytes(msgspec.msgpack.encode(records))
    (version / "effects.jsonl").write_bytes(
        b"".join(encode(e) + b"\n" for e in sampled(after, EVERY))
    )
    (version / "profile.json").write_text(render(profile))
    end = End(last.header.o, last.header.r_after)
    (version / "commit.txt").write_text(last.before.render(end))
    told |= named | {
        "profile": profile.hash,
        "config": semantics_of(Config()).config,
        "clock": [last.before.w, last.before.a, last.before.r],
        "end": [end.offset, end.time_ms],
        "quarantined": {TOPIC: {"1": [17]}},
        "input_ms": input_ms,
    }
    (version / "told.json").write_bytes(orjson.dumps(told))
    events, refused = input_read(version)
    told |= {"events": msgspec.to_builtins(events), "rejects": msgspec.to_builtins(refused)}
    (version / "told.json").write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True)
    make(Path(sys.argv[1]))
