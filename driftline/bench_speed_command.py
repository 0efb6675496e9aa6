"""The commands of `driftline bench` that measure speed and memory, the report and the gate."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from driftline.options import ConfigPath, out

__all__ = ["add_speed_commands", "check", "progress", "report", "show_table"]

_BASELINE = Path("docs/benchmarks/performance-baseline.json")
_PAGE = Path("docs/benchmarks/performance.md")

Events = Annotated[int, typer.Option(min=0, help="Events in the topic; 0: the bench's own number.")]
NaiveEvents = Annotated[
    int, typer.Option(min=100, help="Events of them that the naive worker reads, at most.")
]
Rounds = Annotated[int, typer.Option(min=1, max=100, help="Rounds; in each, all take turns.")]
Seed = Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")]
Short = Annotated[bool, typer.Option("--short", help="Few and small, as the gate does.")]
Python = Annotated[
    Path | None,
    typer.Option(
        help="A Python that has the libraries to compare with; without it, environments for "
        "them are made once, under DRIFTLINE_HOME/bench."
    ),
]
Json = Annotated[Path | None, typer.Option(help="Write the result here, as JSON.")]


def add_speed_commands(app: typer.Typer) -> None:
    """Add a command for each bench, the report of all, and the gate."""
    from driftline.bench_names import BENCHES

    for name, asks in BENCHES.items():
        example = f"Example: driftline bench {name} --rounds 5 --json {name}.json"
        app.command(name, help=_joined(asks), epilog=example)(_command(name))
    app.command("report", epilog="Example: driftline bench report --only latency --only scale")(
        report
    )
    app.command("check", epilog="Example: driftline bench check")(check)


def _joined(text: str) -> str:
    """Join the lines of each paragraph: a terminal has its own width."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _command(name: str) -> Callable[..., None]:
    """Make the command of one bench."""

    def bench(
        events: Events = 0,
        naive_events: NaiveEvents = 30_000,
        rounds: Rounds = 3,
        seed: Seed = 1,
        short: Short = False,
        python: Python = None,
        json: Json = None,
        config: ConfigPath = None,
    ) -> None:
        from driftline.bench.options import Options
        from driftline.bench.results import write_result

        options = Options(
            events=events,
            naive_events=naive_events,
            rounds=rounds,
            seed=seed,
            config_path=config,
            python=python,
            short=short,
        )
        words = [f"--rounds {rounds}", f"--seed {seed}", *(["--short"] if short else [])]
        words += [f"--events {events}"] if events else []
        result = _run(name, options, " ".join(words).split())
        if json is not None:
            write_result(json, result)

    return bench


def report(
    only: Annotated[
        list[str] | None, typer.Option(help="Run these only; take the others as they were found.")
    ] = None,
    gather: Annotated[
        bool, typer.Option("--gather", help="Run nothing: make the page from what was found.")
    ] = False,
    results: Annotated[
        Path | None, typer.Option(help="Directory of results; default DRIFTLINE_HOME/bench/results")
    ] = None,
    page: Annotated[Path, typer.Option(help="The page to write (.md), figures beside it.")] = _PAGE,
    rounds: Rounds = 3,
    seed: Seed = 1,
    short: Short = False,
    python: Python = None,
    config: ConfigPath = None,
) -> None:
    """Run every bench, and write the page with the table of what must be reached.

    What a bench has found is kept as JSON, so that one of them can be run again alone.  A bench
    that fails is named, and the others still run.  Takes 40 minutes.  Exits with 1 if a bench
    failed; a target that is missed is said on the page.
    """
    from detectors.errors import DriftlineError
    from driftline.bench.options import Options
    from driftline.bench.page import write_page
    from driftline.bench.results import read_results, write_result
    from driftline.bench.suite import BENCHES
    from stream.localkafka import driftline_home

    if unknown := [name for name in only or [] if name not in BENCHES]:
        raise typer.BadParameter(f"There is no bench {unknown[0]}; there are {', '.join(BENCHES)}.")
    folder = results or driftline_home() / "bench" / "results"
    options = Options(rounds=rounds, seed=seed, config_path=config, python=python, short=short)
    failed = {}
    for name in [] if gather else only or list(BENCHES):
        out().print(f"\n[bold]{name}[/bold]")
        words = f"--rounds {rounds} --seed {seed}{' --short' if short else ''}".split()
        try:
            write_result(folder / f"{name}.json", _run(name, options, words))
        except DriftlineError as error:
            failed[name] = str(error)
            out().print(f"[red]{name} failed:[/red] {error}", markup=True)
    found = read_results(folder, list(BENCHES))
    write_page(page, found)
    out().print(f"\n{page}: {len(found)} benches")
    if failed:
        raise typer.Exit(1)


def check(
    baseline: Annotated[Path, typer.Option(help="The stored ratios.")] = _BASELINE,
    update: Annotated[
        bool, typer.Option("--update", help="Store the ratios of now instead of comparing.")
    ] = False,
    rounds: Rounds = 3,
    seed: Seed = 1,
) -> None:
    """Run the short form and compare ratios with stored ones: a drop of 15 % fails.

    Ratios of one round do not depend on how fast the machine is, or on what else it does just
    then.  Compared is the best round of now with the stored median.  Exits with 1 if one fails.
    """
    import msgspec

    from driftline.bench.gate import baseline_of, read_baseline
    from driftline.bench.gate import check as compared
    from driftline.bench.options import Options
    from driftline.bench.suite import GATED
    from driftline.bench.tables import checked_table

    stored = None if update else read_baseline(baseline)
    options = Options(rounds=rounds, seed=seed, short=True, naive_events=10_000, naive_seconds=10.0)
    results = [_run(name, options, ["--short"]) for name in GATED]
    console = out()
    if stored is None:
        content = msgspec.json.format(msgspec.json.encode(baseline_of(results)), indent=1)
        baseline.write_bytes(content + b"\n")
        console.print(f"Stored {baseline}")
        return
    found = compared(stored, results)
    show_table(console, checked_table(found))
    dropped = sum(not one.holds for one in found)
    console.print(f"{dropped} of {len(found)} ratios dropped by more than 15 %")
    if dropped:
        raise typer.Exit(1)


def _end(*_: object) -> NoReturn:
    """End as Ctrl-C does: processes under measurement are stopped on the way out."""
    raise KeyboardInterrupt


def _run(name: str, options: Any, words: Sequence[str]) -> Any:
    """Run a bench, show its progress and its tables."""
    from driftline.bench.results import Told
    from driftline.bench.suite import run_bench
    from driftline.bench.tables import number, tables_of

    console = out()
    signal.signal(signal.SIGTERM, _end)
    with progress() as tell:
        result = run_bench(name, options, Told(tell, console.print), words)
    for table in tables_of(result):
        show_table(console, table)
    if result.ratios and (first := result.ratio(result.ratios[0].name)) is not None:
        console.print(f"ratio {number(first.median)}")
    return result


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show what goes on: a moving line on a terminal, nothing in a log."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("") as line:
        yield line.update


def show_table(console: Console, table: Any) -> None:
    """Print one table."""
    from rich.markup import escape
    from rich.table import Table as Grid

    grid = Grid(title=escape(table.title), title_justify="left")
    for column in table.columns:
        grid.add_column(escape(column))
    for row in table.rows:
        grid.add_row(*map(escape, row))
    console.print(grid)
