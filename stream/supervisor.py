"""The supervisor: the roles of a worker as child processes, restarted when they crash.

A child that crashed (exit 70) or was killed starts again after a growing pause; exit 2, 3 or 4
is something only a person can mend, and ends the worker with that code.  A child holds one end
of a socket: when the supervisor dies, however, it ends too, and by it a child asks for a role
that is needed only now and then.  If such a role cannot run, the others go on.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import structlog

from detectors.errors import DriftlineError
from stream.bisect import BISECT

__all__ = ["SUPERVISED", "Supervisor", "ask_for", "end_with_supervisor", "role_command"]

SUPERVISED = "DRIFTLINE_SUPERVISED"
_PAUSE_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)
_HEALTHY_SECONDS = 60.0
_STOP_SECONDS = 12.0
_BISECT_CRASHES = 3
_POLL_SECONDS = 0.1
_ASKED_BYTES_MAX = 4_096
_FINAL = (2, 3, 4)
# Who is not up yet has no handler, and nothing to finish.
_ASKED_TO_END = (signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger()


@dataclass
class _Child:
    """Hold one role's process, our end of its socket, and how often it had to be started."""

    role: str
    command: Sequence[str]
    process: subprocess.Popen[bytes]
    socket: socket.socket
    started_at: float
    crashes: int = 0
    restart_at: float = 0.0
    is_given_up: bool = False

    def asked(self) -> list[str]:
        """Give the roles that it has asked for since the last call."""
        try:
            return self.socket.recv(_ASKED_BYTES_MAX).decode().split()
        except OSError:  # nothing, or nobody is there any more
            return []


def end_with_supervisor() -> None:
    """End this process at once when the supervisor that started it is gone."""
    if os.environ.get(SUPERVISED) != "1":
        return

    def watch() -> None:
        with contextlib.suppress(OSError):  # what we asked for was not read any more
            while os.read(0, 1):
                pass
        os._exit(DriftlineError.exit_code)

    threading.Thread(target=watch, daemon=True, name="supervisor-watch").start()


def ask_for(role: str) -> None:
    """Ask the supervisor to run one role more; without a supervisor nobody hears it."""
    if os.environ.get(SUPERVISED) == "1":
        os.write(0, f"{role}\n".encode())


class Supervisor:
    """Run commands as the roles of one worker until a signal or a final exit."""

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        on_demand: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        """Name each role and its command; those `on_demand` run once a child asks for them."""
        self._commands = commands
        self._on_demand = on_demand
        self._children: dict[str, _Child] = {}
        self._stopping = False

    def run(self) -> int:
        """Run until SIGTERM, SIGINT or a child's final exit; give the worker's exit code.

        That is the child's, or the one of a child that did not stop as it should.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        for role, command in self._commands.items():
            self._begin(role, command)
        code = 0
        while not (self._stopping or code):
            time.sleep(_POLL_SECONDS)
            for child in list(self._children.values()):
                for role in self._on_demand.keys() & child.asked() - self._children.keys():
                    self._begin(role, self._on_demand[role])
                code = code or self._look_after(child)
        stopped = self._stop()
        return code or stopped

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._stopping = True

    def _begin(self, role: str, command: Sequence[str]) -> None:
        process, ours = self._start(command)
        self._children[role] = _Child(role, command, process, ours, time.monotonic())

    def _start(
        self, command: Sequence[str], *, bisect: bool = False
    ) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """Start a process whose standard input is a socket; give our end of it, too."""
        environ = os.environ | {SUPERVISED: "1", BISECT: "01"[bisect]}
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            return subprocess.Popen(command, stdin=theirs.fileno(), env=environ), ours

    def _look_after(self, child: _Child) -> int:
        """Restart a child that crashed; give the code that ends the worker, else 0."""
        code = child.process.poll()
        now = time.monotonic()
        if code is None or self._stopping:
            return 0
        if code in _FINAL:
            if child.role in self._commands:
                return code
            if not child.is_given_up:
                log.error("role given up", role=child.role, code=code)
                child.is_given_up = True
        elif child.restart_at == 0.0:
            if now - child.started_at > _HEALTHY_SECONDS:
                child.crashes = 0
            pause = _PAUSE_SECONDS[min(child.crashes, len(_PAUSE_SECONDS) - 1)]
            child.crashes += 1
            child.restart_at = now + pause
            log.error("role ended", role=child.role, code=code, restart_seconds=pause)
        elif now >= child.restart_at:
            child.socket.close()
            is_bisecting = child.crashes >= _BISECT_CRASHES
            child.process, child.socket = self._start(child.command, bisect=is_bisecting)
            child.started_at, child.restart_at = now, 0.0
        return 0

    def _stop(self) -> int:
        """Ask every child to end, and make sure that it does; give an exit code that is not 0."""
        running = [one for one in self._children.values() if one.process.poll() is None]
        for child in running:
            child.process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        found = 0
        for child in running:
            try:
                code = child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                code = child.process.wait()
            if code and -code not in _ASKED_TO_END:
                log.error("role did not stop well", role=child.role, code=code)
                found = found or (code if code > 0 else DriftlineError.exit_code)
        return found


def role_command(role: str, arguments: Sequence[str]) -> list[str]:
    """Give the command that runs one role in the foreground."""
    return [sys.executable, "-m", "driftline", "worker", "--only", role, *arguments]
