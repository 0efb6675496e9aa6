"""A second broker in the local Kafka's cluster, to be killed or stopped beside the first."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kafka.admin import KafkaAdminClient

from stream import localkafka

__all__ = ["NODE", "SecondBroker", "second_broker"]

NODE = 2
START_SECONDS_MAX = 90.0

_PROPERTIES = """\
process.roles=broker
node.id={node}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
inter.broker.listener.name=PLAINTEXT
log.dirs={directory}/data
auto.create.topics.enable=false
log.cleaner.dedupe.buffer.size=16777216
"""


class SecondBroker:
    """Hold one broker beside the local Kafka's: no controller, and data of its own."""

    def __init__(self, directory: Path) -> None:
        first = localkafka.status()
        assert first is not None
        self._bootstrap = first.bootstrap
        self._directory = directory
        home = Path(first.directory)
        voters = _setting(home / "server.properties", "controller.quorum.voters")
        self._java = localkafka._java(home, ":".join(map(str, localkafka.ensure_jars())))
        self._properties = directory / "server.properties"
        self._properties.write_text(
            _PROPERTIES.format(
                node=NODE, voters=voters, port=localkafka.free_port(), directory=directory
            )
        )
        cluster = _setting(home / "data" / "meta.properties", "cluster.id")
        command = [*self._java, "kafka.tools.StorageTool", "format", "-t", cluster]
        subprocess.run([*command, "-c", str(self._properties)], check=True, capture_output=True)

    def start(self) -> None:
        """Start it on what it has, and wait until the controller lets it lead."""
        with (self._directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self._java, *localkafka._LOG_FORMAT, "kafka.Kafka", str(self._properties)],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.until_there()

    def until_there(self) -> None:
        """Wait until clients of the first broker are told of it."""
        deadline = time.monotonic() + START_SECONDS_MAX
        admin = KafkaAdminClient(bootstrap_servers=self._bootstrap)
        try:
            while (NODE, False) not in {
                (one["broker_id"], one["is_fenced"]) for one in admin.describe_cluster()["brokers"]
            }:
                assert self.process.poll() is None, f"it has ended, see {self._directory}"
                assert time.monotonic() < deadline, "it is not in the cluster"
                time.sleep(0.2)
        finally:
            admin.close()

    def kill(self) -> None:
        """Kill it with -9."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Let it stand still, connections and all."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on, and wait until it may lead again."""
        os.kill(self.process.pid, signal.SIGCONT)
        self.until_there()


@contextmanager
def second_broker(directory: Path) -> Iterator[SecondBroker]:
    """Run a second broker; kill it at the end, however it is."""
    directory.mkdir()
    broker = SecondBroker(directory)
    try:
        broker.start()
        yield broker
    finally:
        if hasattr(broker, "process"):
            broker.kill()


def _setting(path: Path, name: str) -> str:
    rows = dict(row.split("=", 1) for row in path.read_text().splitlines() if "=" in row)
    return rows[name]
