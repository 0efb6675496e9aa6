"""Workers as their users run them: supervised processes, whose roles can be found and broken."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

import orjson

from tests import live

__all__ = ["Fleet", "Worker", "processes_naming"]

T = TypeVar("T")
_WAIT_SECONDS_MAX = 120.0


@dataclass
class Worker:
    """Hold one worker: its process and what it logs."""

    process: subprocess.Popen[bytes]
    log: Path
    only: str = ""

    def roles(self) -> dict[str, int]:
        """Find the processes of the roles that run now."""
        if self.only:
            return {self.only: self.process.pid}
        found = {}
        pid = self.process.pid
        for child in _words(Path(f"/proc/{pid}/task/{pid}/children")):
            command = _words(Path(f"/proc/{child}/cmdline"), "\0")
            if "--only" in command:
                found[command[command.index("--only") + 1]] = int(child)
        return found

    def lines(self) -> Iterator[dict[str, object]]:
        """Read what it has logged so far; a line that is not JSON is an error of its own."""
        for line in self.log.read_text(errors="replace").splitlines():
            try:
                fields = orjson.loads(line)
            except orjson.JSONDecodeError:
                fields = None
            yield fields if isinstance(fields, dict) else {"level": "not JSON", "event": line}

    def owned(self, role: str) -> set[str]:
        """Say which partitions one of its roles was given last, if it is alive."""
        owned: set[str] = set()
        for line in self.lines():
            if line.get("role") == role and line["event"] in ("assigned", "revoked", "role ended"):
                given = line.get("partitions")
                owned = set(given) if line["event"] == "assigned" and given else set()
        return owned if role in self.roles() else set()


def _words(path: Path, separator: str | None = None) -> list[str]:
    try:
        return path.read_text().split(separator)
    except (FileNotFoundError, ProcessLookupError):
        return []


def processes_naming(directory: Path) -> list[str]:
    """Find the processes whose command line names a directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            command = " ".join(_words(entry / "cmdline", "\0"))
            if str(directory) in command:
                found.append(f"{entry.name}: {command[:200]}")
    return found


class Fleet:
    """Run workers of one prefix, be it three of them or now one and now another."""

    def __init__(self, directory: Path, config: Path, draw: random.Random) -> None:
        self.draw = draw
        self.workers: list[Worker] = []
        self.all: list[Worker] = []
        self.stops_seconds: list[float] = []
        self._directory = directory
        self._config = config
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, only: str = "", code: Path = live.ROOT) -> Worker:
        """Start one more worker."""
        log = self._directory / f"worker-{len(self.all)}.log"
        more = ("--only", only) if only else ()
        process = self._stack.enter_context(live.worker(self._config, log, *more, code=code))
        worker = Worker(process, log, only)
        self.workers.append(worker)
        self.all.append(worker)
        return worker

    def until_assigned(self) -> None:
        """Wait until every role of every worker has partitions."""
        deadline = time.monotonic() + _WAIT_SECONDS_MAX
        for worker in self.workers:
            for role in (worker.only,) if worker.only else ("observe", "judge"):
                while not worker.owned(role):
                    assert time.monotonic() < deadline, f"no partitions for {role}: {worker.log}"
                    time.sleep(0.2)

    def _wait_for(self, look: Callable[[], list[T]], what: str) -> T:
        """Choose one of what is found, as soon as there is any."""
        deadline = time.monotonic() + _WAIT_SECONDS_MAX
        while not (found := look()):
            assert time.monotonic() < deadline, f"no {what}"
            time.sleep(0.2)
        return self.draw.choice(found)

    def _take_victim(self) -> Worker:
        """Choose a worker that has partitions, and count it out."""
        victim = self._wait_for(
            lambda: [one for one in self.workers if one.owned("observe") or one.owned("judge")],
            "worker with partitions",
        )
        self.workers.remove(victim)
        return victim

    def owner(self, role: str, partition: str) -> int:
        """Find the process of the role that owns a partition."""
        return self._wait_for(
            lambda: [one.roles()[role] for one in self.workers if partition in one.owned(role)],
            f"{role} that owns {partition}",
        )

    def kill_role(self, role: str) -> None:
        """Kill one role with -9, as the kernel does when memory is short."""
        pid = self._wait_for(
            lambda: [one.roles()[role] for one in self.workers if one.owned(role)],
            f"{role} with partitions",
        )
        os.kill(pid, signal.SIGKILL)

    def kill_worker(self) -> None:
        """Kill a worker whole, as a machine that falls; another one takes its place."""
        victim = self._take_victim()
        live.kill(victim.process)
        self.start(victim.only)

    def kill_supervisor(self) -> None:
        """Kill a supervisor alone: its roles must end by themselves."""
        victim = self._take_victim()
        roles = victim.roles()
        os.kill(victim.process.pid, signal.SIGKILL)
        victim.process.wait(10)
        deadline = time.monotonic() + _WAIT_SECONDS_MAX
        while alive := [pid for pid in roles.values() if Path(f"/proc/{pid}").exists()]:
            assert time.monotonic() < deadline, f"{alive} outlive their supervisor"
            time.sleep(0.1)
        self.start()

    def stop(self, worker: Worker) -> None:
        """Stop a worker by SIGTERM: it exits 0."""
        self.workers.remove(worker)
        began = time.monotonic()
        worker.process.send_signal(signal.SIGTERM)
        code = worker.process.wait(30)
        self.stops_seconds.append(time.monotonic() - began)
        assert code == 0, f"a worker ended with {code}"
