"""Processes that run the counting role, and the log they count, with the truth about it."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from counting import read_state, step
from kafka.admin import KafkaAdminClient

ROLE = Path(__file__).with_name("counting.py")
PARTITIONS = 4
SESSION_SECONDS = 6


class Worker:
    """One process that runs the counting role, and what it has said so far."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(ROLE), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROLE.parents[2])},
        )
        self.said: list[dict[str, Any]] = []
        self.logged: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._read_log, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self) -> None:
        self.said.extend(json.loads(line) for line in self.process.stdout)

    def _read_log(self) -> None:
        self.logged.extend(self.process.stderr)

    def calls(self, name: str) -> list[dict[str, Any]]:
        return [said for said in self.said if said["call"] == name]

    def ends(self, within_seconds: float) -> int:
        code = self.process.wait(within_seconds)
        for reader in self._readers:
            reader.join(5)
        return code

    def terminate(self) -> tuple[int, float]:
        began = time.monotonic()
        self.process.terminate()
        return self.ends(15), time.monotonic() - began

    @property
    def last_log(self) -> dict[str, Any]:
        return json.loads(self.logged[-1])


class Log:
    """A topic, a group, and the truth about what is in the topic."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self.bootstrap, self.topic, self.group = bootstrap, f"{name}.in", f"{name}.group"
        self.admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        made = {self.topic: {"num_partitions": PARTITIONS, "replication_factor": 1}}
        self.admin.create_topics(made, wait_for_metadata=True)
        self.truth = dict.fromkeys(range(PARTITIONS), (0, 0))
        self.workers: list[Worker] = []

    def worker(self, **options: object) -> Worker:
        options = {"session": SESSION_SECONDS} | options
        given = [f"{key}={value}" for key, value in options.items()]
        worker = Worker(self.bootstrap, self.topic, self.group, *given)
        self.workers.append(worker)
        return worker

    def write(self, values: list[bytes], per_second: float = 1e9, **options: Any) -> None:
        """Append values to partitions of very different rates."""
        asyncio.run(self._write(values, per_second, options))

    async def _write(
        self, values: list[bytes], per_second: float, options: Mapping[str, Any]
    ) -> None:
        async with AIOKafkaProducer(
            bootstrap_servers=self.bootstrap, enable_idempotence=True, linger_ms=5, **options
        ) as producer:
            began = time.monotonic()
            for i, value in enumerate(values):
                partition = (0, 0, 0, 1, 1, 2, 2, 3)[i % 8]
                await producer.send(self.topic, value, partition=partition)
                self.truth[partition] = step(self.truth[partition], value)
                if i % 100 == 0:
                    await asyncio.sleep(max(0.0, i / per_second - (time.monotonic() - began)))

    def committed(self) -> dict[int, tuple[int, str]]:
        found = self.admin.list_group_offsets(self.group).get(self.group, {})
        return {tp.partition: (at.offset, at.metadata) for tp, at in found.items()}

    def exact(self) -> bool:
        """Tell whether the group has counted everything, each record once, in order."""
        committed = self.committed()
        states = {p: read_state(metadata) for p, (_, metadata) in committed.items()}
        counted = all(committed[p][0] == states[p][0] for p in committed)
        return counted and {p: s for p, s in self.truth.items() if s[0]} == states

    def close(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.kill()
            worker.ends(10)
        self.admin.close()


def eventually(question: Callable[[], object], within_seconds: float = 30) -> None:
    deadline = time.monotonic() + within_seconds
    while not question():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.1)


def numbered(count: int, prefix: str = "") -> list[bytes]:
    return [f"{prefix}{i}".encode() for i in range(count)]
