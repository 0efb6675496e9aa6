"""The short form of `make chaos`: the same code, a little of everything."""

from pathlib import Path

import pytest

from tests.chaos.campaign import campaign
from tests.chaos.errors import errors_of
from tests.chaos.report import findings, rows
from tests.chaos.scenarios import SHORT


@pytest.mark.kafka
@pytest.mark.timeout(600)
def test_whatever_breaks_nothing_is_lost_nothing_doubled_and_the_answer_is_the_same() -> None:
    told: list[str] = []
    done = campaign(SHORT, seed=1, tell=told.append)
    assert findings(done, timed=False) == [], "\n".join([*told, rows(done)])
    for one in done:
        assert one.events >= 60_000
        assert one.kills >= 5
        assert (one.lost, one.doubled, one.state_equal) == (0, 0, True)
        assert len(one.recoveries) == sum(one.faults.values()) >= 7


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
