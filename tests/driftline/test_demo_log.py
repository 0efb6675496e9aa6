"""The demo's log is the same for the same seed, and only its break raises an alarm."""

from datetime import datetime
from functools import cache
from itertools import islice
from pathlib import Path

import orjson
import pytest

from detectors.alert import Alert
from detectors.fit import fit
from detectors.profile import Profile
from driftline.demo_log import BROKEN_CHANNEL, BROKEN_SLICE, EventLog
from stream.backtest import Backtest
from stream.config import Config, DetectConfig, TimeConfig
from stream.decode.json_events import decode
from stream.fitting import fit_options

START_MS = 1_767_225_600_000
RATE = 60.0
CONFIG = Config(
    time=TimeConfig(pane_seconds=1, bucket_seconds=2, lateness_seconds=2),
    detect=DetectConfig(learn_days=0, learn_blocks=100),
)


@cache
def profile() -> Profile:
    log = EventLog(seed=1, rate=RATE, start_ms=START_MS - 2_400_000)
    values = [value for _, value in log.until(START_MS)]
    events = decode(values, None, CONFIG.limits).events
    return fit(events, fit_options(CONFIG, events), CONFIG.policy)


def firing(log: EventLog, end_ms: int, directory: Path) -> list[Alert]:
    path = directory / "events.jsonl"
    path.write_bytes(b"".join(value + b"\n" for _, value in log.until(end_ms)))
    effects = Backtest(CONFIG, [profile()]).run([path])
    return [e for e in effects if isinstance(e, Alert) and e.status == "firing"]


def test_the_same_seed_gives_the_same_bytes() -> None:
    one, two = (list(islice(EventLog(3, RATE, START_MS).forever(), 2_000)) for _ in range(2))
    assert one == two
    assert one != list(islice(EventLog(4, RATE, START_MS).forever(), 2_000))


def test_an_event_has_twelve_features_three_segments_and_about_420_bytes() -> None:
    values = [value for _, value in islice(EventLog(3, RATE, START_MS).forever(), 500)]
    event = orjson.loads(values[0])
    assert len(event["features"]) == 12
    assert len(event["segments"]) == 3
    assert 380 < sum(map(len, values)) / len(values) < 460


@pytest.mark.parametrize("seed", [11, 12])
def test_nothing_fires_where_nothing_is_broken(seed: int, tmp_path: Path) -> None:
    assert firing(EventLog(seed, RATE, START_MS), START_MS + 1_200_000, tmp_path) == []


def test_the_broken_feature_is_named_first_and_within_a_minute(tmp_path: Path) -> None:
    broken_ms = START_MS + 300_000
    log = EventLog(21, RATE, START_MS, broken_ms)
    first, *_ = firing(log, broken_ms + 90_000, tmp_path)
    assert first.channel == BROKEN_CHANNEL
    assert first.slice in ({}, BROKEN_SLICE)
    assert broken_ms < moment(first) <= broken_ms + 60_000


def test_only_the_broken_feature_in_its_segment_and_the_score_that_follows_differ() -> None:
    broken_ms = START_MS + 10_000
    right = islice(EventLog(3, RATE, START_MS).forever(), 2_000)
    wrong = islice(EventLog(3, RATE, START_MS, broken_ms).forever(), 2_000)
    changed = 0
    for (time_ms, one), (_, other) in zip(right, wrong, strict=True):
        before, after = orjson.loads(one), orjson.loads(other)
        hit = time_ms >= broken_ms and before["segments"]["country"] == "DE"
        if hit:
            changed += 1
            assert after["features"].pop("amount") > 2 * before["features"].pop("amount")
            assert after.pop("prediction") > before.pop("prediction")
        assert before == after
    assert changed > 200


def moment(alert: Alert) -> float:
    return datetime.fromisoformat(alert.time).timestamp() * 1000
