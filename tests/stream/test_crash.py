"""A crash tells the error's type and where it was raised, and nothing that the error quotes."""

import json
import subprocess
import sys

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError
from canaries import canaries, leaks
from kafka.errors import KafkaTimeoutError

from detectors.errors import StateRefused
from driftline import cli
from stream.crash import outline, said

# As an event's text comes into an error: by its key, by a number that is none, by its bytes.
BEGIN = f"""
import asyncio, gc, logging, sys, threading
from types import SimpleNamespace
import structlog
from stream.logs import configure_logs
configure_logs(role="observe")
log = structlog.get_logger()
WORDS = {canaries("text")!r}
def planted(words=WORDS):
    try:
        {{}}[words[0]]
    except KeyError:
        try:
            float(words[1])
        except ValueError as error:
            error.add_note(words[2])
            raise RuntimeError(words[2].encode()) from error
async def in_a_task():
    planted()
class Thrown:
    def __del__(self):
        planted()
class Grouped:
    def __enter__(self): pass
    def __exit__(self, kind, error, trace):
        raise ExceptionGroup(WORDS[0], [error])
def a_shell():
    from stream.app import Shell
    return Shell(SimpleNamespace(name="observe"), None)
async def stray(done):
    shell = a_shell()
    shell._done = done
    asyncio.get_running_loop().set_exception_handler(shell._stray)
    await left_alone()
async def left_alone():
    asyncio.create_task(in_a_task())
    await asyncio.sleep(0.01)
    gc.collect()
async def called_back():
    asyncio.get_running_loop().call_soon(planted, WORDS)
    await asyncio.sleep(0.01)
def caught(tell):
    try:
        planted()
    except RuntimeError as error:
        tell(error)
"""


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("planted()", 1),
        ("with Grouped(): planted()", 1),
        ("t = threading.Thread(target=planted); t.start(); t.join()", 0),
        ("Thrown()", 0),
        ("caught(lambda e: log.critical('crashed', error=e, exc_info=True))", 0),
        ("caught(lambda e: log.error('x', errors=[e], exc_info=e))", 0),
        ("caught(lambda e: logging.getLogger('faust').exception('Crashed reason=%r', e))", 0),
        ("caught(lambda e: logging.getLogger('mode').exception('%(e)s', {'e': e}))", 0),
        ("caught(lambda e: logging.getLogger('kafka').exception(e))", 0),
        ("caught(a_shell().fail)", 70),
        ("asyncio.run(stray(False))", 70),
        ("asyncio.run(stray(True))", 0),
        ("asyncio.run(left_alone())", 0),
        ("asyncio.run(called_back())", 0),
    ],
)
def test_what_an_error_quotes_is_not_logged(code: str, exit_code: int) -> None:
    done = subprocess.run([sys.executable, "-c", BEGIN + code], capture_output=True, check=False)
    assert done.returncode == exit_code, done.stderr
    assert leaks(done.stdout + done.stderr) == set()
    (line,) = map(json.loads, done.stderr.splitlines())
    at = BEGIN[: BEGIN.index("float(")].count("\n") + 1
    assert f'File "<string>", line {at}, in planted\nValueError\n' in line["exception"]
    assert line["exception"].index("KeyError") < line["exception"].index("\nRuntimeError\n")


def test_a_library_may_log_an_exception_where_there_is_none() -> None:
    code = f"{BEGIN}logging.getLogger('mode').exception('stopped %s', 'once')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert json.loads(done.stderr)["event"] == "stopped once"


def test_a_task_is_named_by_its_coroutine() -> None:
    code = f"{BEGIN}async def lost(word): await asyncio.sleep(9)\n"
    code += "asyncio.new_event_loop().create_task(lost(WORDS[0]))\ngc.collect()"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, check=False
    )
    told = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert "Task was destroyed but it is pending!: lost" in told


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (StateRefused("A gap at 7."), "detectors.errors.StateRefused: A gap at 7."),
        (KafkaError("no leader"), "aiokafka.errors.KafkaError: KafkaError: no leader"),
        (ConnectionResetError(104, "reset"), "ConnectionResetError: [Errno 104] reset"),
        (ValueError("jane"), "ValueError"),
        (UnicodeDecodeError("utf-8", b"jane", 0, 1, "jane"), "UnicodeDecodeError"),
    ],
)
def test_only_a_client_the_system_and_we_may_speak(error: Exception, text: str) -> None:
    assert said(error) == text
    assert outline(error) == f"{text}\n"


@pytest.mark.parametrize("kind", [KafkaConnectionError, KafkaTimeoutError, OSError])
def test_a_client_that_repeats_what_it_met_may_not(kind: type[Exception]) -> None:
    for meet in (KeyError("jane"), ExceptionGroup("jane", [OSError()])):
        error = kind(f"Unexpected error: {meet!r}")
        error.__context__ = meet
        assert "jane" not in outline(error)
    error.__context__ = TimeoutError("no answer")
    assert said(error) in outline(error)
    assert "jane" in said(error)


def test_a_crash_of_a_command_shows_no_text_either(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise KeyError(canaries("id")[0])

    monkeypatch.setattr(cli, "app", crash)
    assert cli.run([]) == 70
    told = capsys.readouterr().err
    assert leaks(told.encode()) == set()
    assert "in test_a_crash_of_a_command_shows_no_text_either.<locals>.crash\nKeyError\n" in told
