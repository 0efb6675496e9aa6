"""The demo takes the true alert for true, a false one for false, and a dead worker for dead."""

import os
from pathlib import Path
from typing import Any

import pytest

from detectors.alert import instant
from detectors.errors import ServiceUnreachable
from driftline.demo import Demo
from driftline.demo_worker import DemoWorker

BROKEN_MS = 1_767_225_600_250
AMOUNT = "feature:amount"


def seen(
    after_ms: int, channel: str = AMOUNT, where: dict[str, str] | None = None, **fields: Any
) -> dict[str, Any]:
    alert = {
        "id": "0",
        "revision": 0,
        "status": "firing",
        "severity": "warning",
        "time": instant(BROKEN_MS + after_ms),
        "channel": channel,
        "slice": where or {},
        "detectors": ["sr:level"],
        "score": 9.0,
        "threshold": 8.0,
        "summary": f"{channel} has changed",
    }
    return {"alert": alert | fields}


def outcome(*values: dict[str, Any]) -> int | None:
    demo = Demo(once=True, seed=1)
    demo._broken_ms = BROKEN_MS
    for value in values:
        demo._on_alert(value)
    return demo._outcome


@pytest.mark.parametrize("where", [{}, {"country": "DE"}])
def test_the_broken_feature_in_its_segment_or_in_all_ends_well(where: dict[str, str]) -> None:
    assert outcome(seen(10_000, where=where)) == 0


def test_an_alert_that_follows_from_the_break_decides_nothing() -> None:
    follows = seen(8_000, "prediction", {"country": "DE"})
    assert outcome(follows) is None
    assert outcome(seen(8_000, where={"device": "ios"})) is None
    assert outcome(follows, seen(10_000)) == 0


@pytest.mark.parametrize("before_ms", [250, 249, 60_000])
def test_an_alert_before_the_break_ends_badly(before_ms: int) -> None:
    # 250 ms before is a whole second, which is written shorter than the moment of the break.
    assert outcome(seen(-before_ms), seen(10_000)) == 1
    assert outcome(seen(-before_ms, "prediction"), seen(10_000)) == 1


def test_the_next_steps_are_told_once_whatever_fired_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcome(seen(8_000, "prediction"), seen(10_000), seen(12_000, where={"country": "DE"}))
    assert capsys.readouterr().out.count("after the break. What to type next") == 1


def test_a_worker_that_ends_is_named_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "driftline.toml"
    config.write_text("[kafka]\nprefixx = 'a'\n")
    # What the user has set for work has no say in the demo.
    monkeypatch.setenv("DRIFTLINE_KAFKA_BOGUS", "1")
    worker = DemoWorker(config)
    try:
        assert worker._process.wait(60) == 2
        with pytest.raises(ServiceUnreachable, match=r"exit code 2(.|\n)*kafka\.prefix\?"):
            worker.check()
        assert str(worker.log) in worker.trouble("x")
        assert "bogus" not in worker.log.read_text().lower()
    finally:
        worker.stop()


def test_stopping_leaves_no_process(tmp_path: Path) -> None:
    config = tmp_path / "driftline.toml"
    config.write_text("[kafka]\nbootstrap = '127.0.0.1:1'\n")
    worker = DemoWorker(config)
    worker.stop()
    with pytest.raises(ProcessLookupError):
        os.killpg(worker._process.pid, 0)
