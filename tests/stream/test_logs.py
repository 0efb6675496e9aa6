"""Logs are lines of JSON whatever is in them: escaped, bounded, counted, without secrets."""

import json
import subprocess
import sys
from typing import Any

import pytest

BEGIN = """
import logging, sys, threading
import structlog
from stream import logs
from stream.logs import configure_logs
from stream.secret import Secret
configure_logs(role="observe")
log = structlog.get_logger()
"""
HOSTILE = [
    'line\nbreak\r\n{"level": "error"}',
    "\x1b[31mred\x07\x00\x7f\x9b",
    "\u202eright to left\u2028\u2029",
    "\ud800 alone \udcff",
    "jane 🙂",
]  # fmt: skip


def logged(code: str, exit_code: int = 0) -> list[dict[str, Any]]:
    """Run code in a process of its own; read its standard error, every line of it as JSON."""
    done = subprocess.run([sys.executable, "-c", BEGIN + code], capture_output=True, check=False)
    assert done.returncode == exit_code, done.stderr
    assert all(byte == 10 or 32 <= byte < 127 for byte in done.stderr), done.stderr
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    "code",
    [
        "log.warning({0!r}, model={0!r})",
        "log.warning('x', model={0!r}, models=[{0!r}])",
        "logging.getLogger('kafka.x').error('of %s', {0!r})",
        "log.error('x', error=repr(ValueError({0!r})))",
    ],
)
def test_any_text_is_one_line_that_plays_no_tricks(code: str, text: str) -> None:
    (line,) = logged(code.format(text))
    assert line["role"] == "observe"
    assert any(text in str(value) or repr(text)[1:-1] in str(value) for value in line.values())


def test_an_exception_is_one_line() -> None:
    text = HOSTILE[0]
    code = f"try:\n    raise OSError({text!r})\nexcept OSError as e:\n"
    (line,) = logged(f"{code}    log.critical('crashed', exc_info=e)")
    assert "Traceback" in line["exception"]
    assert text in line["exception"]


@pytest.mark.parametrize(
    "code",
    [
        "log.warning('x', model='m' * (1 << 20))",
        "log.warning('m' * (1 << 20))",
        "log.warning('x', models=['m' * (1 << 20)] * 10_000)",
        "log.warning('x', value=tuple(range(1 << 20)))",
        "log.warning('x', value={'m' * (1 << 20): 1})",
        "log.warning('x', **{'m' * (1 << 20): 1})",
        "logging.getLogger('aiokafka').error('m' * (1 << 20))",
        "log.critical('x', exc_info=OSError('m' * (1 << 20)))",
    ],
)
def test_a_line_has_an_end(code: str) -> None:
    (line,) = logged(code)
    assert 10 < len(json.dumps(line)) < 16_384


def test_what_is_said_again_is_counted() -> None:
    code = """
logs.REPEAT_SECONDS = 0.5
import time
for i in range(100):
    log.warning("unprofiled", model=f"m{i}")
    logging.getLogger("aiokafka.client").error("Unable connect to %s", i)
log.info("another kind")
time.sleep(0.6)
log.warning("unprofiled", model="last")
logging.getLogger("aiokafka.client").error("Unable connect to %s", "last")
"""
    lines = logged(code)
    ours = [line for line in lines if line["event"] == "unprofiled"]
    theirs = [line for line in lines if line["event"].startswith("Unable")]
    assert [line["model"] for line in ours] == [*(f"m{i}" for i in range(20)), "last"]
    assert [line.get("repeats") for line in ours] == [None] * 20 + [80]
    assert [line["event"][-4:] for line in theirs] == ["to 0", "last"]
    assert theirs[-1]["repeats"] == 99
    assert sum(line["event"] == "another kind" for line in lines) == 1


def test_kinds_that_never_come_again_are_forgotten() -> None:
    code = """
seldom = logs._Seldom(1)
for i in range(5 * logs.KINDS_MAX):
    assert seldom.left_out(i) == 0
assert len(seldom._seen) == logs.KINDS_MAX
"""
    assert logged(code) == []


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("raise error", 1),
        ("t = threading.Thread(target=fail)\nt.start()\nt.join()", 0),
        ("logging.getLogger('kafka').error('login of %s failed', password)", 0),
        ("log.critical('crashed', exc_info=error, error=error)", 0),
        ("log.info('x', options={'sasl_plain_password': password})", 0),
    ],
)
def test_no_secret_is_in_a_log_or_a_crash(code: str, exit_code: int) -> None:
    canary = 'canary"pä\\ss'
    begin = f"""
password = Secret({canary!r}).reveal()
error = OSError(password)
def fail():
    raise error
"""
    (line,) = logged(begin + code, exit_code)
    assert "canary" not in str(line)
    assert "***" in str(line)


def test_a_worker_that_cannot_start_says_so_in_json() -> None:
    command = [sys.executable, "-m", "driftline", "worker", "--only", "nobody"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = (json.loads(text) for text in done.stderr.splitlines())
    assert line["exit_code"] == 2
    assert "--only nobody: there is no such role" in line["event"]
