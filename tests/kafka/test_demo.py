"""The demo ends by itself, with the true alert and no other before it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(200)
def test_the_demo_finds_what_it_breaks(tmp_path: Path) -> None:
    environ = os.environ | {"DRIFTLINE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "driftline", "demo", "--once"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "broken on purpose: amount in country=DE" in done.stdout
    assert "fraud: amount" in done.stdout.split("broken on purpose")[1]
    assert "false" not in done.stdout
    status = subprocess.run(
        [sys.executable, "-m", "driftline", "kafka", "status"], env=environ, check=False
    )
    assert status.returncode == 1, "the demo left its Kafka running"
