"""The suite: which experiments there are, and how their parts are shared by processes."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from typing import Any

import msgspec

from driftline.bench.alarms.results import Experiment, Result, Size

__all__ = ["EXPERIMENTS", "experiment", "run"]

EXPERIMENTS = (
    "nulls",
    "delay",
    "surroundings",
    "traffic",
    "invariance",
    "onset",
    "slices",
    "incidents",
    "members",
    "arl",
    "car_loan",
    "nab",
    "ablations",
    "speed",
)
# What is timed must have the machine to itself.
_ALONE = ("speed",)


def experiment(name: str) -> Experiment:
    """Give an experiment by its name."""
    found: Experiment = import_module(f"driftline.bench.alarms.{name}").EXPERIMENT
    return found


def _measure(name: str, part: Any, seed: int, size: Size) -> tuple[Any, float]:
    started = time.perf_counter()
    return experiment(name).measure(part, seed, size), time.perf_counter() - started


def run(
    names: Sequence[str],
    seed: int,
    size: Size,
    *,
    jobs: int,
    on_part: Callable[[int, int], None],
) -> Iterator[Result]:
    """Yield the results in the order of the names; `on_part` hears (parts done, parts in all)."""
    plans = {name: _parts(experiment(name), size) for name in names}
    total, done = sum(map(len, plans.values())), 0
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting: dict[str, list[Future[tuple[Any, float]]]] = {}
        for name, parts in plans.items():
            if name not in _ALONE:
                waiting[name] = [pool.submit(_measure, name, part, seed, size) for part in parts]
        for name, futures in waiting.items():
            measured = []
            for future in futures:
                measured.append(future.result())
                done += 1
                on_part(done, total)
            yield _concluded(name, measured, size)
    for name in (name for name in plans if name in _ALONE):
        measured = []
        for part in plans[name]:
            measured.append(_measure(name, part, seed, size))
            done += 1
            on_part(done, total)
        yield _concluded(name, measured, size)


def _parts(chosen: Experiment, size: Size) -> list[Any]:
    if chosen.needs_data and size.data is None:
        return []
    return list(chosen.parts(size))


def _concluded(name: str, measured: Sequence[tuple[Any, float]], size: Size) -> Result:
    chosen = experiment(name)
    if not measured:
        why = "it is not part of the short form"
        if chosen.needs_data and size.data is None:
            why = "it needs public data sets; name their directory with --data"
        return Result(experiment=name, says=chosen.asks, skipped=f"Skipped: {why}.")
    result = chosen.conclude([found for found, _ in measured], size)
    return msgspec.structs.replace(result, seconds=sum(took for _, took in measured))
