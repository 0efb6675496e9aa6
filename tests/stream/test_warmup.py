"""What a role compiles before it joins its group is all it runs: no first batch waits for numba."""

import asyncio
import json
import subprocess
import sys
import time

import pytest
import structlog.testing

from stream import warmup

# In a process of its own: here, other tests have compiled whatever they ran.
SCRIPT = """
import gc, json, sys, time
from numba.core.dispatcher import Dispatcher
from stream.warmup import warm_judge, warm_observe

def compiled():
    found = [one for one in gc.get_objects() if isinstance(one, Dispatcher)]
    return {f"{d.py_func.__module__}.{d.py_func.__qualname__} {s}" for d in found
            for s in d.signatures}

{"observe": warm_observe, "judge": warm_judge}[sys.argv[1]]()
before = compiled()

from detectors.epochs import Semantics
from detectors.monitor import Monitor
from detectors.observe import Observer
from detectors.panes import Clock, Part
from detectors.policy import Policy
from detectors.profile import ProfileBook
from stream.batching import batch_of
from stream.config import Config
from stream.decode.scan.scanner import Scanner
from stream.record_batches import split, walk
from tests.batches import APPEND_TIME, Made, batch
from tests.live import as_json
from tests.logs import events, profile

log = events(6_000, seed=1)
values = [as_json(event) for event in log]
content = b"".join(
    batch(at, [Made(i, v, None, ()) for i, v in enumerate(values[at : at + 500])],
          attributes=APPEND_TIME, max_ms=log[min(at + 499, len(log) - 1)].time_ms)
    for at in range(0, len(values), 500)
)
known = profile()
during_profile = compiled() - before  # fitting is no part of a worker
book = ProfileBook()
book.add(known, 0)
observer = Observer(("warm", 0, 1), book, 2_000)
observer.start(0, Clock())
scanner = Scanner(book, Config().limits)
monitor = Monitor(book, Semantics(Policy(), 5_000, ""))
panes = effects = 0
for records, _ in walk(content, [(one, False) for one in split(content)], 0):
    for pane in observer.feed(batch_of(records, Config(), scanner)):
        panes += 1
        if sys.argv[1] == "judge":
            effects += len(list(monitor.apply(Part(pane.header, pane.entries))))
late = sorted(compiled() - before - during_profile)
print(json.dumps({"warm": len(before), "late": late, "panes": panes, "effects": effects}))
"""


@pytest.mark.parametrize("role", ["observe", "judge"])
def test_nothing_is_compiled_for_the_first_events(role: str) -> None:
    command = [sys.executable, "-c", SCRIPT, role]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["panes"] > 5
    assert told["warm"] > 3
    assert (told["effects"] > 0) == (role == "judge")
    of_observe = "stream.record_walk." if role == "judge" else "nothing"
    assert [one for one in told["late"] if not one.startswith(of_observe)] == []


@pytest.mark.parametrize(("seconds", "lines"), [(0.0, []), (0.3, ["compiling, once"])])
def test_a_warm_up_that_takes_a_while_says_what_it_does(
    seconds: float, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warmup, "_SILENT_SECONDS", 0.1)
    with structlog.testing.capture_logs() as logged:
        asyncio.run(warmup.compiled(lambda: time.sleep(seconds)))
    assert [line["event"] for line in logged] == lines


def test_a_warm_up_that_fails_fails_the_start() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(warmup.compiled(lambda: divmod(1, 0) and None))
