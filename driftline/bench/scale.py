"""Scale-out: 1, 2 and 4 observe processes in one group, on the same topic.

Unpinned: on a machine of two cores they share them with each other, the judge and the broker, so
the rate says little there; the processor time of an event says whether more processes cost more.
Every process has its share of the partitions before there are events. Then all are halted, the
topic is filled, and they go on together: measured is how they catch up, to the last summary.

    rebalance  the longest that a process had no partitions because another joined the group
               (every rebalance is an eager one), commits and the choice of offsets included
"""

from collections.abc import Callable

from driftline.bench.options import Options
from driftline.bench.place import Place, Wanted, place
from driftline.bench.results import Ratio, Result, Told, interleaved
from driftline.bench.workers import Worked, run_worker

__all__ = ["run"]

_WORKERS = (1, 2, 4)
_HALTED_SECONDS_MAX = "120"


def run(options: Options, told: Told) -> Result:
    """Run one, two and four observes in each round."""
    wanted = Wanted(
        options.events,
        options.seed,
        config_path=options.config_path,
        environ={"DRIFTLINE_KAFKA_SESSION_TIMEOUT_SECONDS": _HALTED_SECONDS_MAX},
        pinned=False,
        late=True,
    )
    runs: dict[int, list[Worked]] = {count: [] for count in _WORKERS}
    with place(wanted, options.bootstrap, told) as where:
        contenders = {_name(count): _measure(where, count, runs[count]) for count in _WORKERS}
        rounds = tuple(interleaved(contenders, options.rounds, told))
    costs = {
        count: min(one.observe_cpu_seconds / one.events for one in done) * 1e6
        for count, done in runs.items()
    }
    figures = {f"{_name(count)}: observe cpu us/event": cost for count, cost in costs.items()}
    more = [count for count in _WORKERS if count > 1]
    figures |= {f"{_name(n)} / 1: cpu per event": costs[n] / costs[1] for n in more}
    figures |= {
        f"{_name(n)}: longest rebalance ms": max(one.rebalance_seconds for one in runs[n]) * 1e3
        for n in more
    }
    return Result(
        bench="scale",
        says=__doc__.partition("\n\n")[2].strip(),
        unit="events/s",
        rounds=rounds,
        ratios=tuple(Ratio(f"{_name(n)} / 1", _name(n), (_name(1),)) for n in more),
        figures=figures,
    )


def _name(count: int) -> str:
    return f"{count} worker{'s' if count > 1 else ''}"


def _measure(where: Place, count: int, done: list[Worked]) -> Callable[[], float]:
    def measure() -> float:
        done.append(run_worker(where, observers=count))
        return done[-1].rate

    return measure
