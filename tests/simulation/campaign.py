"""Many seeds, and what they showed."""

import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import structlog

from tests.simulation.oracle import differences
from tests.simulation.world import Plan, run

__all__ = ["Seed", "attempt", "seeds", "table"]

# One seed in so many may write no ticks.
TICKLESS_EVERY = 3


class Seed(NamedTuple):
    """Say what one seed did, and in what it differed from an undisturbed run."""

    number: int
    steps: int
    idle_steps: int
    records: int
    faults: Counter[str]
    deaths: Counter[str]
    found: Sequence[str]


def _one(number: int) -> Seed:
    outcome = run(Plan(number, ticks=number % TICKLESS_EVERY > 0))
    cluster = outcome.cluster
    records = sum(len(outcome.records(topic)) for topic in cluster.partitions)
    return Seed(
        number,
        outcome.steps,
        outcome.idle_steps,
        records,
        cluster.faults,
        outcome.deaths,
        differences(outcome),
    )


def seeds(numbers: Sequence[int]) -> Iterator[Seed]:
    """Run seeds, one after the other; what the roles log is dropped."""
    structlog.configure(processors=[_drop])
    for number in numbers:
        yield _one(number)


def attempt(number: int) -> Seed:
    """Run one seed; whatever it ends of is a difference, and the seed is told."""
    try:
        return next(seeds([number]))
    except Exception:  # noqa: BLE001  a bug in a role may be any exception
        return Seed(number, 0, 0, 0, Counter(), Counter(), traceback.format_exc().splitlines())


def _drop(*_: object) -> structlog.typing.ProcessorReturnValue:
    raise structlog.DropEvent


def table(done: Sequence[Seed]) -> str:
    """Write what was injected, and that nothing was lost."""
    faults: Counter[str] = Counter()
    deaths: Counter[str] = Counter()
    for one in done:
        faults.update(one.faults)
        deaths.update(one.deaths)
    lines = [
        f"seeds                        {len(done):>12,}",
        f"batches taken                {sum(one.steps for one in done):>12,}",
        f"idle calls                   {sum(one.idle_steps for one in done):>12,}",
        f"fewest batches of a seed     {min((one.steps for one in done), default=0):>12,}",
        f"records in the log           {sum(one.records for one in done):>12,}",
        *(f"{name:28} {count:>12,}" for name, count in faults.most_common()),
        f"processes that ended so      {deaths.total():>12,}",
        f"seeds that differ            {sum(bool(one.found) for one in done):>12,}",
    ]
    return "\n".join(lines) + "\n"
