"""`driftline kafka` as a user types it: what it prints, and its exit codes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream import localkafka

pytestmark = pytest.mark.kafka


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("DRIFTLINE_HOME", str(tmp_path))
    yield tmp_path
    localkafka.stop()


def kafka(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "driftline", "kafka", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=90, env=dict(os.environ)
    )


def test_start_find_refuse_status_stop(home: Path) -> None:
    port = localkafka.free_port()
    before = kafka("status")
    assert before.returncode == 1
    assert "driftline kafka start" in before.stdout

    started = kafka("start", "--port", str(port))
    assert started.returncode == 0, started.stderr
    assert f"Kafka runs on 127.0.0.1:{port}" in started.stdout
    assert str(home) in started.stdout
    assert "Starting Apache Kafka" in started.stderr

    assert f"already runs on 127.0.0.1:{port}" in kafka("start").stdout
    status = kafka("status")
    assert status.returncode == 0
    assert f"127.0.0.1:{port}" in status.stdout
    refused = kafka("start", "--port", str(localkafka.free_port()))
    assert refused.returncode == 2
    assert f"already runs on 127.0.0.1:{port}" in refused.stderr
    assert "Traceback" not in refused.stderr

    stopped = kafka("stop")
    assert stopped.returncode == 0
    assert "has stopped" in stopped.stdout
    assert kafka("status").returncode == 1
    again = kafka("stop")
    assert again.returncode == 0
    assert "No local Kafka runs." in again.stdout


@pytest.mark.parametrize("port", ["80", "65536", "many"])
def test_a_port_that_cannot_be_is_refused(home: Path, port: str) -> None:
    refused = kafka("start", "--port", port)
    assert refused.returncode == 2
    assert "--port" in refused.stderr
    assert not (home / "kafka").exists()


def test_jars_that_cannot_be_fetched_exit_4_and_say_what_to_do(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIFTLINE_JARS", str(home / "jars"))
    # Nobody listens there: the network is gone.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    failed = kafka("start")
    assert failed.returncode == 4
    assert "HTTPS_PROXY" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert kafka("status").returncode == 1
