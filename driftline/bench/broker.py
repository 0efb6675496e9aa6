"""The broker of a bench: the one that runs here, or one that lives as long as the bench."""

import contextlib
import os
from collections.abc import Callable, Iterator
from tempfile import TemporaryDirectory

from detectors.errors import ConfigError
from stream import localkafka
from stream.config import KafkaConfig

__all__ = ["bench_broker"]


@contextlib.contextmanager
def bench_broker(kafka: KafkaConfig, tell: Callable[[str], None]) -> Iterator[str]:
    """Give a broker's address; one that was started for this is stopped and removed after it."""
    if kafka.security_protocol != "PLAINTEXT":
        raise ConfigError(
            "The bench compares with a worker that speaks no TLS: leave kafka.bootstrap and "
            "kafka.security_protocol out, and it starts a broker of its own."
        )
    if kafka.bootstrap:
        yield kafka.bootstrap
    elif found := localkafka.status():
        yield found.bootstrap
    else:
        with TemporaryDirectory(prefix="driftline-bench-") as directory, _home(directory):
            try:
                yield localkafka.start(localkafka.free_port(), tell).bootstrap
            finally:
                tell("Stopping Apache Kafka")
                localkafka.stop()


@contextlib.contextmanager
def _home(directory: str) -> Iterator[None]:
    """Keep driftline's files in a directory of their own, but share the jars."""
    jars = os.environ.get("DRIFTLINE_JARS") or str(localkafka.driftline_home() / "jars")
    before = {name: os.environ.get(name) for name in ("DRIFTLINE_HOME", "DRIFTLINE_JARS")}
    os.environ.update(DRIFTLINE_HOME=directory, DRIFTLINE_JARS=jars)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
