"""The experiments in the order in which they are told, and how they are run."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

import msgspec

from detectors.errors import ConfigError
from driftline.bench.alarms import (
    ablations,
    arl,
    delay,
    incidents,
    invariance,
    loans,
    members,
    nulls,
    onset,
    slices,
    speed,
    surroundings,
    traffic,
)
from driftline.bench.alarms.results import Experiment, Result, Size

__all__ = ["EXPERIMENTS", "chosen", "run"]

_MODULES = (
    nulls,
    surroundings,
    delay,
    traffic,
    onset,
    slices,
    incidents,
    members,
    loans,
    invariance,
    arl,
    ablations,
    speed,
)
EXPERIMENTS: dict[str, Experiment] = {m.EXPERIMENT.name: m.EXPERIMENT for m in _MODULES}


def chosen(names: Sequence[str]) -> list[Experiment]:
    """Give the experiments of these names; all where none is named.

    Raises
    ------
    ConfigError
        If a name is none of an experiment.
    """
    unknown = [name for name in names if name not in EXPERIMENTS]
    if unknown:
        known = ", ".join(EXPERIMENTS)
        raise ConfigError(f"There is no experiment named {unknown[0]!r}; there are {known}.")
    return [EXPERIMENTS[name] for name in names] if names else list(EXPERIMENTS.values())


def run(
    experiments: Sequence[Experiment],
    size: Size,
    seed: int,
    jobs: int,
    on_part: Callable[[str, int, int], None] = lambda *_: None,
) -> Iterator[Result]:
    """Yield each experiment's result, in order; `on_part` hears of (name, done, all) parts."""
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        for experiment in experiments:
            if experiment.needs_data and size.data is None:
                says = "needs the reference data: name its directory with --data"
                yield Result(experiment=experiment.name, says=experiment.asks, skipped=says)
                continue
            started = time.perf_counter()
            parts = list(experiment.parts(size))
            futures = {
                pool.submit(experiment.measure, p, seed, size): i for i, p in enumerate(parts)
            }
            found = _gather(futures, lambda n, e=experiment, p=parts: on_part(e.name, n, len(p)))
            result = experiment.conclude([found[i] for i in range(len(parts))], size)
            took = time.perf_counter() - started
            yield msgspec.structs.replace(result, seconds=round(took, 1))


def _gather(futures: dict[Future[Any], int], on_done: Callable[[int], None]) -> dict[int, Any]:
    """Wait for all parts; an error in one ends all."""
    found: dict[int, Any] = {}
    on_done(0)
    try:
        for future in as_completed(futures):
            found[futures[future]] = future.result()
            on_done(len(found))
    except BaseException:
        for future in futures:
            future.cancel()
        raise
    return found
