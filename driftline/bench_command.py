"""`driftline bench throughput | alarms`: how fast, and how far alarms can be trusted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
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
    from stream.config_file import load_config

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


@app.command(epilog="Example: driftline bench alarms nulls delay --jobs 2")
def alarms(
    experiments: Annotated[
        list[str] | None, typer.Argument(help="Experiments; without a name, all of them.")
    ] = None,
    short: Annotated[bool, typer.Option("--short", help="Few and small: under a minute.")] = False,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Processes that measure.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 1,
    data: Annotated[Path | None, typer.Option(help="Directory of car_loan and nab.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the results here, as JSON.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a page with figures (.md).")] = None,
) -> None:
    """Measure false alarms, delays, onsets and incidents on streams whose truth is known.

    Everything runs through the product's own fit and judge, and beside it what people run
    today. Exits with 1 if a target is missed; the same seed gives the same figures.
    """
    import msgspec

    from driftline.bench.alarms.report import targets_of, write_report
    from driftline.bench.alarms.results import Size
    from driftline.bench.alarms.suite import EXPERIMENTS, run

    names = list(dict.fromkeys(experiments or EXPERIMENTS))
    if unknown := [name for name in names if name not in EXPERIMENTS]:
        known = ", ".join(EXPERIMENTS)
        raise typer.BadParameter(f"There is no experiment {unknown[0]}; there are {known}.")
    console = out()
    results = []
    with _progress() as tell:
        hear = lambda done, of: tell(f"{done} of {of}")  # noqa: E731
        for one in run(names, seed, Size(short, data), jobs=jobs, on_part=hear):
            results.append(one)
            _show(console, one)
    _print(console, targets_of(results))
    if json is not None:
        as_plain = msgspec.to_builtins(results, enc_hook=lambda x: x.item())
        json.write_bytes(msgspec.json.format(msgspec.json.encode(as_plain), indent=1))
    if report is not None:
        words = ["driftline bench alarms", *(experiments or ()), *(["--short"] if short else [])]
        words += [f"--seed {seed}", *(["--data DIR"] if data else [])]
        write_report(report, results, " ".join(words))
    missed = sum(one.missed for one in results)
    console.print(f"{missed} of {sum(len(one.targets) for one in results)} targets missed")
    if missed:
        raise typer.Exit(1)


def _show(console: Console, result: "Result") -> None:  # type: ignore[name-defined]  # noqa: F821
    console.print(f"{result.experiment}: {result.skipped or f'{result.seconds:,.0f} s'}")
    for table in result.tables:
        _print(console, table)


def _print(console: Console, table: "Table") -> None:  # type: ignore[name-defined]  # noqa: F821
    from rich.markup import escape
    from rich.table import Table as Grid

    grid = Grid(title=escape(table.title), title_justify="left")
    for column in table.columns:
        grid.add_column(escape(column))
    for row in table.rows:
        grid.add_row(*map(escape, row))
    console.print(grid)
