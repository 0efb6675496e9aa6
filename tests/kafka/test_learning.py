"""A model that nobody has fitted a profile for is learnt from the log, once, whoever dies."""

import json
from pathlib import Path

import pytest
from kafka import KafkaProducer
from live import as_json, config_file, driftline, eventually, kill, records, worker
from logs import Shift, events

from detectors.alert import instant_ms
from detectors.fit import fit
from detectors.profile import load
from stream.config_file import load_config
from stream.fitting import fit_options

# Five events a second.  100 blocks of 50 events, and half as many again, are 7,500 events: the
# third step of ten minutes holds them.
STEP_MS = 200
REFERENCE_SECONDS = 1_800
FIRST, ALL = 9_600, 20_000
SHIFT = Shift(at=14_000, sigma=3.0)


def emit(bootstrap: str, prefix: str, values: list[bytes]) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=20)
    for i, value in enumerate(values):
        producer.send(f"{prefix}.events", value, partition=i % 4)
    producer.flush()
    producer.close()


def profiles(bootstrap: str, prefix: str) -> list[dict[str, object]]:
    found = [value for _, value in records(bootstrap, f"{prefix}.control")]
    return [value for value in found if value["kind"] == "profile"]


def lines(log: Path) -> list[dict[str, object]]:
    """Give what a worker has logged itself; a client may find a new broker unready, and say so."""
    told = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in told if "logger" not in line]


def assigned(log: Path) -> set[object]:
    """Name the roles of a worker that have joined their groups."""
    return {line["role"] for line in lines(log) if line["event"] == "assigned"}


def alerts_of(bootstrap: str, prefix: str) -> set[str]:
    found = records(bootstrap, f"{prefix}.alerts")
    return {json.dumps(value["alert"], sort_keys=True) for _, value in found}


@pytest.mark.timeout(300)
def test_a_model_is_learnt_once_and_then_alarms_and_a_replay_says_the_same(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    config = config_file(tmp_path, bootstrap, topic_prefix)
    driftline("config", "push", config)
    log = events(ALL, seed=5, step_ms=STEP_MS, shifts=(SHIFT,))
    values = [as_json(event) for event in log]
    logs = [tmp_path / f"{name}.log" for name in ("worker", "killed", "later", "learner")]
    with worker(config, logs[0]), worker(config, logs[1]) as killed:
        emit(bootstrap, topic_prefix, values[:FIRST])
        # Nobody asked for it: observe has met a model that it does not know.
        eventually(lambda: any("learn" in assigned(path) for path in logs[:2]), "somebody learns")
        eventually(lambda: "learn" in assigned(logs[1]), "the other one would")
        kill(killed)
        with worker(config, logs[2]), worker(config, logs[3], "--only", "learn"):
            # Not before: events that come all at once leave a push no time to be read by all.
            told = '"event": "learnt"'
            eventually(lambda: any(told in path.read_text() for path in logs), "one is learnt")
            assert profiles(bootstrap, topic_prefix)
            emit(bootstrap, topic_prefix, values[FIRST:])
            eventually(lambda: bool(alerts_of(bootstrap, topic_prefix)), "an alert")
            found = profiles(bootstrap, topic_prefix)
    assert len(found) == 1
    told = [line for path in logs for line in lines(path)]
    assert [line for line in told if line["level"] in {"error", "critical"}] == []

    # It is the profile of the events that a person would have taken from the log.
    settings = load_config(config, {})
    start = log[0].time_ms
    reference = [e for e in log if e.time_ms < start + REFERENCE_SECONDS * 1000]
    expected = fit(reference, fit_options(settings, reference), settings.policy)
    learnt = load(json.dumps(found[0]["body"]), "control")
    assert learnt == expected
    assert any(stream.reference.may_alarm for stream in learnt.streams)
    assert instant_ms(str(found[0]["effective_from"])) > log[FIRST - 1].time_ms

    # A replay takes it from the control topic.
    path = tmp_path / "alerts.jsonl"
    driftline("backtest", f"kafka:{topic_prefix}.events", "-c", config, "--alerts", path)
    replayed = {json.dumps(json.loads(line), sort_keys=True) for line in path.open()}
    lived = alerts_of(bootstrap, topic_prefix)
    assert lived
    assert lived <= replayed
