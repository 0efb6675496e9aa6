"""Two versions of driftline in one group: forth, back, and side by side; the answer is the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import live
from tests.chaos.report import findings
from tests.chaos.stage import Scenario, Stage, run

# The oldest commit whose panes and snapshots are, byte for byte, still this version's.
OLDER = "58ad774e3c51fcda491044c0c442ddd74a232f35"
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
    def replace(stage: Stage, code: Path) -> None:
        """Let another version join, and the one that was there leave."""
        (before,) = stage.fleet.workers
        stage.fleet.start(code=code)
        stage.fleet.until_assigned()
        stage.gauge.until_progress()
        stage.fleet.stop(before)

    def roll(stage: Stage) -> None:
        stage.fault("back to the older version", lambda: replace(stage, older))
        stage.fault("on to the newer version", lambda: replace(stage, live.ROOT))

    one = Scenario("versions", roll, 30_000, rate=400, workers=("",))
    outcome = run(one, (bootstrap, tmp_path))
    assert findings([outcome], timed=False) == []
    assert (outcome.lost, outcome.doubled, outcome.state_equal) == (0, 0, True)
    assert len(outcome.recoveries) == 2
