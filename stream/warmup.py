"""Compile before joining a group: a tiny log through the very code that will run.

numba keeps the compiled form on disk, so only the first start ever pays for it.
"""

import asyncio
from collections.abc import Callable

import msgspec
import numpy as np
import structlog

from detectors.channels import FitOptions
from detectors.epochs import Semantics
from detectors.events import Event, Limits
from detectors.fit import drafted, fit
from detectors.monitor import Monitor
from detectors.observe import Observer, Pane
from detectors.panes import Clock, Part
from detectors.policy import Policy
from detectors.profile import Profile, ProfileBook, seal
from stream.batching import decoded
from stream.config import Config
from stream.decode.arrow.kernels import warm as warm_arrow
from stream.decode.scan.scanner import Scanner
from stream.record_walk import warm_records
from stream.records import Records

__all__ = ["compiled", "warm_judge", "warm_observe"]

_EVENTS = 4_000
_STEP_MS = 1_000
_START_MS = 1_700_000_000_000
_SILENT_SECONDS = 2.0

log = structlog.get_logger()


def _events() -> list[Event]:
    """Make a small log with a number, a category and a missing value."""
    return [
        Event(
            time_ms=i * _STEP_MS,
            model="warmup",
            features={"number": float(i * 7 % 101), "kind": "ab"[i % 2], "gap": i % 3 or None},
            segments={"side": "lr"[i % 2]},
        )
        for i in range(_EVENTS)
    ]


def _panes(events: list[Event], profile: Profile) -> list[Pane]:
    """Observe the log as it is written, and once more one by one."""
    book = ProfileBook()
    book.add(profile, 0)
    observer = Observer(("warmup", 0, 1), book, 60_000)
    observer.start(0, Clock())
    times_ms = np.array([event.time_ms for event in events], np.int64)
    values: list[bytes | None] = [msgspec.json.encode(_written(event)) for event in events]
    scanner, config = Scanner(book, Limits()), Config()
    panes = []
    for by in (scanner, None):
        records = Records.of_values(values, observer.caught_up_to)
        panes += observer.feed(decoded(records, times_ms + _START_MS, config, by))
    return panes


def _written(event: Event) -> dict[str, object]:
    """Write an event as it is sent."""
    seconds = (event.time_ms + _START_MS) / 1000
    fields = {"features": event.features, "segments": event.segments}
    return {"time": seconds, "model": event.model} | fields


def warm_observe() -> None:
    """Compile what observe runs."""
    warm_records()
    warm_arrow()
    events = _events()
    _panes(events, seal(drafted(events, FitOptions())))


def warm_judge() -> None:
    """Compile what the judge runs."""
    events = _events()
    profile = fit(events, FitOptions(), Policy())
    book = ProfileBook()
    book.add(profile, 0)
    monitor = Monitor(book, Semantics(Policy(), 5_000, ""))
    for pane in _panes(events, profile):
        list(monitor.apply(Part(pane.header, pane.entries)))


async def compiled(warm: Callable[[], None]) -> None:
    """Run a warm-up beside the event loop; say so where it takes a while."""
    running = asyncio.ensure_future(asyncio.to_thread(warm))
    done, _ = await asyncio.wait([running], timeout=_SILENT_SECONDS)
    if not done:
        log.info("compiling, once", hint="numba keeps the result on disk for the next start")
    await running
