"""Records of every released version stay readable, and mean what they meant.

`tests/golden/VERSION` holds records as that version wrote them: a profile, control records, a
commit's metadata, a snapshot, the parts that followed on it, the alerts, incidents, metrics and
state that came of them, and records of an input with what was read from them.  They are never
written again.  `VERSION-N` is what came under a version after its first records.

A field that no golden record holds, with a value that is not its default, fails these tests: so
does every change of a format.  Then add records, and leave those that are there:

    python -m tests.golden tests/golden/VERSION-N
"""

import shutil
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from detectors import panes
from detectors.alert import encode
from detectors.events import Event
from detectors.incident import OpenIncident
from detectors.monitor import Monitor, MonitorState
from detectors.panes import Clock, End, Header, Part, decode_part
from detectors.profile import load
from stream import checkpoint
from stream import control as control_records
from stream.checkpoint import pack
from stream.control import ControlRecord
from stream.ledger import Ledger
from tests import logs
from tests.golden.records import (
    FORMATS,
    HERE,
    VERSIONS,
    control,
    epochs,
    fields,
    fields_held,
    input_read,
    records,
    sampled,
    snapshot,
    told,
    values,
)

FILES = {f"{name}.records" for name in ("control", "ledger", "parts", "snapshot", "snapshot_after")}
FILES |= {"commit.txt", "effects.jsonl", "profile.json", "told.json"}
# The first records were made before there was a command that makes them.
ADDED = {"input.records"}
FIRST = "0.1.0"
# Fields that cannot hold anything but their default, and why.
NEVER_SET = {
    "Alert.causes": "an incident tells the causes",
    "Alert.labels": "for configured labels, which there are none of yet",
    "Alert.schema": "there is one",
    "ControlRecord.schema": "there is one",
    "Feedback.schema": "there is one",
    "Header.v": "there is one",
    "Incident.schema": "there is one",
    "Manifest.v": "there is one",
    "Metric.schema": "there is one",
    "Profile.schema": "there is one",
}


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


def golden_fields() -> set[str]:
    """Name the fields that any golden record holds."""
    return {name for version in VERSIONS for one in values(version) for name in fields_held(one)}


def all_parts() -> list[Part]:
    """Read the parts of all versions."""
    return [decode_part(v) for one in VERSIONS for v in records(one, "parts.records")]


def test_every_version_has_all_its_records() -> None:
    project = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text())["project"]
    assert project["version"] in [version.name.partition("-")[0] for version in VERSIONS]
    for version in VERSIONS:
        expected = FILES if version.name == FIRST else FILES | ADDED
        assert {path.name for path in version.iterdir()} == expected


def test_every_field_of_every_format_is_in_a_golden_record() -> None:
    wanted = fields(FORMATS)
    assert NEVER_SET.keys() <= wanted
    assert sorted(wanted - golden_fields()) == sorted(NEVER_SET)


def test_every_array_of_a_state_is_in_a_golden_record() -> None:
    version = VERSIONS[-1]
    monitor = Monitor(control(version).book, epochs(version))
    monitor.restore(snapshot(version, "snapshot.records").state)
    found = {name for one in monitor.snapshot().models.values() for name in fields_held(one.arrays)}
    assert found
    assert found <= golden_fields()


@pytest.mark.parametrize("kind", [Header, OpenIncident, Event, End])
def test_a_field_that_comes_later_is_missed(kind: type[msgspec.Struct]) -> None:
    options = {"array_like": kind.__struct_config__.array_like}
    later = msgspec.defstruct(
        kind.__name__, [("later", int, 0)], bases=(kind,), kw_only=True, **options
    )
    assert fields([later]) - fields([kind]) == {f"{kind.__name__}.later"}
    assert fields([later]) - golden_fields() - NEVER_SET.keys() == {f"{kind.__name__}.later"}


def test_every_form_of_commits_parts_and_control_records_is_in_a_golden_record() -> None:
    commits = {(version / "commit.txt").read_text().partition(" ")[0] for version in VERSIONS}
    assert commits == panes._COMMITS.keys()
    newest = VERSIONS[-1]
    assert records(newest, "parts.records")[0][0] == panes.PART_VERSION
    assert snapshot(newest, "snapshot.records").manifest.v == checkpoint.VERSION
    makers = {name for name in control_records.__all__ if name.endswith("_record")}
    held = (msgspec.json.decode(v, type=ControlRecord) for v in records(newest, "control.records"))
    assert {f"{record.kind}_record" for record in held} == makers


def test_every_kind_of_pane_is_in_a_golden_record() -> None:
    headers = [part.header for part in all_parts()]
    ticked = [h for h in headers if h.read > h.accepted + sum(h.rejected.values())]
    assert ticked
    assert [h for h in headers if h.o == h.a - 1 and h.read == 0]
    assert [h for h in headers if h.part == 1 and h.parts > 1]


@pytest.mark.parametrize("version", VERSIONS, ids=lambda v: v.name)
class TestGolden:
    """What a released version wrote."""

    def test_the_parts_applied_to_the_snapshot_give_the_bytes_they_gave(
        self, version: Path
    ) -> None:
        monitor = Monitor(control(version).book, epochs(version))
        monitor.restore(snapshot(version, "snapshot.records").state)
        parts = [decode_part(value) for value in records(version, "parts.records")]
        expected = (version / "effects.jsonl").read_bytes().splitlines()
        effects = logs.effects(monitor, parts)
        found = [encode(one) for one in sampled(effects, told(version).get("metrics_every", 10))]
        assert len(expected) == len(found)
        for line, now in zip(expected, found, strict=True):
            assert line == orjson.dumps(known(orjson.loads(now), orjson.loads(line)))
        after = snapshot(version, "snapshot_after.records").state
        assert packed(after) == packed(monitor.snapshot())

    def test_the_snapshot_holds_what_it_held(self, version: Path) -> None:
        restored = snapshot(version, "snapshot.records")
        said = told(version)
        models = restored.state.models.values()
        assert said["next"] == restored.manifest.next
        assert said["open"] == [one.id for model in models for one in model.incidents]
        pending = sum(len(cells) for model in models for cells in model.pending.values())
        assert said["pending"] == pending > 0
        assert said["judged"] == sum(model.counts.judged for model in models)
        assert any(source.waiting for source in restored.state.sources)

    def test_the_profile_and_its_control_records_are_read(self, version: Path) -> None:
        profile = load((version / "profile.json").read_bytes(), "profile.json")
        found = control(version)
        assert [(0, profile)] == list(found.book.segments("shop"))
        said = told(version)
        assert said["profile"] == profile.hash
        assert said["config"] == found.epochs.at(0)[1].config
        for topic, partitions in said.get("quarantined", {}).items():
            for partition, offsets in partitions.items():
                assert set(offsets) == set(found.quarantined(topic, int(partition)))

    def test_a_commit_is_read(self, version: Path) -> None:
        said, commit = told(version), (version / "commit.txt").read_text()
        assert Clock(*said["clock"]) == Clock.read(commit)
        end = End(*said["end"]) if "end" in said else None
        assert end == End.read(commit)
        assert Clock.read(commit).render(end) == commit

    def test_an_input_is_read(self, version: Path) -> None:
        events, refused = input_read(version)
        found = msgspec.to_builtins(events), msgspec.to_builtins(refused)
        said = told(version)
        expected = said.get("events", []), said.get("rejects", [])
        assert (known(found[0], expected[0]), known(found[1], expected[1])) == expected
        assert bool(events) == bool(refused) == (version.name != FIRST)

    def test_alerts_incidents_and_feedback_are_read(self, version: Path) -> None:
        said = told(version)
        ledger = Ledger()
        for value in records(version, "ledger.records"):
            ledger.take(orjson.loads(value))
        found = [ledger.find(incident) for incident in said["incidents"]]
        alerts = {one["id"] for of in found for one in ledger.latest_alerts(of)}
        assert sorted(alerts) == said["alerts"]
        answers = [answer["verdict"] for of in found for answer in ledger.answers(of)]
        assert answers == ["real"]

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
