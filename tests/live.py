"""Run workers as their users do, and read what they publish."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from zlib import crc32

import orjson
from kafka import KafkaConsumer, TopicPartition

from detectors.events import Event

DRIFTLINE = (sys.executable, "-m", "driftline")
ROOT = Path(__file__).parents[1]
WAIT_SECONDS_MAX = 120.0


def as_json(event: Event) -> bytes:
    """Write an event as an emitter would."""
    fields = {
        "time": event.time_ms / 1000,
        "model": event.model,
        "version": event.version,
        "features": event.features,
        "prediction": event.score,
        "segments": event.segments,
        "label": event.label,
        "latency_seconds": event.latency_seconds,
    }
    return orjson.dumps({key: value for key, value in fields.items() if value is not None})


def write_lines(path: Path, values: Sequence[bytes]) -> Path:
    """Write values as JSON lines."""
    path.write_bytes(b"".join(value + b"\n" for value in values))
    return path


def driftline(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run one command to its end; its exit code must be `code`."""
    done = subprocess.run(
        [*DRIFTLINE, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    return done


def config_file(directory: Path, bootstrap: str, prefix: str, **judge: int) -> Path:
    """Write a configuration for this prefix, with a short session."""
    path = directory / "driftline.toml"
    rows = [f'bootstrap = "{bootstrap}"', f'prefix = "{prefix}"', "session_timeout_seconds = 6"]
    lines = ["[kafka]", *rows, "[judge]", *(f"{k} = {v}" for k, v in judge.items())]
    lines += ["[detect]", "learn_days = 0", "learn_blocks = 100"]
    path.write_text("\n".join(lines) + "\n")
    return path


def poisoned(values: Sequence[bytes]) -> list[bytes]:
    """Let something that is no event follow one event in a hundred."""
    return [v for value in values for v in ([value, b"{"] if crc32(value) % 100 == 0 else [value])]


@contextmanager
def worker(
    config: Path, log: Path, *more: str, code: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker in a process group of its own; kill what is left of it at the end.

    `code` is where the packages lie: another version's, perhaps.
    """
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*DRIFTLINE, "worker", "-c", str(config), *more],
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=code,
            env=os.environ | {"PYTHONPATH": str(code)},
        )
        try:
            yield process
        finally:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker and its roles with -9."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def records(kafka: str | dict[str, Any], topic: str) -> list[tuple[str, dict[str, Any]]]:
    """Read a topic from its start to its present end: keys, and values as JSON.

    `kafka` is a bootstrap address, or the options of a client.
    """
    options = {"bootstrap_servers": kafka} if isinstance(kafka, str) else kafka
    consumer = KafkaConsumer(**options, enable_auto_commit=False)
    try:
        numbers = consumer.partitions_for_topic(topic) or set()
        partitions = [TopicPartition(topic, n) for n in sorted(numbers)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        found = []
        while any(consumer.position(p) < ends[p] for p in partitions):
            for batch in consumer.poll(timeout_ms=200).values():
                found += [((r.key or b"").decode(), json.loads(r.value)) for r in batch]
        return found
    finally:
        consumer.close()


def eventually(look: Callable[[], bool], what: str) -> None:
    """Look again until it is so; fail with what was waited for."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not look():
        assert time.monotonic() < deadline, f"not within {WAIT_SECONDS_MAX:.0f} s: {what}"
        time.sleep(0.5)
