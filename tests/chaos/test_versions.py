"""Versions of driftline in one group: back, forth, and side by side; the answer is the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import live
from tests.chaos.report import findings
from tests.chaos.stage import Scenario, Stage, run

# Two, since formats have changed both ways.  Of each, all that this version writes is read by the
# other one, and the other way round.  A commit that is no partner any more (its answer is another
# one, as after a change of a detector) is replaced by one behind the change.
OLDER = {
    # It lacks what 0.1.0 has gained since: a chunk's `term`, an incident's `forgotten` and
    # `worst`, the second kind of commit.  So it meets fields that it does not know, and what it
    # writes comes without them.
    "oldest": "58ad774e3c51fcda491044c0c442ddd74a232f35",
    # It has all of these, and writes a field of an incident that has been dropped since, `kept`.
    "newest": "e15a266cad33dc30e5fc6e3465f64ad74f9b8197",
}
PACKAGES = ("driftline", "stream", "detectors")
WARM = "from stream.warmup import warm_judge, warm_observe; warm_observe(); warm_judge()"


def git(root: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False)


def archive(root: Path, commit: str) -> bytes:
    """Give a commit's packages as a tar file; skip (counted) only where there is no history."""
    if not (root / ".git").exists():
        pytest.skip("the history is not there: these are files without a repository")
    done = git(root, "archive", commit, *PACKAGES)
    if done.returncode:
        if git(root, "rev-parse", "--is-shallow-repository").stdout.strip() == b"true":
            pytest.skip("the history is cut off (a shallow clone): git fetch --unshallow")
        pytest.fail(f"no version {commit} in the history: {done.stderr.decode()}")
    return done.stdout


@pytest.fixture
def older(tmp_path: Path) -> dict[str, Path]:
    """Check the older versions out, compiled."""
    found = {}
    for name, commit in OLDER.items():
        content = archive(live.ROOT, commit)
        found[name] = tmp_path / name
        found[name].mkdir()
        subprocess.run(["tar", "-x", "-C", str(found[name])], input=content, check=True)
        environ = os.environ | {"PYTHONPATH": str(found[name])}
        subprocess.run([sys.executable, "-c", WARM], cwd=found[name], env=environ, check=True)
    return found


def test_history_is_missed_where_it_should_be_there(tmp_path: Path) -> None:
    whole, cut, none = (tmp_path / name for name in ("whole", "cut", "none"))
    none.mkdir()
    for package in PACKAGES:
        (whole / package).mkdir(parents=True)
        (whole / package / "a.py").touch()
    somebody = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    for command in (("init",), ("add", "."), (*somebody, "commit", "-m", "first")):
        assert git(whole, *command).returncode == 0
    assert git(none, "clone", "--depth=1", whole.as_uri(), str(cut)).returncode == 0
    assert archive(whole, "HEAD")
    with pytest.raises(pytest.fail.Exception, match="no version 58ad"):
        archive(whole, OLDER["oldest"])
    with pytest.raises(pytest.skip.Exception, match="without a repository"):
        archive(none, OLDER["oldest"])
    (cut / ".git" / "shallow").write_bytes(git(cut, "rev-parse", "HEAD").stdout)
    with pytest.raises(pytest.skip.Exception, match="git fetch --unshallow"):
        archive(cut, OLDER["oldest"])


@pytest.mark.timeout(900)
def test_versions_in_one_group_give_the_answer_of_one(
    bootstrap: str, tmp_path: Path, older: dict[str, Path]
) -> None:
    def replace(stage: Stage, code: Path) -> None:
        """Let another version join, and the one that was there leave."""
        (before,) = stage.fleet.workers
        stage.fleet.start(code=code)
        stage.fleet.until_assigned()
        stage.gauge.until_progress()
        stage.fleet.stop(before)

    def roll(stage: Stage) -> None:
        for name, code in (*older.items(), ("this", live.ROOT)):
            stage.fault(f"over to the {name} version", lambda code=code: replace(stage, code))

    one = Scenario("versions", roll, 45_000, rate=400, workers=("",))
    outcome = run(one, (bootstrap, tmp_path))
    assert findings([outcome], timed=False) == []
    assert (outcome.lost, outcome.doubled, outcome.state_equal) == (0, 0, True)
    assert len(outcome.recoveries) == len(older) + 1
