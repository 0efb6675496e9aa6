"""Two versions of driftline in one group: forth, back, and side by side; the answer is the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import live
from tests.chaos.report import findings
from tests.chaos.stage import Scenario, Stage, run

# The oldest commit whose snapshots and panes this version still shares a group with.
OLDER = "b25868d437b134b71da15db356c737ab02034bd6"
PACKAGES = ("driftline", "stream", "detectors")
WARM = "from stream.warmup import warm_judge, warm_observe; warm_observe(); warm_judge()"


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """Check the older version out, compiled; skip (counted) where its commit is not known."""
    git = ["git", "-C", str(live.ROOT), "archive", OLDER, *PACKAGES]
    done = subprocess.run(git, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("the history does not hold the older version (a shallow clone)")
    code = tmp_path / "older"
    code.mkdir()
    subprocess.run(["tar", "-x", "-C", str(code)], input=done.stdout, check=True)
    environ = os.environ | {"PYTHONPATH": str(code)}
    subprocess.run([sys.executable, "-c", WARM], cwd=code, env=environ, check=True)
    return code


@pytest.mark.timeout(900)
def test_two_versions_in_one_group_give_the_answer_of_one(
    bootstrap: str, tmp_path: Path, older: Path
) -> None:
    def roll(stage: Stage) -> None:
        (newer,) = fleet = stage.fleet.workers

        def add(code: Path) -> None:
            stage.fleet.start(code=code)
            stage.fleet.until_assigned()

        stage.fault("the older version joins", lambda: add(older))
        stage.fault("the newer version leaves", lambda: stage.fleet.stop(newer))
        stage.fault("the newer version joins", lambda: add(live.ROOT))
        stage.fault("the older version leaves", lambda: stage.fleet.stop(fleet[0]))

    one = Scenario("versions", roll, 40_000, rate=400, workers=("",))
    outcome = run(one, (bootstrap, tmp_path))
    assert findings([outcome], timed=False) == []
    assert (outcome.lost, outcome.doubled, outcome.state_equal) == (0, 0, True)
    assert len(outcome.recoveries) == 4
