"""Where the microseconds of an event go.

The bare loop (no Faust) measures its own phases; what the whole worker takes beyond them is
Faust, asyncio, commits, sends and everything that keeps it exact. All is processor time of one
core for an event, the least of the rounds; what the broker takes is not in it.

    fetch       receive the bytes            scan        values to columns
    checksum    CRC-32C of every batch       accumulate  count into integer sums
    walk        find every value             encode      sums to cells
"""

from driftline.bench.options import Options
from driftline.bench.place import Wanted, place
from driftline.bench.results import Result, Told
from driftline.bench.throughput import HOT, own_setting, run_limit
from driftline.bench.workers import run_worker

__all__ = ["run"]

_MICROSECONDS = 1e6


def run(options: Options, told: Told) -> Result:
    """Measure the bare loop's phases and the whole worker in each round."""
    wanted = Wanted(options.events, options.seed, config_path=options.config_path)
    rounds: list[dict[str, float]] = []
    with place(wanted, options.bootstrap, told) as where:
        for number in range(1, options.rounds + 1):
            told.progress(f"Round {number} of {options.rounds}")
            limit, worked = run_limit(where), run_worker(where, own_setting(HOT))
            costs = {name: seconds / limit.events for name, seconds in limit.phases.items()}
            costs["observe"] = worked.observe_cpu_seconds / worked.events
            costs["judge"] = worked.judge_cpu_seconds / worked.events
            rounds.append({name: cost * _MICROSECONDS for name, cost in costs.items()})
            told.line(
                f"round {number}: " + ", ".join(f"{k} {v:.3f}" for k, v in rounds[-1].items())
            )
    least = {name: min(one[name] for one in rounds) for name in rounds[0]}
    observe, judge = least.pop("observe"), least.pop("judge")
    least["rest of observe"] = observe - sum(least.values())
    least["judge"] = judge
    return Result(
        bench="phases",
        says=__doc__.partition("\n\n")[2].strip(),
        unit="us of one core for an event",
        figures={f"phase: {name}": cost for name, cost in least.items()} | {"observe": observe},
    )
