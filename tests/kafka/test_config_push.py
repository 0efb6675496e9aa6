"""A configuration or a profile pushed in mid-run: all workers follow, a replay gives the same."""

import json
import signal
import subprocess
import time
from pathlib import Path

from live import as_json, config_file, driftline, eventually, poisoned, records, worker, write_lines
from logs import SHORT, Shift, events, profile

from detectors.fit import fit
from detectors.panes import decode_part
from detectors.policy import Policy
from detectors.profile import render
from stream.config_file import load_config
from tests.accounts import verified

EVENTS = 12_000


def test_live_and_replay_agree_about_a_configuration_pushed_in_mid_run(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    path = config_file(tmp_path, bootstrap, topic_prefix, snapshot_seconds=1)
    shifts = (Shift(at=2_000, sigma=2.0, country="FR"), Shift(at=8_000, sigma=2.0, country="DE"))
    log = events(EVENTS, seed=5, shifts=shifts)
    (tmp_path / "profile.json").write_text(render(profile()))
    # Ticks move W on between the halves.
    halves = [log[: EVENTS // 2], log[EVENTS // 2 + 300 :]]
    files = [
        write_lines(tmp_path / f"{i}.jsonl", poisoned([as_json(e) for e in half]))
        for i, half in enumerate(halves)
    ]
    loose = tmp_path / "loose.toml"
    loose.write_text(path.read_text() + '[policy]\nalarm_budget = "20/hour"\n')
    with worker(path, tmp_path / "w0.log") as first:
        driftline("profile", "push", tmp_path / "profile.json", "-c", path)
        driftline("emit", files[0], "-c", path, "--rate", "3000")
        eventually(lambda: bool(records(bootstrap, f"{topic_prefix}.metrics")), "the first metric")
        time.sleep(2)
        assert "In force from 2026" in driftline("config", "push", loose).stdout
        refused = driftline("profile", "push", tmp_path / "profile.json", "-c", path, code=2)
        assert "policy.alarm_budget" in refused.stderr
        with worker(loose, tmp_path / "w1.log") as second:
            eventually(
                lambda: _assigned(tmp_path / "w1.log") == {"observe", "judge"}, "two workers"
            )
            driftline("emit", files[1], "-c", loose, "--rate", "3000")
            eventually(
                lambda: len(configs(bootstrap, topic_prefix)) == 2, "alerts of both configurations"
            )
            _stop(first, second)
    _, verdict = verified(load_config(loose, {}))
    assert verdict.first == ""
    for line, told in (
        ("pane_seconds = 3", "is 3, and 2"),
        ("ticks = false", "is false, and true"),
    ):
        other = tmp_path / "panes.toml"
        other.write_text(f"{loose.read_text()}[time]\n{line}\n")
        refused = " ".join(driftline("config", "push", other, code=2).stderr.split())
        assert f"time.{line.partition(' ')[0]} {told}" in refused
        assert "panes are cut in one way" in refused


def test_live_and_replay_agree_about_a_profile_pushed_in_mid_run(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    path = config_file(tmp_path, bootstrap, topic_prefix, snapshot_seconds=1)
    metrics = f"{topic_prefix}.metrics"
    log = events(EVENTS, seed=5, shifts=(Shift(at=2_000, sigma=2.0, country="FR"),))
    other = fit(events(20_000, seed=2), SHORT, Policy())
    for name, one in (("profile", profile()), ("other", other)):
        (tmp_path / f"{name}.json").write_text(render(one))
    halves = [
        write_lines(tmp_path / f"{i}.jsonl", poisoned([as_json(e) for e in half]))
        for i, half in enumerate((log[: EVENTS // 2], log[EVENTS // 2 + 300 :]))
    ]
    driftline("profile", "push", tmp_path / "profile.json", "-c", path)
    with worker(path, tmp_path / "w0.log") as first, worker(path, tmp_path / "w1.log") as second:
        driftline("emit", halves[0], "-c", path, "--rate", "3000")
        eventually(lambda: bool(records(bootstrap, f"{topic_prefix}.metrics")), "the first metric")
        told = driftline("profile", "push", tmp_path / "other.json", "-c", path).stdout
        assert "in force from 2026" in " ".join(told.split())
        driftline("emit", halves[1], "-c", path, "--rate", "3000")
        eventually(
            lambda: other.hash in {v["profile"] for _, v in records(bootstrap, metrics)},
            "a block is judged with the new profile",
        )
        _stop(first, second)
    live, verdict = verified(load_config(path, {}))
    assert verdict.first == ""
    parts = [decode_part(value) for value in live.told["parts"].values()]
    assert {entry.profile for part in parts for entry in part.entries} == {
        profile().hash,
        other.hash,
    }


def configs(bootstrap: str, prefix: str) -> set[str]:
    return {value["alert"]["config"] for _, value in records(bootstrap, f"{prefix}.alerts")}


def _assigned(log: Path) -> set[str]:
    """Name the roles of a worker that have partitions."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return {line["role"] for line in lines if line["event"] == "assigned"}


def _stop(*workers: subprocess.Popen[bytes]) -> None:
    """Stop workers at once: who is told while it takes over another's has no state to leave."""
    for process in workers:
        process.send_signal(signal.SIGTERM)
    for process in workers:
        assert process.wait(15) == 0
