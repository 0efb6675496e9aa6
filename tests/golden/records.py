"""Golden records as values: what the tests read, and which fields of which format they hold."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson

from detectors.alert import Alert, Incident, Metric
from detectors.epochs import Epochs, Semantics
from detectors.events import Event, Reject
from detectors.order import Source
from detectors.panes import Clock, End, Part, decode_part
from detectors.policy import Policy
from detectors.profile import Profile, ProfileBook, load
from stream import checkpoint
from stream.batching import batch_of, rejects, runs
from stream.checkpoint import Manifest, Restored, restore
from stream.config import Config, DetectConfig, KafkaConfig, SlicesConfig, TimeConfig, semantics_of
from stream.control import Control, ControlRecord, Place
from stream.decode.scan.scanner import Scanner
from stream.feedback import Feedback
from stream.records import Records
from stream.role import Partition

__all__ = [
    "FORMATS",
    "VERSIONS",
    "control",
    "epochs",
    "fields",
    "fields_held",
    "input_read",
    "records",
    "sampled",
    "semantics",
    "snapshot",
    "told",
    "values",
]

HERE = Path(__file__).parent
VERSIONS = sorted(path.parent for path in HERE.glob("*/told.json"))
# What is written to a topic or read from one, with all that it is made of.
FORMATS: tuple[Any, ...] = (Part, Clock, End, Manifest, Source, checkpoint._Chunk)
FORMATS += (ControlRecord, Place, Profile, TimeConfig, SlicesConfig, DetectConfig, Policy)
FORMATS += (Alert, Incident, Metric, Feedback, Event, Reject)
_INPUT = Config(kafka=KafkaConfig(require_append_time=False))


def semantics() -> Semantics:
    """Be the default configuration, under the name that ids are made of."""
    return semantics_of(Config())._replace(config="golden")


@cache
def records(version: Path, name: str) -> list[bytes]:
    """Read a file of records: a MessagePack list of byte strings; none where there is no file."""
    path = version / name
    content = path.read_bytes() if path.exists() else b"\x90"
    return msgspec.msgpack.decode(content, type=list[bytes])


def told(version: Path) -> dict[str, Any]:
    """Read what the version said of its own records."""
    found: dict[str, Any] = orjson.loads((version / "told.json").read_bytes())
    return found


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


def epochs(version: Path) -> Epochs | Semantics:
    """Give what the version's judge went by."""
    return control(version).epochs if told(version).get("epochs") else semantics()


def input_read(version: Path) -> tuple[list[Event], list[Reject]]:
    """Read the records of an input as a worker does that holds no profile."""
    held = Records.of_values(records(version, "input.records"))
    held.times_ms[:] = told(version).get("input_ms", 0)
    scanner = Scanner(ProfileBook(), _INPUT.limits)
    events, refused = list[Event](), list[Reject]()
    for run in runs(held):
        batch = batch_of(run, _INPUT, scanner)
        events += batch.events
        refused += rejects(Partition("driftline.events", 0), run, batch)
    return events, refused


def sampled(
    found: Sequence[Alert | Incident | Metric], every: int
) -> list[Alert | Incident | Metric]:
    """Leave out most metrics."""
    return [e for i, e in enumerate(found) if i % every == 0 or not isinstance(e, Metric)]


def values(version: Path) -> Iterator[Any]:
    """Give everything that a version's records hold, as values of its types."""
    for value in records(version, "parts.records"):
        yield decode_part(value)
    commit = (version / "commit.txt").read_text()
    yield from (Clock.read(commit), End.read(commit))
    for name in ("snapshot.records", "snapshot_after.records"):
        restored = snapshot(version, name)
        yield from (restored.manifest, restored.state.sources)
        held = records(version, name)
        for key, value in zip(held[::2], held[1::2], strict=True):
            if key.split(b"/")[2] not in {b"manifest", b"order"}:
                yield checkpoint.unpack(value, checkpoint._Chunk)
    yield load((version / "profile.json").read_bytes(), "profile.json")
    for value in records(version, "control.records"):
        record = msgspec.json.decode(value, type=ControlRecord)
        kind: Any = {"profile": Profile, "quarantine": Place, "config": Config}[record.kind]
        yield from (record, msgspec.json.decode(record.body, type=kind))
    effects = (version / "effects.jsonl").read_bytes().splitlines()
    for value in (*effects, *records(version, "ledger.records")):
        plain = orjson.loads(value)
        plain = plain.get("alert", plain)
        kinds = {"effect": Alert, "alerts": Incident, "verdict": Feedback, "missing": Metric}
        (kind,) = (of for name, of in kinds.items() if name in plain)
        yield msgspec.convert(plain, kind)
    yield from input_read(version)


def fields_held(value: Any) -> Iterator[str]:
    """Name the fields that a value holds: those that have no default, or are not it."""
    if isinstance(value, msgspec.Struct):
        for one in msgspec.structs.fields(type(value)):
            found = getattr(value, one.name)
            if one.required or found != _default(one):
                yield f"{type(value).__name__}.{one.name}"
                yield from fields_held(found)
    elif isinstance(value, dict):
        for name, found in value.items():
            if isinstance(found, np.ndarray):
                yield f"array {name}"
            else:
                yield from fields_held(found)
    elif isinstance(value, list | tuple):
        for found in value:
            yield from fields_held(found)


def _default(one: Any) -> Any:
    factory = one.default_factory
    return one.default if factory is msgspec.NODEFAULT else factory()


def fields(kinds: Iterable[Any]) -> set[str]:
    """Name the fields of types, and of all types that these are made of."""
    found: set[str] = set()
    left, seen = list(msgspec.inspect.multi_type_info(kinds)), set[int]()
    while left:
        one = left.pop()
        if isinstance(one, msgspec.inspect.StructType):
            if id(one.cls) in seen:
                continue
            seen.add(id(one.cls))
            found |= {f"{one.cls.__name__}.{field.name}" for field in one.fields}
            left += [field.type for field in one.fields]
        else:
            parts = [getattr(one, name) for name in one.__struct_fields__]
            flat = [p for part in parts for p in (part if isinstance(part, tuple) else (part,))]
            left += [part for part in flat if isinstance(part, msgspec.inspect.Type)]
            left += [part.type for part in flat if isinstance(part, msgspec.inspect.Field)]
    return found
