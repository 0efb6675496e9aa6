"""`driftline bench …`: how fast, how much memory, and how far alarms can be trusted."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from driftline.bench_speed_command import add_speed_commands, progress, show_table
from driftline.options import out

__all__ = ["app"]

app = typer.Typer(
    help="Measure driftline on this machine; each bench says what it measured, and on what.",
    no_args_is_help=True,
)
add_speed_commands(app)


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
    with progress() as tell:
        hear = lambda done, of: tell(f"{done} of {of}")  # noqa: E731
        for one in run(names, seed, Size(short, data), jobs=jobs, on_part=hear):
            results.append(one)
            _show(console, one)
    show_table(console, targets_of(results))
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
        show_table(console, table)
