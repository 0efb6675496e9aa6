"""`driftline profile fit | show | push`: the reference of a model."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from driftline.options import ConfigPath, byte_progress, out

__all__ = ["app"]

app = typer.Typer(
    help="Fit, show and push the reference that a model is measured against.", no_args_is_help=True
)

ProfilePath = Annotated[Path, typer.Argument(help="A profile, as `profile fit` writes it.")]


@app.command(epilog="Example: driftline profile fit reference.jsonl -o profile.json")
def fit(
    reference: Annotated[Path, typer.Argument(help="A JSONL or CSV file, plain or .gz.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the profile.")],
    model: Annotated[
        str | None, typer.Option(help="Fit this model only; name the rows of a table.")
    ] = None,
    config: ConfigPath = None,
) -> None:
    """Fit a profile from a file of reference events.

    Take at least two weeks of events from a time when the model was right. The buckets and
    blocks in which events are gathered are proposed from the traffic that the file shows.
    """
    from detectors.profile import render
    from stream.config_file import load_config
    from stream.fitting import fit_file
    from stream.sources import size_of

    settings = load_config(config)
    console = out()
    with byte_progress(console) as bar:
        task = bar.add_task(f"Reading {reference.name}", total=size_of(reference))
        fitted, rejected = fit_file(reference, settings, model, lambda n: bar.advance(task, n))
    output.write_text(render(fitted), encoding="utf-8")
    console.print(_overview(fitted))
    if rejected:
        console.print(f"{rejected.total():,} rows were no events: {_counts(rejected)}")
    console.print(f"Wrote {output} ({output.stat().st_size:,} bytes, hash {fitted.hash}).")


@app.command(epilog="Example: driftline profile show profile.json")
def show(profile: ProfilePath) -> None:
    """Show what a profile watches."""
    from stream.fitting import load_file

    console = out()
    loaded = load_file(profile)
    console.print(_overview(loaded))
    table = Table("channel", "kind", "bins", "mean", "sd", "missing")
    for index, channel in enumerate(loaded.channels):
        streams = [s for s in loaded.streams if s.slice == 0 and s.channel == index]
        values = next((s.reference for s in streams if not s.missing), None)
        gaps = next((s.reference for s in streams if s.missing), None)
        number = channel.kind == "numeric" and values is not None
        table.add_row(
            channel.name,
            channel.kind,
            str(channel.bins),
            f"{values.mean:.4g}" if number and values else "",
            f"{values.sd:.4g}" if number and values else "",
            f"{gaps.counts[1] / gaps.n:.2%}" if gaps else "",
        )
    console.print(table)
    named = [", ".join(f"{k}={v}" for k, v in where.items()) for where in loaded.slices[1:]]
    console.print(f"Slices: all events{'; ' if named else ''}{'; '.join(named)}")


@app.command(epilog="Example: driftline profile push profile.json -c driftline.toml")
def push(profile: ProfilePath, config: ConfigPath = None) -> None:
    """Put a profile in force: a record of the control topic.

    It takes effect 60 s after the latest event that has been read, or from the beginning if
    there was none.  Where workers run, it waits some seconds, to be sure of that.
    """
    from stream.config_file import load_config
    from stream.fitting import load_file
    from stream.pushing import push_profile

    loaded = load_file(profile)
    since = asyncio.run(push_profile(load_config(config), loaded))
    when = "the beginning" if since is None else since
    out().print(f"Pushed the profile of {loaded.model} ({loaded.hash}), in force from {when}.")


def _overview(profile: "Profile") -> str:  # type: ignore[name-defined]  # noqa: F821
    from detectors.alert import instant

    reference = profile.reference
    kinds = Counter(channel.kind for channel in profile.channels)
    watched = sum(1 for s in profile.streams if s.reference.may_alarm)
    lines = [
        (
            f"[bold]{profile.model}[/bold]: {reference.events:,} reference events from "
            f"{instant(reference.start_ms)} to {instant(reference.end_ms)}"
        ),
        (
            f"{kinds['numeric']} numeric and {kinds['categorical']} categorical channels, "
            f"{len(profile.slices) - 1} slices, "
            f"{len(profile.streams)} streams ({watched} alarmable)"
        ),
        (
            f"buckets of {profile.bucket_seconds:,} s, blocks of {profile.block_events} events "
            f"or {profile.block_seconds:,} s"
        ),
    ]
    learning = Counter(s.reference.learning for s in profile.streams if s.reference.learning)
    lines += [
        f"[yellow]{n} streams are learning and do not alarm: {reason}[/yellow]"
        for reason, n in learning.most_common(3)
    ]
    return "\n".join(lines + _widened(profile))


def _widened(profile: "Profile") -> list[str]:  # type: ignore[name-defined]  # noqa: F821
    """Name the streams that would have alarmed on their own reference."""
    from detectors.wording import place

    found = [
        (stat.widened, f"{profile.stream_name(s)}{place(profile.slices[s.slice])} ({stat.name})")
        for s in profile.streams
        for stat in s.reference.statistics
        if stat.widened > 1
    ]
    if not found:
        return []
    found.sort(reverse=True)
    names = ", ".join(f"{name} x {times:.2g}" for times, name in found[:3])
    return [
        (
            f"{len(found)} statistics change within the reference itself and were made less "
            f"sensitive, above all {names}"
        )
    ]


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{code} {n:,}" for code, n in counter.most_common())
