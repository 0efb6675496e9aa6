"""A record that kills observe: three crashes, then a reject; the worker and a replay go on."""

import re
import signal
import urllib.request
from pathlib import Path

import orjson
import pytest
from canaries import canaries, leaks
from kafka import KafkaProducer
from live import ROOT, as_json, config_file, driftline, eventually, records, worker, write_lines
from logs import Shift, events, profile
from msgspec.structs import replace

from detectors.profile import render
from stream import localkafka
from stream.config_file import load_config
from tests.accounts import verified

# What a bug would be: planted in every process of the worker, as Python starts.
BUG = """
import os, signal, sys

sys.path.insert(0, {root!r})
import stream.batching

sound = stream.batching.decoded


guilty = {guilty!r}


def broken(some, *rest):
    if guilty in [some.value(row) for row in range(len(some)) if not some.ticks[row]]:
        {harm}
    return sound(some, *rest)


stream.batching.decoded = broken
"""
# As a look-up in a table of ours would: the error quotes the event.
RAISES = "raise KeyError(guilty.decode())"
FAULTS = "os.kill(os.getpid(), signal.SIGSEGV)"
EVENTS = 6_000


@pytest.mark.timeout(300)
@pytest.mark.parametrize("harm", [RAISES, FAULTS], ids=["raises", "faults"])
def test_the_guilty_record_is_a_reject_after_three_crashes(
    harm: str, bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    path = config_file(tmp_path, bootstrap, topic_prefix, snapshot_seconds=1)
    (tmp_path / "profile.json").write_text(render(profile()))
    driftline("profile", "push", tmp_path / "profile.json", "-c", path)
    log = events(EVENTS, seed=5, shifts=(Shift(at=2_000, sigma=2.0, country="FR"),))
    # Some of each pane are of a model without a profile: who learns reads all of it.
    log = [replace(e, model="toys") if n % 9 == 0 else e for n, e in enumerate(log)]
    values = [as_json(event) for event in log]
    before, guilty, after = values[:1_000], values[1_000], values[1_001:]
    guilty = orjson.dumps(orjson.loads(guilty) | {"extra": canaries("extra")})
    driftline("emit", write_lines(tmp_path / "before.jsonl", before), "-c", path)
    with KafkaProducer(bootstrap_servers=bootstrap) as producer:
        at = producer.send(f"{topic_prefix}.events", guilty, partition=2).get(10).offset
    driftline("emit", write_lines(tmp_path / "after.jsonl", after), "-c", path)
    bug = BUG.format(root=str(ROOT), guilty=guilty, harm=harm)
    (tmp_path / "sitecustomize.py").write_text(bug)
    told = tmp_path / "w.log"

    def rejects() -> list[tuple[str, int, int]]:
        found = [reject for _, reject in records(bootstrap, f"{topic_prefix}.rejects")]
        return [(reject["code"], reject["partition"], reject["offset"]) for reject in found]

    with worker(path, told, "--no-learn", code=tmp_path) as process:
        eventually(lambda: rejects() == [("quarantine", 2, at)], "the record is a reject")
        incidents = f"{topic_prefix}.incidents"
        eventually(lambda: bool(records(bootstrap, incidents)), "the judges go on")
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    kinds = [record["kind"] for _, record in records(bootstrap, f"{topic_prefix}.control")]
    assert kinds.count("quarantine") == 1
    lines = told.read_text().splitlines()
    assert sum('"event": "role ended"' in line for line in lines) == 3
    # A fault leaves no line of its own.
    raised = [line for line in lines if '"event": "crashed"' in line]
    assert len(raised) == (3 if harm == RAISES else 0)
    assert all("in broken\\nKeyError" in line for line in raised)
    assert leaks(told.read_bytes()) == set()
    _, verdict = verified(load_config(path, {}))
    assert verdict.first == ""
    assert verdict.compared["rejects"] == 1
    assert 0 < verdict.compared["events"] < EVENTS

    # Who learns reads the same log, and leaves the record alone.
    port = localkafka.free_port()

    def read() -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
            found = re.search(
                r"^driftline_records_read_total (.*)", page.read().decode(), re.MULTILINE
            )
        return int(float(found[1])) if found else 0

    learning = ("--only", "learn", "--metrics-port", str(port))
    with worker(path, tmp_path / "learn.log", *learning, code=tmp_path) as process:
        eventually(lambda: "listening" in (tmp_path / "learn.log").read_text(), "learn has begun")
        eventually(lambda: read() >= EVENTS, "learn has read everything")
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
