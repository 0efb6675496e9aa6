"""Compile before joining a group: a tiny log through the very code that will run.

numba keeps the compiled form on disk, so only the first start ever pays for it.
"""

import numpy as np

from detectors.channels import FitOptions
from detectors.epochs import Semantics
from detectors.events import Event
from detectors.fit import fit
from detectors.monitor import Monitor
from detectors.observe import Batch, Observer, Pane
from detectors.panes import Clock, Part
from detectors.policy import Policy
from detectors.profile import Profile, ProfileBook
from stream.record_walk import warm_records

__all__ = ["warm_judge", "warm_observe"]

_EVENTS = 4_000
_STEP_MS = 1_000


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
    book = ProfileBook()
    book.add(profile, 0)
    observer = Observer(("warmup", 0, 1), book, 60_000)
    observer.start(0, Clock())
    rows = np.arange(len(events))
    batch = Batch(
        offsets=rows,
        record_ms=rows * _STEP_MS,
        ticks=np.zeros(len(events), np.bool_),
        events=events,
        event_rows=rows,
        reject_rows=np.zeros(0, np.int64),
        reject_codes=[],
    )
    return observer.feed(batch)


def warm_observe() -> None:
    """Compile what observe runs."""
    warm_records()
    events = _events()
    _panes(events, fit(events, FitOptions(), Policy()))


def warm_judge() -> None:
    """Compile what the judge runs."""
    events = _events()
    profile = fit(events, FitOptions(), Policy())
    book = ProfileBook()
    book.add(profile, 0)
    monitor = Monitor(book, Semantics(Policy(), 5_000, ""))
    for pane in _panes(events, profile):
        list(monitor.apply(Part(pane.header, pane.entries)))
