"""`driftline emit`: a file of events to the topic."""

import asyncio
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from driftline.options import ConfigPath, byte_progress, out

__all__ = ["EPILOG", "emit"]

EPILOG = (
    "Examples: driftline emit events.jsonl --rate 2000    (or --speedup 60, or --retime now)\n\n"
    "driftline emit events.jsonl --format arrow --rows 5000"
)


def emit(
    file: Annotated[Path, typer.Argument(help="A JSONL or CSV file, plain or .gz.")],
    rate: Annotated[float | None, typer.Option(min=0.1, help="Events a second.")] = None,
    speedup: Annotated[
        float | None, typer.Option(min=0.001, help="How many times faster than the events' times.")
    ] = None,
    retime: Annotated[
        str | None, typer.Option(help="`now` shifts all times so that the last event is now.")
    ] = None,
    as_late: Annotated[
        bool, typer.Option("--as-late", help="Send even what the topic's time has passed.")
    ] = False,
    format_: Annotated[
        Literal["json", "arrow"],
        typer.Option("--format", help="Events one by one, or many in an Arrow message."),
    ] = "json",
    rows: Annotated[
        int, typer.Option(min=1, max=65_536, help="Events in an Arrow message, at most.")
    ] = 5_000,
    config: ConfigPath = None,
) -> None:
    """Send a file's events to Kafka, in order; as fast as possible unless told otherwise."""
    from detectors.errors import ConfigError
    from stream.config_file import load_config
    from stream.emitting import Pace, emit_file
    from stream.sources import size_of

    if rate is not None and speedup is not None:
        raise ConfigError("Choose one of --rate and --speedup.")
    if retime not in {None, "now"}:
        raise ConfigError(f"--retime {retime}: the only value is `now`.")
    settings = load_config(config)
    pace = Pace(rate, speedup, rows if format_ == "arrow" else 0)
    started = time.monotonic()
    sent = 0

    async def send() -> None:
        nonlocal sent
        size = size_of(file)
        with byte_progress(out()) as bar:
            task = bar.add_task(f"Emitting {file.name}", total=size)
            choice = {"retime": retime == "now", "as_late": as_late}
            async for done in emit_file(file, settings, pace, **choice):
                sent = done.events
                speed = sent / max(time.monotonic() - started, 1e-9)
                label = f"Emitting {file.name}: {sent:,} events, {speed:,.0f}/s"
                bar.update(task, completed=done.position, description=label)

    try:
        asyncio.run(send())
    finally:
        seconds = time.monotonic() - started
        out().print(f"Sent {sent:,} events to {settings.kafka.prefix}.events in {seconds:.1f} s.")
