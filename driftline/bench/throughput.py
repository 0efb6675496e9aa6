"""Throughput: driftline's worker against a naive one, on the same events, core and broker.

Topics of a real broker are filled once.  Each round then runs every contender, pinned to the
same one core (the broker is not pinned); so what else the machine does meets all of them.

    naive        Faust and river, from its first event taken to its last one done
    record path  `driftline worker`, both roles, with a Python object for each fetched record
    hot path     the same with the fetched bytes read where they lie
    zstd         the hot path on a topic with the same events, compressed
    arrow        the hot path on Arrow messages of 5,000 of the same events each
    no Faust     the hot path's own code in a bare loop: raw fetch, walk, scan, accumulate
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TypeVar

import msgspec

from detectors.errors import DriftlineError
from detectors.profile import render
from driftline.bench.options import Options
from driftline.bench.place import Place, Wanted, place
from driftline.bench.processes import python, running
from driftline.bench.results import Ratio, Result, Told, interleaved
from driftline.bench.workers import Worked, run_worker
from stream import localkafka

__all__ = [
    "HOT",
    "RECORDS",
    "Limit",
    "Measured",
    "is_local",
    "own_setting",
    "run",
    "run_limit",
    "run_naive",
]

HOT, RECORDS = "hot path", "record path"
_START_SECONDS = 120.0
_ARROW_ROWS = 5_000
_Run = TypeVar("_Run")
RATIOS = (
    Ratio("hot path / naive", HOT, ("naive",)),
    Ratio("record path / naive", RECORDS, ("naive",)),
    Ratio("hot path / record path", HOT, (RECORDS,)),
    Ratio("share of the limit without Faust", HOT, ("no Faust",)),
    Ratio("zstd / uncompressed", "zstd", (HOT,)),
    Ratio("Arrow / JSON, hot path", "arrow", (HOT,)),
)


class Measured(msgspec.Struct, frozen=True):
    """Hold what a program measured of itself: events, wall seconds, and processor seconds."""

    events: int
    seconds: float
    cpu_seconds: float = 0.0

    @property
    def cpu_cost(self) -> float:
        """Give processor seconds an event."""
        return self.cpu_seconds / self.events

    @property
    def rate(self) -> float:
        """Give events a second."""
        return self.events / self.seconds


class Limit(Measured, frozen=True):
    """Hold what the bare loop measured: also what it left to the slow way, and its phases."""

    left: int = 0
    phases: dict[str, float] = {}


def run(options: Options, told: Told) -> Result:
    """Fill the topics, and run all contenders in each round; nothing stays on the broker.

    Raises
    ------
    DriftlineError
        If a worker ends, hangs, or counts other events than it was given.
    """
    wanted = Wanted(options.events, options.seed, config_path=options.config_path)
    with ExitStack() as stack:
        plain = stack.enter_context(place(wanted, options.bootstrap, told))
        packed = wanted._replace(compression="zstd")
        zstd = stack.enter_context(place(packed, options.bootstrap, told, plain.profile))
        columns = wanted._replace(arrow_rows=_ARROW_ROWS)
        arrow = stack.enter_context(place(columns, options.bootstrap, told, plain.profile))
        counter = iter(range(1, options.rounds + 1))
        cpu: dict[str, list[Worked]] = {}
        bare: list[Limit] = []
        naive: list[Measured] = []

        def own(name: str, where: Place, environ: Mapping[str, str]) -> Callable[[], float]:
            return lambda: _kept(cpu.setdefault(name, []), run_worker(where, environ)).rate

        contenders: dict[str, Callable[[], float]] = {
            "naive": lambda: _kept(naive, run_naive(plain, options, next(counter))).rate,
            RECORDS: own(RECORDS, plain, own_setting(RECORDS)),
            HOT: own(HOT, plain, own_setting(HOT)),
            "zstd": own("zstd", zstd, own_setting(HOT)),
            "arrow": own("arrow", arrow, own_setting(HOT)),
        }
        not_run = {}
        if is_local(options.bootstrap):
            contenders["no Faust"] = lambda: _kept(bare, run_limit(plain)).rate
        else:
            not_run["no Faust"] = "the bare loop reads from one local broker only"
        rounds = tuple(interleaved(contenders, options.rounds, told))
    cost = min(one.cpu_cost for one in naive)
    return Result(
        bench="throughput",
        says=__doc__.partition("\n\n")[2].strip(),
        unit="events/s",
        rounds=rounds,
        ratios=RATIOS,
        figures=_cpu_figures(cpu) | _share(cpu, bare) | {"naive: cpu us/event": cost * 1e6},
        not_run=not_run,
    )


def _kept(found: list[_Run], run: _Run) -> _Run:
    found.append(run)
    return run


def _cpu_figures(cpu: Mapping[str, list[Worked]]) -> dict[str, float]:
    """Give the least processor time an event that each contender took, by role."""
    figures = {}
    for name, runs in cpu.items():
        for role in ("observe", "judge"):
            seconds = min(getattr(one, f"{role}_cpu_seconds") / one.events for one in runs)
            figures[f"{name}: {role} cpu us/event"] = seconds * 1e6
        figures[f"{name}: observe MiB"] = max(one.observe_bytes_max for one in runs) / 2**20
        figures[f"{name}: judge MiB"] = max(one.judge_bytes_max for one in runs) / 2**20
    return figures


def _share(cpu: Mapping[str, list[Worked]], bare: list[Limit]) -> dict[str, float]:
    """Compare the bare loop with observe alone, which does the same work: by processor time."""
    if not bare:
        return {}
    limit = min(sum(one.phases.values()) / one.events for one in bare)
    observe = min(one.observe_cpu_seconds / one.events for one in cpu[HOT])
    return {
        "no Faust: cpu us/event": limit * 1e6,
        "share of the limit, observe alone, by processor time": limit / observe,
    }


def own_setting(path: str) -> dict[str, str]:
    """Give the environment in which a worker takes the record path, or the hot one."""
    return {"DRIFTLINE_KAFKA_FETCH": "records" if path == RECORDS else "in-place"}


def run_naive(where: Place, options: Options, number: int) -> Measured:
    """Let the naive worker measure itself on the topic's first events."""
    names = where.log.names
    arguments = ["--group", f"{names.prefix}.naive-{number}"]
    arguments += ["--partitions", str(where.config.kafka.events_partitions)]
    arguments += ["--events", str(min(options.naive_events, options.events))]
    arguments += ["--seconds", str(options.naive_seconds)]
    line = _own(where, "driftline.bench.naive", arguments, options.naive_seconds)
    return msgspec.json.decode(line, type=Measured)


def run_limit(where: Place) -> Limit:
    """Run the bare loop over the topic.

    Raises
    ------
    DriftlineError
        If it did not take every event by the fast way.
    """
    path = where.bench.directory / "profile.json"
    path.write_text(render(where.profile))
    arguments = ["--partitions", str(where.config.kafka.events_partitions), "--profile", str(path)]
    limit = msgspec.json.decode(_own(where, "driftline.bench.limit", arguments), type=Limit)
    if limit.events != where.wanted.events or limit.left:
        raise DriftlineError(
            f"The bare loop took {limit.events:,} of {where.wanted.events:,} events and left "
            f"{limit.left:,}: it is no limit of anything."
        )
    return limit


def is_local(bootstrap: str) -> bool:
    """Tell whether that is the one broker of this machine, which leads every partition."""
    local = localkafka.status()
    return local is not None and local.bootstrap == bootstrap


def _own(where: Place, module: str, arguments: list[str], seconds: float = 300.0) -> bytes:
    """Run a module that measures itself on the topic, and read what it found."""
    result = where.bench.directory / f"{module}.json"
    result.unlink(missing_ok=True)
    shared = ["--bootstrap", where.config.kafka.bootstrap, "--topic", where.log.names.events]
    command = python(module, *shared, *arguments, "--result", str(result))
    with running(where.bench, module, command) as process:
        return process.result(result, _START_SECONDS + seconds)
