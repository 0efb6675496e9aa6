"""The local Kafka, started for real: what is found again, refused, and left behind (nothing)."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from kafka.admin import KafkaAdminClient, NewTopic

from detectors.errors import ConfigError, ServiceUnreachable, StateRefused
from stream import localkafka
from stream.kafka_probe import answers
from stream.localkafka import Broker

pytestmark = pytest.mark.kafka


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a DRIFTLINE_HOME of the test's own, and leave no broker in it."""
    monkeypatch.setenv("DRIFTLINE_HOME", str(tmp_path))
    yield tmp_path
    localkafka.stop()


def exists(pid: int) -> bool:
    """Tell whether the process table has this process, a zombie included."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def in_another_shell(code: str) -> str:
    """Run a line of Python in a process of its own, with this environment."""
    command = [sys.executable, "-c", f"from stream import localkafka as k; {code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def topics(broker: Broker) -> set[str]:
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    names = set(admin.list_topics())
    admin.close()
    return names


def test_a_life_start_find_refuse_stop_restart_with_the_data_kept(home: Path) -> None:
    assert localkafka.status() is None
    port = localkafka.free_port()
    told: list[str] = []
    broker = localkafka.start(port, told.append)
    assert any(str(port) in line for line in told)
    assert broker.port == port
    assert broker.bootstrap == f"127.0.0.1:{port}"
    assert Path(broker.directory) == home / "kafka"
    assert answers(broker.bootstrap)
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    admin.create_topics([NewTopic("kept", num_partitions=3, replication_factor=1)])
    admin.close()

    assert localkafka.start() == broker
    assert localkafka.start(port) == broker
    assert localkafka.status() == broker
    with pytest.raises(ConfigError, match=broker.bootstrap):
        localkafka.start(localkafka.free_port())

    assert localkafka.stop()
    assert not exists(broker.pid)
    assert not answers(broker.bootstrap)
    assert localkafka.status() is None
    assert not localkafka.stop()

    again = localkafka.start()
    assert again.port == port
    assert again.pid != broker.pid
    assert "kept" in topics(again)


@pytest.mark.usefixtures("home")
def test_another_shell_finds_and_stops_the_broker_and_ctrl_c_spares_it() -> None:
    pid = int(in_another_shell(f"print(k.start({localkafka.free_port()}).pid)"))
    broker = localkafka.status()
    assert broker is not None
    assert broker.pid == pid
    assert os.getsid(pid) == pid != os.getsid(0), "a Ctrl-C in our terminal would reach it"
    assert in_another_shell("print(k.stop())") == "True"
    deadline = time.monotonic() + 5
    while exists(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not exists(pid)
    assert localkafka.status() is None


@pytest.mark.usefixtures("home")
def test_two_shells_that_start_at_once_get_the_same_broker() -> None:
    code = "from stream import localkafka as k; print(k.start().pid)"
    command = [sys.executable, "-c", code]
    shells = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    pids = {shell.communicate(timeout=90)[0].strip() for shell in shells}
    broker = localkafka.status()
    assert broker is not None
    assert pids == {str(broker.pid)}


def test_a_state_file_that_names_a_foreign_process_is_stale_and_that_process_is_spared(
    home: Path,
) -> None:
    directory = home / "kafka"
    directory.mkdir()
    bystander = subprocess.Popen(["sleep", "60"])
    stale = Broker("127.0.0.1:1", 1, bystander.pid, str(directory))
    (directory / "state.json").write_bytes(msgspec.json.encode(stale))
    try:
        assert localkafka.status() is None
        assert not localkafka.stop()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.usefixtures("home")
def test_a_broker_that_was_killed_is_not_running() -> None:
    broker = localkafka.start(localkafka.free_port())
    os.kill(broker.pid, signal.SIGKILL)
    os.waitpid(broker.pid, 0)
    assert localkafka.status() is None
    assert not localkafka.stop()


@pytest.mark.usefixtures("home")
def test_brokers_of_two_homes_run_side_by_side(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = localkafka.start(localkafka.free_port())
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("DRIFTLINE_HOME", str(tmp_path_factory.mktemp("second")))
        second = localkafka.start(localkafka.free_port())
        assert answers(first.bootstrap)
        assert answers(second.bootstrap)
        assert localkafka.stop()
        assert not exists(second.pid)
    assert localkafka.status() == first


def test_a_taken_port_is_refused_before_anything_starts(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"Port {port}"):
            localkafka.start(port)
    assert not (home / "kafka" / "data").exists()


def test_a_jar_with_other_bytes_is_refused_by_name(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jars = home / "jars"
    shutil.copytree(localkafka.ensure_jars()[0].parent, jars)
    monkeypatch.setenv("DRIFTLINE_JARS", str(jars))
    victim = next(jars.glob("kafka-raft-*.jar"))
    victim.write_bytes(victim.read_bytes()[:-1] + b"x")
    with pytest.raises(StateRefused, match=f"{victim.name} is not the file.*Remove"):
        localkafka.start(localkafka.free_port())
    assert localkafka.status() is None


def test_a_broker_that_fails_shows_its_log_and_leaves_no_process(home: Path) -> None:
    broker = localkafka.start(localkafka.free_port())
    localkafka.stop()
    (home / "kafka" / "data" / "meta.properties").write_text("version=1\nnonsense\n")
    with pytest.raises(ServiceUnreachable, match=r"(?s)server\.log.*Last lines:.*ERROR") as caught:
        localkafka.start()
    assert len(str(caught.value).splitlines()) > 3
    assert localkafka.status() is None
    assert not answers(broker.bootstrap)
