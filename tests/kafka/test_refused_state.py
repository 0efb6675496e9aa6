"""A worker whose every snapshot is broken ends with exit code 3 and a sentence."""

import asyncio
from pathlib import Path

from kafka import KafkaProducer
from live import config_file, eventually, worker

from detectors.errors import ServiceUnreachable
from stream.connection import Connection
from stream.reader import read_topic


def test_a_worker_with_no_valid_snapshot_left_exits_with_3(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    config = config_file(tmp_path, bootstrap, topic_prefix, snapshot_seconds=1)
    state = f"{topic_prefix}.state"

    def manifests() -> set[bytes]:
        try:
            held = asyncio.run(read_topic(Connection(bootstrap), state))
        except ServiceUnreachable:  # the worker has not made its topics yet
            return set()
        return {key for key, _ in held if key.endswith(b"/manifest")}

    with worker(config, tmp_path / "w0.log"):
        eventually(lambda: len(manifests()) >= 4, "an empty snapshot of every partition")
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    for key in manifests():
        producer.send(state, key=key, value=b"{}", partition=int(key.partition(b"/")[0]))
    producer.close()
    with worker(config, tmp_path / "w1.log") as process:
        assert process.wait(60) == 3
    assert "does not fit its checksum" in (tmp_path / "w1.log").read_text()
