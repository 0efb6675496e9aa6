"""A topic replayed gives what the workers published: alerts, incidents, metrics, and the state."""

import asyncio
import re
import signal
from pathlib import Path

import pytest
from live import as_json, config_file, driftline, eventually, poisoned, records, worker, write_lines
from logs import Shift, events, profile

from detectors.alert import instant
from detectors.errors import ConfigError
from detectors.monitor import MonitorState
from detectors.profile import render
from stream.checkpoint import pack
from stream.config import Config
from stream.config_file import load_config
from stream.replay import Replay
from tests.accounts import snapshots, take_effect, verified
from tests.verifier import Account

EVENTS = 10_000
PARTITIONS = 4


@pytest.fixture(scope="module")
def lived(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Run a worker over a log with a break in it, and stop it."""
    place = tmp_path_factory.mktemp("lived")
    prefix = f"replay-{place.name.lower()}"
    path = config_file(place, bootstrap, prefix)
    log = events(EVENTS, seed=5, shifts=(Shift(at=4_000, sigma=2.0, country="DE"),))
    values = write_lines(place / "live.jsonl", poisoned([as_json(event) for event in log]))
    (place / "profile.json").write_text(render(profile()))
    with worker(path, place / "worker.log") as process:
        driftline("profile", "push", place / "profile.json", "-c", path)
        driftline("emit", values, "-c", path, "--rate", "4000")
        metrics = f"{prefix}.metrics"
        end = events(EVENTS, seed=5)[-1].time_ms - 60_000
        eventually(
            lambda: any(
                logged["block"]["end"] >= instant(end) for _, logged in records(bootstrap, metrics)
            ),
            "everything is judged",
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    return load_config(path, {})


def packed(state: MonitorState) -> dict[str, bytes]:
    return {"order": pack(state.sources), **{k: pack(v) for k, v in state.models.items()}}


def test_a_replay_of_the_events_gives_what_was_published_and_the_state_that_was_saved(
    lived: Config,
) -> None:
    live, verdict = verified(lived)
    assert verdict.first == ""
    assert len(live.states) == PARTITIONS
    assert EVENTS - 500 < verdict.compared["events"] <= EVENTS


def test_a_replay_of_the_summaries_gives_the_same(lived: Config) -> None:
    live, _ = verified(lived)
    replay, again = Replay(lived, f"{lived.kafka.prefix}.summaries"), Account()

    async def run() -> None:
        # An observe may say more after the judges have stopped.
        ends = {p: one.manifest.next for p, one in enumerate(await snapshots(lived))}
        async for effect in replay.run(end=ends):
            take_effect(again, effect)

    asyncio.run(run())
    for kind in ("alerts", "incidents", "metrics"):
        assert again.told[kind] == live.told[kind]
    assert again.told["alerts"]
    assert [packed(state) for state in live.states] == [packed(s) for s in replay.states()]


def rows(said: str) -> int:
    """Read how many rows a backtest says it has counted."""
    found = re.search(r"([\d,]+) rows", said)
    assert found is not None
    return int(found[1].replace(",", ""))


def test_the_command_replays_a_range_and_says_what_is_not_there(
    lived: Config, tmp_path: Path
) -> None:
    kafka = lived.kafka
    config = config_file(tmp_path, kafka.bootstrap, kafka.prefix)
    topic, alerts = f"kafka:{kafka.prefix}.events", tmp_path / "alerts.jsonl"
    whole = driftline("backtest", topic, "-c", config, "--alerts", alerts)
    assert "incidents with" in whole.stdout
    assert set(verified(lived)[0].told["alerts"].values()) <= set(alerts.read_bytes().splitlines())
    half = driftline("backtest", topic, "-c", config, "--to", "0:500,1:500,2:500,3:500")
    # Rows of finished panes; where the last ones end depends on when ticks were written.
    assert 0 < rows(half.stdout) <= 2_000 < rows(whole.stdout)
    none = driftline("backtest", topic, "-c", config, "--to", "2020-01-01T00:00:00Z")
    assert "0 rows" in none.stdout
    refused = driftline("backtest", topic, "-c", config, "--from", "0:99999999", code=2)
    assert "holds offsets 0 to" in refused.stderr
    neither = driftline("backtest", topic, "-c", config, "--from", "yesterday", code=2)
    assert "neither a time" in neither.stderr


def test_only_events_and_summaries_can_be_replayed() -> None:
    with pytest.raises(ConfigError, match="cannot be replayed"):
        Replay(Config(), "driftline.alerts")
