"""What people hand to driftline: files of events, configurations, times on the command line."""

import gzip
import random
import tempfile
from functools import cache
from pathlib import Path

import msgspec
import numpy as np

from detectors.errors import ConfigError
from detectors.events import REJECT_CODES, Limits
from driftline.backtest_command import _bound
from driftline.options import time_ms
from stream.config_file import load_config
from stream.decode.json_events import decode
from stream.decode.times import NO_TIME, number_ms, numbers_ms, text_ms, texts_ms
from stream.emitting import retimed
from stream.sources import read_rows
from tests import poison
from tests.fuzz.mutators import mutated, mutated_json

__all__ = [
    "CONFIGS",
    "MOMENTS",
    "make_bound",
    "make_config",
    "make_rows",
    "run_bound",
    "run_config",
    "run_retimed",
    "run_rows",
    "run_time",
]

LIMITS = Limits()
TIMED = msgspec.structs.replace(poison.COLUMNS, record_time="time")
ROWS = [poison.CSV_USUAL.strip(), *poison.CSV_POISON.values()]
LINES = [msgspec.json.encode(poison.USUAL), *poison.JSON_POISON.values()]
MOMENTS = (
    *(b"2026-11-23T12:00:00Z", b"2026-11-23 12:00:00.250+05:30", b"2016-12-31T23:59:60Z"),
    *(b"1795435200", b"1795435200.25", b"1795435200000", b"-0.0", b"1e300"),
)
BOUNDS = (b"0:120,1:98", b"0:0", b"2026-11-23", *MOMENTS)
CONFIGS = (
    b"""[kafka]
bootstrap = "localhost:9092"
prefix = "shop"
events_partitions = 8
session_timeout_seconds = 6
[time]
preset = "realtime"
lateness_seconds = 5
zone = "Europe/Berlin"
holidays = [2026-12-25]
[slices]
by = [["country"], ["country", "device"]]
""",
    b"""[detect]
detectors = ["sr", "adwin", "river:KSWIN"]
learn_days = 2.5
[policy]
alarm_budget = "1/week"
min_effect_sigma = 0.2
[columns]
time = "when"
class = "c"
features = ["a", "b"]
[limits]
event_bytes = 65536
[judge]
snapshot_seconds = 600
""",
    b"DRIFTLINE_KAFKA_EVENTS_PARTITIONS=4",
    b'DRIFTLINE_TIME_PRESET="batchy"',
    b"DRIFTLINE_SLICES_BY=[['a']]",
    b"DRIFTLINE_POLICY_ALARM_BUDGET=2/day",
)


@cache
def shelf() -> tempfile.TemporaryDirectory[str]:
    """Keep one directory for the files of all cases."""
    return tempfile.TemporaryDirectory(prefix="driftline-fuzz-")


def written(name: str, content: bytes) -> Path:
    """Write a case to a file."""
    path = Path(shelf().name) / name
    path.write_bytes(content)
    return path


def make_rows(rng: random.Random) -> bytes:
    """Write a small file: its name's end, and its content, damaged; some are gzipped first."""
    kind = rng.choice(("csv", "csv", "csv.gz", "timed.csv", "jsonl", "jsonl.gz"))
    lines = ROWS if ".csv" in f".{kind}" else LINES
    chosen = [lines[0]] * 4 + rng.choices(lines, k=rng.choice((0, 0, 1, 2)))
    rng.shuffle(chosen)
    header = poison.CSV_HEADER if lines is ROWS else b""
    content = mutated(rng, [header + b"\n".join(chosen)])
    if kind.endswith("gz"):
        content = gzip.compress(content, 1, mtime=0)
        content = mutated(rng, [content]) if rng.random() < 0.3 else content
    return kind.encode() + b"\n" + content


def run_rows(content: bytes) -> str:
    """Read a file's rows and decode them: each is an event or a reject."""
    kind, _, content = content.partition(b"\n")
    path = written(f"log.{kind.decode()}", content)
    columns = TIMED if kind.startswith(b"timed") else poison.COLUMNS
    rows = [row for chunk, _ in read_rows(path, columns, LIMITS) for row in chunk]
    times = np.array([row.record_ms for row in rows], np.int64) if columns is TIMED else None
    found = decode([row.value for row in rows], times, LIMITS)
    assert len(found.events) + len(found.reject_codes) == len(rows)
    assert set(found.reject_codes) <= REJECT_CODES.keys()
    return max(found.reject_codes, default="accepted", key=found.reject_codes.count)


def run_retimed(content: bytes) -> str:
    """Shift an event's time: nothing else of it may change."""
    before = decode([content], None, LIMITS)
    after = decode(list(retimed([content], 1_000, LIMITS)), None, LIMITS)
    assert after.reject_codes in (before.reject_codes, ["time_range"])
    for one, moved in zip(before.events, after.events, strict=False):
        one.time_ms += 1_000
        assert one == moved
    return "accepted" if after.events else "no event"


def run_time(content: bytes) -> str:
    """Read a time alone and among many, as text and as a number."""
    text = content.decode(errors="replace")
    alone = text_ms(text)
    assert set(texts_ms([text] * 20).tolist()) == {NO_TIME if alone is None else alone}
    try:
        number = float(text)
    except ValueError:
        return "no time" if alone is None else "accepted"
    if not abs(number) < 1e10:  # what is no time in this millennium is left in doubt
        return "no time"
    assert numbers_ms(np.array([number])).tolist() == [number_ms(number)]
    return "accepted"


def make_bound(rng: random.Random) -> bytes:
    """Damage a time or a list of offsets."""
    return mutated_json(rng, BOUNDS) if rng.random() < 0.5 else mutated(rng, BOUNDS)


def run_bound(content: bytes) -> str:
    """Read what `--from`, `--to` and `--since` take."""
    text = content.decode(errors="surrogateescape")
    found = _bound(text)
    try:
        assert time_ms(text) == found
    except ConfigError:
        assert isinstance(found, dict)
    return "accepted"


def make_config(rng: random.Random) -> bytes:
    """Damage a configuration, or a variable of the environment."""
    return mutated_json(rng, CONFIGS) if rng.random() < 0.7 else mutated(rng, CONFIGS)


def run_config(content: bytes) -> str:
    """Load a configuration from a file, or from one variable."""
    if content.startswith(b"DRIFTLINE_"):
        name, _, value = content.decode(errors="surrogateescape").partition("=")
        load_config(None, {name: value})
    else:
        load_config(written("driftline.toml", content), {})
    return "accepted"
