"""`driftline bench throughput`: how many times faster than what people write today."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Annotated

import typer
from rich.console import Console

from driftline.options import ConfigPath, out

__all__ = ["app"]

app = typer.Typer(
    help="Measure driftline on this machine; each bench says what it measured, and on what.",
    no_args_is_help=True,
)


@app.command(epilog="Example: driftline bench throughput --rounds 5")
def throughput(
    events: Annotated[
        int, typer.Option(min=1_000, help="Events in the topic, which driftline reads.")
    ] = 400_000,
    naive_events: Annotated[
        int, typer.Option(min=100, help="Events of them that the naive worker reads, at most.")
    ] = 30_000,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Rounds of both workers.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Of the generated events.")] = 1,
    config: ConfigPath = None,
) -> None:
    """Compare the driftline worker with a naive one on the same Kafka topic.

    A topic with 4 partitions is filled with JSON events of about 420 bytes: 10 numeric
    features, a prediction, a country, a device. The naive worker is Faust with one event at a
    time, orjson, and river's ADWIN and PageHinkley for each feature in three slices (all, the
    event's country, its device). The driftline worker is `driftline worker`, whole: observe and
    judge as two processes, with decoding, rejects, clocks, panes, summaries, commits, metrics,
    alerts, and a profile fitted on generated reference events.

    Both are pinned to the same one core, where the system can do that, and take turns; the
    broker is not pinned. The naive worker's clock runs from its first event to its last one
    done, at most 30 seconds; driftline's from the moment it is given the partitions to the last
    commit of both its processes. What driftline counted must be exactly what was written.

    Without a configured or running Kafka one is started for this, and removed. The last line is
    `ratio N`: the median over the rounds of driftline's rate divided by the naive one's.
    """
    from driftline.bench.broker import bench_broker
    from driftline.bench.machine import machine
    from driftline.bench.processes import core_to_pin
    from driftline.bench.throughput import Plan, Round, measure
    from stream.config import load_config

    plan = Plan(events, min(naive_events, events), rounds, seed)
    settings = load_config(config)
    console = out()
    done: list[Round] = []
    with _progress() as tell, bench_broker(settings.kafka, tell) as bootstrap:
        console.print(machine(bootstrap, core_to_pin()))
        for one in measure(plan, config, bootstrap, tell):
            done.append(one)
            console.print(f"round {len(done)}: {_line(one)}")
    for name, choose in (("best", max), ("median", median)):
        naive = choose([one.naive.rate for one in done])
        ours = choose([one.driftline.rate for one in done])
        ratio = choose([one.ratio for one in done])
        console.print(f"{name}: naive {naive:,.0f}/s, driftline {ours:,.0f}/s, ratio {ratio:.1f}")
    console.print(f"ratio {median([one.ratio for one in done]):.1f}")


def _line(one: "Round") -> str:  # type: ignore[name-defined]  # noqa: F821
    return (
        ", ".join(
            f"{name} {took.rate:,.0f}/s ({took.events:,} events in {took.seconds:.2f} s)"
            for name, took in (("naive", one.naive), ("driftline", one.driftline))
        )
        + f", ratio {one.ratio:.1f}"
    )


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show what goes on: a moving line on a terminal, nothing in a log."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("") as line:
        yield line.update
