"""Every bench by its name, and how it is run."""

import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from typing import NamedTuple

import msgspec

from driftline.bench.broker import bench_broker
from driftline.bench.machine import machine
from driftline.bench.options import Options
from driftline.bench.processes import core_to_pin
from driftline.bench.results import Result, Told, now
from stream.config_file import load_config

__all__ = ["BENCHES", "GATED", "Bench", "run_bench"]


class Bench(NamedTuple):
    """Say how many events a bench takes (long and short form), and whether it needs Kafka."""

    events: tuple[int, int] = (0, 0)
    needs_kafka: bool = False


BENCHES = {
    "throughput": Bench((3_000_000, 300_000), needs_kafka=True),
    "peers": Bench((2_000_000, 100_000), needs_kafka=True),
    "libraries": Bench(),
    "detectors": Bench(),
    "decode": Bench((50_000, 10_000)),
    "judge": Bench(),
    "phases": Bench((1_000_000, 200_000), needs_kafka=True),
    "latency": Bench(needs_kafka=True),
    "scale": Bench((1_000_000, 100_000), needs_kafka=True),
    "memory": Bench((300_000, 50_000), needs_kafka=True),
}

# What `driftline bench check` runs: ratios that need nothing to be installed.
GATED = ("throughput", "detectors", "decode")


def run_bench(name: str, options: Options, told: Told, words: Sequence[str] = ()) -> Result:
    """Run one bench, against the configured Kafka, the one that runs here, or a fresh one.

    `words` are the command's own, for the result.
    """
    bench = BENCHES[name]
    with ExitStack() as stack:
        bootstrap = ""
        if bench.needs_kafka:
            kafka = load_config(options.config_path).kafka
            bootstrap = stack.enter_context(bench_broker(kafka, told.progress))
        events = options.events or bench.events[options.short]
        chosen = options._replace(bootstrap=bootstrap, events=events)
        told.line("\n".join(about := machine(bootstrap, core_to_pin())))
        result: Result = import_module(f"driftline.bench.{name}").run(chosen, told)
    command = shlex.join(["driftline", "bench", name, *words])
    lines = (*about, *result.machine)
    return msgspec.structs.replace(result, machine=lines, command=command, taken=now())
