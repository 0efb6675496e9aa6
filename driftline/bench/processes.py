"""Processes under measurement: pinned to one core, logged to a file, ended by their own id."""

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from detectors.errors import DriftlineError
from stream.supervisor import SUPERVISED

__all__ = ["Bench", "Process", "core_to_pin", "pinned", "python", "running"]

_STOP_SECONDS = 15.0
_POLL_SECONDS = 0.05
_LOG_BYTES_SHOWN = 1_500
# The affinity outlives exec, so every thread of the program has it from its birth.
_PIN = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
os.execvp(sys.argv[2], sys.argv[2:])
"""
_PROC = Path("/proc")


class Bench(NamedTuple):
    """Say where measured processes run: a core (None: unpinned), a directory, an environment."""

    core: int | None
    directory: Path
    environ: Mapping[str, str]


class _Line(msgspec.Struct):
    """One line of a role's log."""

    event: str = ""
    timestamp: str = ""
    partitions: list[str] = []
    memory_bound_bytes: int = 0
    rss_bytes: int = 0


def pinned(core: int | None, command: Sequence[str]) -> list[str]:
    """Give the command that runs another on one core; None: on all."""
    pin = [] if core is None else [sys.executable, "-c", _PIN, str(core)]
    return [*pin, *command]


def python(*arguments: str) -> list[str]:
    """Give the command that runs a module of this Python."""
    return [sys.executable, "-m", *arguments]


def core_to_pin() -> int | None:
    """Choose the core on which workers are measured; None where the system cannot pin."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else None


class Process:
    """A running program; `running` starts and ends it."""

    def __init__(self, bench: Bench, name: str, command: Sequence[str]) -> None:
        """Start a command; what it prints goes to a file of the directory."""
        self.name = name
        self._log = bench.directory / f"{name}.log"
        with self._log.open("wb") as log:
            self._popen = subprocess.Popen(
                pinned(bench.core, command),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=bench.directory,
                # With its standard input it loses its reason to live, should this process die.
                env={**os.environ, **bench.environ, SUPERVISED: "1"},
            )

    def logged(self, event: str, within_seconds: float) -> float:
        """Wait until it logs an event; give when it did, in seconds since the epoch.

        Raises
        ------
        DriftlineError
            If it ended, or did not log that in time.
        """
        deadline = time.monotonic() + within_seconds
        while True:
            for line in self._lines(event):
                return datetime.fromisoformat(line.timestamp).timestamp()
            self.check_alive()
            if time.monotonic() > deadline:
                raise self._error(f"was not ready within {within_seconds:g} s")
            time.sleep(_POLL_SECONDS)

    def assigned(self) -> frozenset[str]:
        """Give the partitions that it took last; none if it has not said so yet."""
        partitions: list[str] = []
        for line in self._lines("assigned", "revoked"):
            partitions = line.partitions if line.event == "assigned" else []
        return frozenset(partitions)

    def unassigned_seconds(self) -> float:
        """Give the longest time between losing partitions and having some again; 0: it had none."""
        longest, lost_at = 0.0, math.inf
        for line in self._lines("assigned", "revoked"):
            at = datetime.fromisoformat(line.timestamp).timestamp()
            longest = max(longest, at - lost_at)
            lost_at = at if line.event == "revoked" else math.inf
        return longest

    @contextlib.contextmanager
    def halted(self) -> Iterator[None]:
        """Let it do nothing for the length of a `with` block."""
        self._popen.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._popen.send_signal(signal.SIGCONT)

    def bound_bytes(self) -> float:
        """Give the most memory that it says it can take; nan if it has not said so."""
        said = [line.memory_bound_bytes + line.rss_bytes for line in self._lines("memory")]
        return said[-1] if said else math.nan

    def _lines(self, *events: str) -> Iterator[_Line]:
        """Give the lines that it has logged of some events."""
        for line in self._log.read_bytes().splitlines():
            with contextlib.suppress(msgspec.MsgspecError, ValueError):
                found = msgspec.json.decode(line, type=_Line)
                if found.event in events:
                    yield found

    def cpu_seconds(self) -> float:
        """Give the processor time that it has used; nan where the system does not tell."""
        try:
            fields = (_PROC / str(self._popen.pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return math.nan
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self, field: str = "VmRSS") -> float:
        """Give its resident memory now, or (VmHWM) at most; nan where the system does not tell."""
        try:
            status = (_PROC / str(self._popen.pid) / "status").read_text()
        except OSError:
            return math.nan
        values = [line.split()[1] for line in status.splitlines() if line.startswith(field)]
        return int(values[0]) * 1024 if values else math.nan

    def check_alive(self) -> None:
        """Raise DriftlineError if the process has ended."""
        if self._popen.poll() is not None:
            raise self._error(f"ended with code {self._popen.returncode}")

    def result(self, path: Path, within_seconds: float) -> bytes:
        """Wait for the line that it writes to a file; DriftlineError if none comes."""
        deadline = time.monotonic() + within_seconds
        while not (path.exists() and path.read_bytes().endswith(b"\n")):
            self.check_alive()
            if time.monotonic() > deadline:
                raise self._error(f"gave no result within {within_seconds:g} s")
            time.sleep(_POLL_SECONDS)
        return path.read_bytes()

    def stop(self) -> None:
        """Ask it to end, wait, insist."""
        self._popen.terminate()
        try:
            self._popen.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        if self._popen.stdin is not None:
            self._popen.stdin.close()

    def _error(self, what: str) -> DriftlineError:
        tail = self._log.read_bytes()[-_LOG_BYTES_SHOWN:].decode(errors="replace").strip()
        return DriftlineError(f"The {self.name} process {what}. Its log ends with:\n{tail}")


@contextlib.contextmanager
def running(bench: Bench, name: str, command: Sequence[str]) -> Iterator[Process]:
    """Run a command for the length of a `with` block."""
    process = Process(bench, name, command)
    try:
        yield process
    finally:
        process.stop()
