"""Records of every released version stay readable, and mean what they meant.

`tests/golden/VERSION` holds records as that version wrote them: a profile, control records, a
commit's metadata, a snapshot, the parts that followed on it, and the alerts, incidents, metrics
and state that came of them.  They are never written again; a version that changes a format adds
its own:

    PYTHONPATH=tests python tests/golden/test_golden.py tests/golden/VERSION
"""

import asyncio
import shutil
import sys
import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import logs
import msgspec
import orjson
import pytest

from detectors.alert import Alert, Incident, Metric, encode
from detectors.epochs import Semantics
from detectors.events import Event
from detectors.fit import fit
from detectors.monitor import Monitor, MonitorState
from detectors.observe import Observer
from detectors.panes import Clock, Header, Part, decode_part
from detectors.policy import Policy
from detectors.profile import load, render
from stream.checkpoint import Checkpoints, Restored, pack, restore
from stream.config import Config, semantic_hash, semantics_of
from stream.control import Control, config_record, profile_record
from stream.feedback import Feedback
from stream.ledger import Ledger

HERE = Path(__file__).parent
VERSIONS = sorted(path for path in HERE.iterdir() if path.is_dir() and path.name != "__pycache__")
FILES = {f"{name}.records" for name in ("control", "ledger", "parts", "snapshot", "snapshot_after")}
FILES |= {"commit.txt", "effects.jsonl", "profile.json", "told.json"}
PANE_MS = 60_000
PARTITIONS = 2


def semantics() -> Semantics:
    """Be the default configuration, under the name that ids are made of."""
    return semantics_of(Config())._replace(config="golden")


@cache
def records(version: Path, name: str) -> list[bytes]:
    """Read a file of records: a MessagePack list of byte strings."""
    return msgspec.msgpack.decode((version / name).read_bytes(), type=list[bytes])


def snapshot(version: Path, name: str) -> Restored:
    """Restore a snapshot from its records; keys and values take turns."""
    held = records(version, name)
    keys = [key.decode() for key in held[::2]]
    restored = restore(0, dict(zip(keys, held[1::2], strict=True)))
    assert restored is not None
    return restored


def control(version: Path) -> Control:
    """Read the control records as a worker does."""
    found = Control(None, "driftline.control")  # type: ignore[arg-type]
    for value in records(version, "control.records"):
        found._take(value)
    return found


def packed(state: MonitorState) -> list[bytes]:
    """Write a state as this version does."""
    return [pack(state.sources), *(pack(state.models[name]) for name in sorted(state.models))]


def known(now: Any, then: Any) -> Any:
    """Keep of a record's fields those that the older version had."""
    if isinstance(then, dict) and isinstance(now, dict):
        return {name: known(now[name], value) for name, value in then.items()}
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        return [known(*pair) for pair in zip(now, then, strict=True)]
    return now


def test_every_version_has_all_its_records() -> None:
    project = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text())["project"]
    assert project["version"] in [version.name for version in VERSIONS]
    for version in VERSIONS:
        assert {path.name for path in version.iterdir()} == FILES


@pytest.mark.parametrize("version", VERSIONS, ids=lambda v: v.name)
class TestGolden:
    """What a released version wrote."""

    def test_the_parts_applied_to_the_snapshot_give_the_bytes_they_gave(
        self, version: Path
    ) -> None:
        monitor = Monitor(control(version).book, semantics())
        monitor.restore(snapshot(version, "snapshot.records").state)
        parts = [decode_part(value) for value in records(version, "parts.records")]
        expected = (version / "effects.jsonl").read_bytes().splitlines()
        found = [encode(effect) for effect in sampled(logs.effects(monitor, parts))]
        assert len(expected) == len(found)
        for line, now in zip(expected, found, strict=True):
            assert line == orjson.dumps(known(orjson.loads(now), orjson.loads(line)))
        after = snapshot(version, "snapshot_after.records").state
        assert packed(after) == packed(monitor.snapshot())

    def test_the_snapshot_holds_what_it_held(self, version: Path) -> None:
        restored = snapshot(version, "snapshot.records")
        told = orjson.loads((version / "told.json").read_bytes())
        (state,) = restored.state.models.values()
        assert told["next"] == restored.manifest.next
        assert told["open"] == [opened.id for opened in state.incidents]
        assert told["pending"] == sum(map(len, state.pending.values())) > 0
        assert told["judged"] == state.counts.judged
        assert any(source.waiting for source in restored.state.sources)

    def test_the_profile_and_its_control_records_are_read(self, version: Path) -> None:
        profile = load((version / "profile.json").read_bytes(), "profile.json")
        found = control(version)
        assert [(0, profile)] == list(found.book.segments("shop"))
        told = orjson.loads((version / "told.json").read_bytes())
        assert told["profile"] == profile.hash
        assert told["config"] == found.epochs.at(0)[1].config

    def test_a_commit_is_read(self, version: Path) -> None:
        told = orjson.loads((version / "told.json").read_bytes())
        assert Clock(*told["clock"]) == Clock.read((version / "commit.txt").read_text())

    def test_alerts_incidents_and_feedback_are_read(self, version: Path) -> None:
        told = orjson.loads((version / "told.json").read_bytes())
        ledger = Ledger()
        for value in records(version, "ledger.records"):
            ledger.take(orjson.loads(value))
        (incident,) = told["incidents"]
        found = ledger.find(incident)
        assert told["alerts"] == sorted(one["id"] for one in ledger.latest_alerts(found))
        assert [answer["verdict"] for answer in ledger.answers(found)] == ["real"]
        for alert in ledger.alerts.values():
            for revision in alert.values():
                msgspec.convert(revision, Alert)
        for revision in ledger.incidents[incident].values():
            msgspec.convert(revision, Incident)

    def test_one_wrong_event_in_a_golden_part_is_noticed(
        self, version: Path, tmp_path: Path
    ) -> None:
        """Or what these tests compare would not depend on the golden records."""
        copied = Path(shutil.copytree(version, tmp_path / version.name))
        parts = [decode_part(value) for value in records(version, "parts.records")]
        at = next(i for i, part in enumerate(parts) if part.entries)
        entry, *rest = parts[at].entries
        more = msgspec.structs.replace(entry, events=entry.events + 1)
        parts[at] = msgspec.structs.replace(parts[at], entries=(more, *rest))
        content = msgspec.msgpack.encode([part.encode() for part in parts])
        (copied / "parts.records").write_bytes(content)
        with pytest.raises(AssertionError):
            self.test_the_parts_applied_to_the_snapshot_give_the_bytes_they_gave(copied)

    def test_fields_that_came_later_have_defaults(self, version: Path) -> None:
        first = Header(
            **dict.fromkeys(("partition", "partitions", "a", "o", "number"), 1),
            **dict.fromkeys(("w_before", "w_after", "read", "accepted"), 2),
            topic="events",
        )
        needed = {field.name for field in msgspec.structs.fields(Header) if field.required}
        bare = {name: value for name, value in msgspec.to_builtins(first).items() if name in needed}
        assert first == decode_part(b"\x01" + msgspec.msgpack.encode([bare, []])).header
        header = msgspec.msgpack.decode(records(version, "parts.records")[0][1:])[0]
        assert needed <= header.keys()


def sampled(found: Sequence[Alert | Incident | Metric]) -> list[Alert | Incident | Metric]:
    """Leave out most metrics, so that the golden files are small."""
    return [e for i, e in enumerate(found) if i % 10 == 0 or not isinstance(e, Metric)]


def stripped(log: list[Event]) -> list[Event]:
    """Keep one feature and one segment, so that the golden files are small."""
    return [
        Event(
            time_ms=e.time_ms,
            model="shop",
            features={"amount": e.features["amount"]},
            segments=e.segments,
        )
        for e in log
    ]


def state_records(restored: tuple[int, MonitorState]) -> list[bytes]:
    """Write a snapshot to records; keys and values take turns."""
    held: list[bytes] = []

    class Shelf:
        async def send(self, _topic: str, key: bytes, value: bytes, _partition: int) -> None:
            held.extend((key, value))

        async def delivered(self) -> None:
            pass

    asyncio.run(Checkpoints(None, "").write(Shelf(), 0, 1, restored))  # type: ignore[arg-type]
    return held


def make(version: Path) -> None:
    """Write the golden records of this version."""
    version.mkdir(parents=True)
    config = Config()
    profile = fit(stripped(logs.events(6_000, seed=1)), logs.SHORT, Policy())
    held = logs.book(profile)
    shift = logs.Shift(1_000, 2.0, "DE", until=1_300)
    spread = logs.topic(stripped(logs.events(7_000, seed=2, shifts=(shift,))), PARTITIONS, seed=3)
    lists = []
    for p, partition in enumerate(spread):
        observer = Observer(("driftline.events", p, PARTITIONS), held, PANE_MS)
        panes = logs.panes([r for r in partition if not r.tick], observer)
        lists.append([Part(pane.header, pane.entries) for pane in panes])
        clock = panes[-1].clock
    parts = [part for pair in zip(*lists, strict=False) for part in pair]
    monitor = Monitor(held, semantics())
    before: list[Any] = []
    first = 0
    while not any(judge.life.open for judge in monitor.judges.values()):
        before += monitor.apply(parts[first])
        first += 1
    before += monitor.apply(parts[first])
    state = state_records((first + 1, monitor.snapshot()))
    (judge,) = monitor.judges.values()
    told = {
        "next": first + 1,
        "open": [opened.id for opened in judge.life.incidents.open],
        "pending": sum(map(len, judge._pending.values())),
        "judged": judge.counts.judged,
    }
    after = logs.effects(monitor, parts[first + 1 :])
    said = [*before, *after]
    incidents = [effect for effect in said if isinstance(effect, Incident)]
    alerts = [effect for effect in said if isinstance(effect, Alert)]
    feedback = Feedback(
        id=incidents[-1].id, verdict="real", time=incidents[-1].time, note="seen", model="shop"
    )
    published = [{"alert": msgspec.Raw(encode(alert)), "provenance": {}} for alert in alerts]
    ledger = [*map(msgspec.json.encode, published), *map(encode, incidents)]
    ledger.append(msgspec.json.encode(feedback))
    told |= {
        "profile": profile.hash,
        "config": semantic_hash(config),
        "clock": [clock.w, clock.a, clock.r],
        "incidents": sorted({incident.id for incident in incidents}),
        "alerts": sorted({alert.id for alert in alerts}),
    }
    controls = [msgspec.json.encode(c) for c in (profile_record(profile, 0), config_record(config))]
    for name, values in {
        "snapshot": state,
        "parts": [part.encode() for part in parts[first + 1 :]],
        "snapshot_after": state_records((len(parts), monitor.snapshot())),
        "control": controls,
        "ledger": ledger,
    }.items():
        (version / f"{name}.records").write_bytes(msgspec.msgpack.encode(values))
    (version / "effects.jsonl").write_bytes(b"".join(encode(e) + b"\n" for e in sampled(after)))
    (version / "profile.json").write_text(render(profile))
    (version / "commit.txt").write_text(clock.render())
    (version / "told.json").write_text(msgspec.json.format(msgspec.json.encode(told)).decode())


if __name__ == "__main__":
    make(Path(sys.argv[1]))
