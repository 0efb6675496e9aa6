"""Every decoder, with the seeds it is fuzzed from and the outcomes that it may have.

An outcome is "accepted", a reject code, or the name of one of driftline's own errors.  Anything
else that is raised is a finding.
"""

import math
import random
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from detectors.epochs import Epochs
from detectors.errors import DriftlineError
from detectors.events import REJECT_CODES, Event, Limits
from detectors.layout import Layout, layout_of
from detectors.monitor import Monitor
from detectors.panes import FOREVER, UNSET, Clock, End, decode_part
from detectors.profile import Profile, ProfileBook, load, seal
from detectors.summary.cells import Moments, add_cell
from stream import checkpoint
from stream.config import Config, semantics_of
from stream.control import Control
from stream.decode.json_events import decode
from stream.ledger import decode_record
from tests.fuzz import arrows, batches, files
from tests.fuzz.mutators import mutated, mutated_json

__all__ = ["DECODERS", "Decoder"]

TESTS = Path(__file__).parents[1]
GOLDEN = TESTS / "golden" / "0.1.0"
RECORD_MS = 1_795_435_200_500
SEED_BYTES_MAX = 4_096
LIMITS = Limits()
ACCEPTED = "accepted"


class Decoder(NamedTuple):
    """Say how a decoder's cases are made, and what running one comes to."""

    name: str
    make: Callable[[random.Random], bytes]
    run: Callable[[bytes], str]

    def outcome(self, content: bytes) -> str:
        """Run one case; an error that driftline raises on purpose is an outcome."""
        try:
            return self.run(content)
        except DriftlineError as error:
            return type(error).__name__


def records(name: str) -> list[bytes]:
    """Read a golden file of records."""
    return msgspec.msgpack.decode((GOLDEN / name).read_bytes(), type=list[bytes])


@cache
def event_seeds() -> list[bytes]:
    """Give the usual event, and every poison file that is not long."""
    usual = (TESTS / "stream/decode/usual.json").read_bytes()
    poison = sorted((TESTS / "stream/decode/poison").rglob("*.json"))
    small = [value for value in map(Path.read_bytes, poison) if len(value) <= SEED_BYTES_MAX]
    return [usual] * (2 * len(small)) + small


def run_event(content: bytes) -> str:
    """Decode one event; what is accepted keeps the promises of its type."""
    found = decode([content], np.array([RECORD_MS]), LIMITS)
    assert len(found.events) + len(found.reject_codes) == 1
    if found.reject_codes:
        assert found.reject_codes[0] in REJECT_CODES
        return found.reject_codes[0]
    _assert_sound(found.events[0])
    return ACCEPTED


def _assert_sound(event: Event) -> None:
    values = [*event.features.values(), *event.attributions.values(), *event.metrics.values()]
    values += [event.score, event.latency_seconds, event.label]
    assert all(math.isfinite(value) for value in values if isinstance(value, float))
    assert isinstance(event.time_ms, int)
    assert 1 <= event.weight <= 4096
    assert event.model
    msgspec.json.encode(event)


@cache
def profile() -> Profile:
    """Read the golden profile."""
    return load((GOLDEN / "profile.json").read_bytes(), "profile.json")


@cache
def layout() -> tuple[Layout, Moments]:
    """Give what a cell of the golden profile is added to."""
    found = layout_of(profile())
    return found, Moments.zeros(found)


def run_part(content: bytes) -> str:
    """Decode a part, and add its cells to the sums of their profile."""
    for entry in decode_part(content).entries:
        add_cell(entry.data, *layout())
    return ACCEPTED


def make_part(rng: random.Random) -> bytes:
    """Damage a part, or one cell in it."""
    seeds = records("parts.records")
    if rng.random() < 0.5:
        return mutated(rng, seeds)
    part = decode_part(rng.choice(seeds))
    entries = [msgspec.structs.replace(e, data=mutated(rng, [e.data])) for e in part.entries]
    return msgspec.structs.replace(part, entries=tuple(entries)).encode()


@cache
def snapshot() -> dict[str, bytes]:
    """Give the records of the golden snapshot."""
    held = records("snapshot.records")
    return {key.decode(): value for key, value in zip(held[::2], held[1::2], strict=True)}


def make_snapshot(rng: random.Random) -> bytes:
    """Damage a record, or what is in it behind checksums that fit."""
    held = dict(snapshot())
    key = rng.choice(sorted(held))
    if rng.random() < 0.2:
        held[key] = mutated(rng, [held[key]])
    else:
        _damage_inside(rng, held, key)
    return msgspec.msgpack.encode(held)


def _damage_inside(rng: random.Random, held: dict[str, bytes], key: str) -> None:
    """Damage a manifest or a chunk, and seal it again."""
    where = "0/1/manifest"
    plain = held[where].partition(b" ")[2]
    if key == where:
        plain = mutated_json(rng, [plain])
    else:
        before = checkpoint._checksum(held[key]).encode()
        content = held[key][:1] + zlib.compress(mutated(rng, [zlib.decompress(held[key][1:])]), 1)
        held[key] = content
        plain = plain.replace(before, checkpoint._checksum(content).encode())
    held[where] = checkpoint._checksum(plain).encode() + b" " + plain


def run_snapshot(content: bytes) -> str:
    """Restore a snapshot into a monitor."""
    restored = checkpoint.restore(0, msgspec.msgpack.decode(content, type=dict[str, bytes]))
    if restored is None:
        return "none"
    book = ProfileBook()
    book.add(profile(), 0)
    Monitor(book, Epochs(semantics_of(Config())), metrics=False).restore(restored.state)
    return ACCEPTED


def run_commit(content: bytes) -> str:
    """Read a commit's metadata; what is accepted can be counted with."""
    metadata = content.decode(errors="replace")
    clock, end = Clock.read(metadata), End.read(metadata) or End(0, 0)
    assert all(
        UNSET <= one <= FOREVER for one in (clock.w, clock.a, clock.r, end.offset, end.time_ms)
    )
    return ACCEPTED


def run_control(content: bytes) -> str:
    """Put a control record in force."""
    Control(None, "driftline.control")._take(content)  # type: ignore[arg-type]
    return ACCEPTED


def make_profile(rng: random.Random) -> bytes:
    """Damage a profile; half of the time its hash is made to fit, where it still can be read."""
    content = mutated_json(rng, [(GOLDEN / "profile.json").read_bytes()])
    if rng.random() < 0.5:
        try:
            return msgspec.json.encode(seal(msgspec.json.decode(content, type=Profile)))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
    return content


def run_profile(content: bytes) -> str:
    """Load a profile."""
    load(content, "profile.json")
    return ACCEPTED


def run_ledger(content: bytes) -> str:
    """Read an alert, an incident or feedback."""
    decode_record(content, "driftline.alerts")
    return ACCEPTED


def from_seeds(
    mutate: Callable[[random.Random, Sequence[bytes]], bytes], seeds: Callable[[], Sequence[bytes]]
) -> Callable[[random.Random], bytes]:
    """Make cases by damaging seeds as they are."""
    held = cache(seeds)
    return lambda rng: mutate(rng, held())


COMMITS = (b"1 1767225600000 1767225600001 1767225600002", b"1 -1 -1 -1", b"2 5 6 7", b"")
DECODERS = (
    Decoder("event", from_seeds(mutated_json, event_seeds), run_event),
    Decoder("part", make_part, run_part),
    Decoder("snapshot", make_snapshot, run_snapshot),
    Decoder("commit", from_seeds(mutated, lambda: COMMITS), run_commit),
    Decoder("control", from_seeds(mutated_json, lambda: records("control.records")), run_control),
    Decoder("profile", make_profile, run_profile),
    Decoder("ledger", from_seeds(mutated_json, lambda: records("ledger.records")), run_ledger),
    Decoder("rows", files.make_rows, files.run_rows),
    Decoder("retime", from_seeds(mutated_json, event_seeds), files.run_retimed),
    Decoder("time", from_seeds(mutated, lambda: files.MOMENTS), files.run_time),
    Decoder("bound", files.make_bound, files.run_bound),
    Decoder("config", files.make_config, files.run_config),
    Decoder("batches", batches.make_batches, batches.run_batches),
    Decoder("arrow", arrows.make_arrow, arrows.run_arrow),
)
