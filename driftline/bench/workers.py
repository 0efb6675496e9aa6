"""The whole product under measurement: `driftline worker`, observe and judge, over a filled log.

The clock runs from the log line with which observe takes its partitions, before its first fetch,
or from when several go on that were halted while the log was filled, to the last summary and the
last metric on the broker; and then everything must be committed, and what was counted must be
exactly what was written.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from detectors.errors import DriftlineError
from driftline.bench.place import Place
from driftline.bench.processes import Process, python, running

__all__ = ["Worked", "check_counts", "run_worker", "started_worker"]

_START_SECONDS = 120.0
_SILENT_SECONDS = 120.0
_POLL_SECONDS = 0.05


class Worked(NamedTuple):
    """Hold one run: events, wall seconds, and processor seconds and memory of the roles."""

    events: int
    seconds: float
    observe_cpu_seconds: float
    judge_cpu_seconds: float
    observe_bytes_max: float
    judge_bytes_max: float
    observe_bound_bytes: float
    judge_bound_bytes: float
    rebalance_seconds: float

    @property
    def rate(self) -> float:
        """Give events a second."""
        return self.events / self.seconds


class _Begun(NamedTuple):
    """Hold the moment from which a run is measured."""

    at: float
    cpu: float
    judge_cpu: float


def run_worker(
    place: Place, environ: Mapping[str, str] | None = None, observers: int = 1
) -> Worked:
    """Run judge and so many observes until they have committed everything; leave only events.

    Several can be measured only where the events come late.

    Raises
    ------
    DriftlineError
        If a role ends, hangs, or counts other events than it was given.
    """
    place.prepare()
    log, names = place.log, place.log.names
    with started_worker(place, environ, observers) as (judge, observes):
        begun = _begun(place, judge, observes)
        processes = [judge, *observes]
        _await_commits(place, processes)
        worked = Worked(
            place.wanted.events,
            log.last_write() - begun.at,
            sum(one.cpu_seconds() for one in observes) - begun.cpu,
            judge.cpu_seconds() - begun.judge_cpu,
            max(one.memory_bytes("VmHWM") for one in observes),
            judge.memory_bytes("VmHWM"),
            max(one.bound_bytes() for one in observes),
            judge.bound_bytes(),
            max(one.unassigned_seconds() for one in observes),
        )
    check_counts(place)
    log.clear(keep_events=not place.wanted.late)
    if worked.seconds <= 0:
        raise DriftlineError(f"{names.events} holds too few events to measure anything.")
    return worked


@contextlib.contextmanager
def started_worker(
    place: Place, environ: Mapping[str, str] | None, observers: int
) -> Iterator[tuple[Process, Sequence[Process]]]:
    """Have a judge and observes for the length of a `with` block, the judge in its group."""
    bench = place.bench._replace(environ={**place.bench.environ, **(environ or {})})
    with contextlib.ExitStack() as stack:
        judge = stack.enter_context(running(bench, "judge", python(*place.command("judge"))))
        judge.logged("assigned", _START_SECONDS)
        observes = [
            stack.enter_context(running(bench, f"observe-{i}", python(*place.command("observe"))))
            for i in range(observers)
        ]
        yield judge, observes


def _begun(place: Place, judge: Process, observes: Sequence[Process]) -> _Begun:
    """Wait until every observe has partitions, with events in them to read."""
    if place.wanted.late:
        _await_shared(observes)
        with contextlib.ExitStack() as stack:
            for one in observes:
                stack.enter_context(one.halted())
            place.fill()
        at = time.time()
    else:
        (observe,) = observes
        at = observe.logged("assigned", _START_SECONDS)
    return _Begun(at, sum(one.cpu_seconds() for one in observes), judge.cpu_seconds())


def _await_shared(observes: Sequence[Process]) -> None:
    """Wait until every observe has a share of the partitions, and no two have the same."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        shares = [one.assigned() for one in observes]
        if all(shares) and sum(map(len, shares)) == len(frozenset().union(*shares)):
            return
        for one in observes:
            one.check_alive()
        if time.monotonic() > deadline:
            raise DriftlineError("The observe processes do not come to share the partitions.")
        time.sleep(_POLL_SECONDS)


def _await_commits(place: Place, processes: Sequence[Process]) -> None:
    """Wait until observe has committed every event, and then judge every summary."""
    log, names = place.log, place.log.names
    deadline = time.monotonic() + _SILENT_SECONDS + place.wanted.events / 1000
    for group, topic in (
        (names.observe_group, names.events),
        (names.judge_group, names.summaries),
    ):
        while not log.committed(group, topic):
            for process in processes:
                process.check_alive()
            if time.monotonic() > deadline:
                raise DriftlineError(f"The group {group} does not get to the end of {topic}.")
            time.sleep(_POLL_SECONDS)


def check_counts(place: Place) -> None:
    """Refuse a run whose summaries do not hold every event once."""
    counted, events = place.log.counted(), place.wanted.events
    ticks = counted.read - counted.accepted
    if counted.accepted != events or counted.summarised != events:
        raise DriftlineError(
            f"The topic holds {events:,} events, but the summaries say that "
            f"{counted.accepted:,} were accepted and {counted.summarised:,} summarised "
            f"({ticks:,} other records): this is a bug, and the rate means nothing."
        )
