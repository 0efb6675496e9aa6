"""What every test can ask for: a real broker, topics of its own, the shared data.

The broker is the one in DRIFTLINE_TEST_BOOTSTRAP, else a container where a Docker engine
answers, else a local Kafka in a directory of this session; never a mock.
"""

import os
import re
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings
from secured import SecuredKafka, secured_kafka

from stream import localkafka
from stream.kafka_jars import KAFKA_VERSION
from stream.kafka_probe import answers

REPOSITORY = Path(__file__).parents[1]
CONTAINER_SECONDS_MAX = 90.0

# The same examples in every run, and no deadline on a shared machine.
settings.register_profile("driftline", derandomize=True, deadline=None)
settings.load_profile("driftline")


@pytest.fixture(scope="session", autouse=True)
def driftline_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the session off the user's own directory; share the jars with it."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("driftline")
        jars = os.environ.get("DRIFTLINE_JARS") or localkafka.driftline_home() / "jars"
        patch.setenv("DRIFTLINE_JARS", str(jars))
        patch.setenv("DRIFTLINE_HOME", str(home))
        yield home


@pytest.fixture(autouse=True)
def plain_logs() -> None:
    """Let no test log where another one said: to a stream, for example, that is closed by now."""
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def bootstrap(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give a real broker, for the whole session."""
    if given := os.environ.get("DRIFTLINE_TEST_BOOTSTRAP"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DRIFTLINE_KAFKA_ALLOW_PLAINTEXT", "true")
            yield given
    elif _docker_engine_answers():
        yield request.getfixturevalue("container_bootstrap")
    else:
        yield localkafka.start(localkafka.free_port()).bootstrap
        localkafka.stop()


@pytest.fixture(scope="session")
def container_bootstrap() -> Iterator[str]:
    """Give a broker from the official image, or skip where no Docker engine answers."""
    if not _docker_engine_answers():
        pytest.skip("no Docker engine answers, so no broker from testcontainers")
    from testcontainers.core.container import DockerContainer

    port = localkafka.free_port()
    container = DockerContainer(f"apache/kafka:{KAFKA_VERSION}").with_bind_ports(port, port)
    for name, value in {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:19093",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENERS": f"PLAINTEXT://0.0.0.0:{port},CONTROLLER://localhost:19093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://localhost:{port}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    }.items():
        container.with_env(name, value)
    with container:
        deadline = time.monotonic() + CONTAINER_SECONDS_MAX
        while not answers(f"localhost:{port}"):
            assert time.monotonic() < deadline, container.get_logs()
            time.sleep(0.2)
        yield f"localhost:{port}"


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """Give a broker with TLS, SCRAM and ACLs, for the whole session."""
    with secured_kafka(tmp_path_factory.mktemp("secured")) as kafka:
        yield kafka


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> str:
    """Name topics and groups that no other test, and no other run, has."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:60]
    return f"{name}-{secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Find the reference data beside the repository, or skip (counted) where it is not."""
    directory = REPOSITORY.parent / "shared" / "data"
    if not directory.is_dir():
        pytest.skip("the reference data is not beside the repository (../shared/data)")
    return directory


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a broker, so that `-m 'not kafka'` is the quick half."""
    brokers = {"bootstrap", "container_bootstrap", "secured"}
    for item in items:
        if brokers & set(getattr(item, "fixturenames", ())):
            item.add_marker("kafka")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was not run here, counted by reason: a skip is never silent."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"not run here: {count} ({reason})")


def _docker_engine_answers() -> bool:
    """Ask the engine itself: a Docker client alone runs nothing."""
    import docker

    try:
        client = docker.from_env(timeout=3)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except docker.errors.DockerException:
        return False
