"""The short form of `make chaos`: the same code, a little of everything."""

from pathlib import Path

import pytest

from tests.chaos.campaign import campaign
from tests.chaos.errors import errors_of
from tests.chaos.report import findings, rows
from tests.chaos.scenarios import SHORT
from tests.chaos.stage import Outcome


@pytest.mark.kafka
@pytest.mark.timeout(600)
def test_whatever_breaks_nothing_is_lost_nothing_doubled_and_the_answer_is_the_same() -> None:
    told: list[str] = []
    done = campaign(SHORT, seed=1, tell=told.append)
    assert findings(done, timed=False) == [], "\n".join([*told, rows(done)])
    for one in done:
        assert (one.lost, one.doubled, one.state_equal) == (0, 0, True)
        assert len(one.recoveries) == sum(one.faults.values())
        assert one.stops_seconds
    mixed, stop = done
    assert mixed.events >= 40_000
    assert mixed.kills >= 4
    assert len(mixed.recoveries) >= 5
    assert stop.events >= 6_000
    assert stop.faults == {"SIGTERM": 1}


def test_a_stop_that_is_too_slow_is_a_finding() -> None:
    slow = Outcome("slow", stops_seconds=[9.9, 10.1, 20.1])
    assert findings([slow], timed=True) == [
        "slow: a worker took 10.1 s to stop (at most 10)",
        "slow: a worker took 20.1 s to stop (at most 10)",
    ]
    assert findings([slow], timed=False) == ["slow: a worker took 20.1 s to stop (at most 20)"]


def test_an_error_that_nothing_explains_is_a_finding(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    killed = '{"event": "role ended", "role": "judge", "code": -9, "level": "error"}'
    crashed = killed.replace("-9", "70")
    log.write_text(f'{killed}\n{crashed}\n{{"event": "restored", "level": "info"}}\nTraceback\n')
    assert errors_of([log], ["kill -9 of a judge"]) == [
        "log: role ended role=judge code=70 (1 times)",
        "log: not JSON: Traceback (1 times)",
    ]
    assert len(errors_of([log], ["SIGTERM"])) == 3
