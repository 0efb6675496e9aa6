"""The supervisor: the roles of a worker as child processes, restarted when they crash.

A child that crashed (exit 70) or was killed starts again after a growing pause; exit 2, 3 or 4
is something only a person can mend, and ends the worker with that code.  Children hold the
reading end of a pipe: when the supervisor dies, however, they end too.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from stream.bisect import BISECT

__all__ = ["SUPERVISED", "Supervisor", "end_with_supervisor", "role_command"]

SUPERVISED = "DRIFTLINE_SUPERVISED"
_PAUSE_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)
_HEALTHY_SECONDS = 60.0
_STOP_SECONDS = 12.0
_BISECT_CRASHES = 3
_POLL_SECONDS = 0.1
_FINAL = (2, 3, 4)

log = structlog.get_logger()


@dataclass
class _Child:
    """Hold one role's process, and how often it had to be started."""

    role: str
    command: Sequence[str]
    process: subprocess.Popen[bytes]
    started_at: float
    crashes: int = 0
    restart_at: float = 0.0


def end_with_supervisor() -> None:
    """End this process at once when the supervisor that started it is gone."""
    if os.environ.get(SUPERVISED) != "1":
        return

    def watch() -> None:
        while os.read(0, 1):
            pass
        os._exit(70)

    threading.Thread(target=watch, daemon=True, name="supervisor-watch").start()


class Supervisor:
    """Run commands as the roles of one worker until a signal or a final exit."""

    def __init__(self, commands: Mapping[str, Sequence[str]]) -> None:
        """Name each role and its command."""
        self._commands = commands
        self._stopping = False

    def run(self) -> int:
        """Run until SIGTERM, SIGINT or a child's final exit; give the worker's exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        children = [
            _Child(role, command, self._start(command), time.monotonic())
            for role, command in self._commands.items()
        ]
        code = 0
        while not self._stopping:
            time.sleep(_POLL_SECONDS)
            codes = [self._look_after(child) for child in children]
            ended = [c for c in codes if c is not None and c in _FINAL]
            if ended:
                code = ended[0]
                break
        self._stop(children)
        return code

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._stopping = True

    def _start(self, command: Sequence[str], *, bisect: bool = False) -> subprocess.Popen[bytes]:
        environ = os.environ | {SUPERVISED: "1", BISECT: "01"[bisect]}
        return subprocess.Popen(command, stdin=subprocess.PIPE, env=environ)

    def _look_after(self, child: _Child) -> int | None:
        """Restart a child that ended; give its exit code."""
        code = child.process.poll()
        now = time.monotonic()
        if code is None or code in _FINAL or self._stopping:
            return code
        if child.restart_at == 0.0:
            if now - child.started_at > _HEALTHY_SECONDS:
                child.crashes = 0
            pause = _PAUSE_SECONDS[min(child.crashes, len(_PAUSE_SECONDS) - 1)]
            child.crashes += 1
            child.restart_at = now + pause
            log.error("role ended", role=child.role, code=code, restart_seconds=pause)
        elif now >= child.restart_at:
            child.process = self._start(child.command, bisect=child.crashes >= _BISECT_CRASHES)
            child.started_at, child.restart_at = now, 0.0
        return code

    def _stop(self, children: Sequence[_Child]) -> None:
        """Ask every child to end, and make sure that it does."""
        for child in children:
            if child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for child in children:
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()


def role_command(role: str, arguments: Sequence[str]) -> list[str]:
    """Give the command that runs one role in the foreground."""
    return [sys.executable, "-m", "driftline", "worker", "--only", role, *arguments]
