"""The supervisor, with roles that are a few lines: who is restarted, asked for, given up, ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from live import eventually

from stream.supervisor import SUPERVISED

BEGINS = """
import os, signal, sys, time
from stream.supervisor import ask_for, end_with_supervisor
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
with open(sys.argv[1], "a") as notes:
    notes.write(f"{os.getpid()}\\n")
"""
SLEEPS = BEGINS + "time.sleep(60)"
ENDS = BEGINS + "sys.exit(4)"
CRASHES = BEGINS + "os._exit(70)"
STOPS_BADLY = (
    BEGINS
    + """
signal.signal(signal.SIGTERM, lambda *_: os._exit(70))
time.sleep(60)
"""
)
IS_NOT_UP = BEGINS + "signal.signal(signal.SIGTERM, signal.SIG_DFL); time.sleep(60)"
ASKS = (
    BEGINS
    + """
end_with_supervisor()
for role in ("more", "more", "what nobody knows"):
    ask_for(role)
time.sleep(60)
"""
)
SUPERVISES = """
import sys
from stream.supervisor import Supervisor
place, always, more = sys.argv[1:]
command = lambda name, code: [sys.executable, "-c", code, f"{place}/{name}"]
sys.exit(Supervisor({"always": command("always", always)}, {"more": command("more", more)}).run())
"""


@contextmanager
def supervised(place: Path, always: str, more: str = SLEEPS) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISES, str(place), always, more],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def started(place: Path, name: str) -> list[int]:
    path = place / name
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def is_alive(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


def test_a_role_that_crashes_starts_again(tmp_path: Path) -> None:
    with supervised(tmp_path, CRASHES):
        eventually(lambda: len(started(tmp_path, "always")) >= 3, "it started three times")
    assert started(tmp_path, "more") == []


def test_a_final_exit_ends_the_worker_with_its_code(tmp_path: Path) -> None:
    with supervised(tmp_path, ENDS) as process:
        assert process.wait(10) == 4
    assert len(started(tmp_path, "always")) == 1


@pytest.mark.parametrize(("role", "code"), [(SLEEPS, 0), (STOPS_BADLY, 70), (IS_NOT_UP, 0)])
def test_a_role_that_does_not_stop_well_shows_in_the_exit_code(
    tmp_path: Path, role: str, code: int
) -> None:
    with supervised(tmp_path, role) as process:
        eventually(lambda: started(tmp_path, "always") != [], "it runs")
        time.sleep(0.5)
        process.terminate()
        assert process.wait(10) == code


def test_a_role_that_is_asked_for_runs_once_and_ends_with_the_others(tmp_path: Path) -> None:
    with supervised(tmp_path, ASKS) as process:
        eventually(lambda: started(tmp_path, "more") != [], "it runs")
        process.terminate()
        assert process.wait(10) == 0
    assert len(started(tmp_path, "more")) == 1
    assert not any(map(is_alive, started(tmp_path, "more") + started(tmp_path, "always")))


def test_a_role_that_was_asked_for_and_cannot_run_is_given_up_and_the_worker_goes_on(
    tmp_path: Path,
) -> None:
    with supervised(tmp_path, ASKS, ENDS) as process:
        eventually(lambda: started(tmp_path, "more") != [], "it was tried")
        time.sleep(1.5)
        assert process.poll() is None
        process.terminate()
        assert process.wait(10) == 0
    assert len(started(tmp_path, "more")) == 1


def test_a_role_that_was_asked_for_and_crashes_starts_again(tmp_path: Path) -> None:
    with supervised(tmp_path, ASKS, CRASHES):
        eventually(lambda: len(started(tmp_path, "more")) >= 2, "it started twice")
        assert len(started(tmp_path, "always")) == 1


def test_roles_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    with supervised(tmp_path, ASKS, ASKS) as process:
        eventually(lambda: started(tmp_path, "more") != [], "both run")
        process.kill()
        roles = started(tmp_path, "more") + started(tmp_path, "always")
        assert len(roles) == 2
        eventually(lambda: not any(map(is_alive, roles)), "both have ended")
    assert not any(map(is_alive, roles))


def test_without_a_supervisor_nobody_hears_what_is_asked_for() -> None:
    environ = {name: value for name, value in os.environ.items() if name != SUPERVISED}
    asks = "from stream.supervisor import ask_for; ask_for('more')"
    subprocess.run([sys.executable, "-c", asks], env=environ, check=True, stdin=subprocess.DEVNULL)
