"""`driftline kafka start | stop | status`: a real Apache Kafka on this machine.

A DriftlineError passes through to the program, which prints it and exits with its code.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console

__all__ = ["app"]

app = typer.Typer(
    name="kafka",
    help="Start, stop and look at a real Apache Kafka on this machine: no Docker, no Java needed.",
    no_args_is_help=True,
)

_NOT_RUNNING = 1

Port = Annotated[
    int | None,
    typer.Option(
        min=1024,
        max=65535,
        help="The port on 127.0.0.1. Left out: the last one, else 9092, else any free one.",
    ),
]


@app.command(epilog="Example: driftline kafka start --port 19092")
def start(port: Port = None) -> None:
    """Start a one-node Kafka on 127.0.0.1, or find the one that runs.

    The first start fetches Kafka's jars (45 MB). The broker goes on running after this
    command and after Ctrl-C; topics and data stay until the directory is removed.
    """
    from stream import localkafka

    with _progress() as tell:
        before = localkafka.status()
        broker = localkafka.start(port, tell)
    verb = "already runs" if before else "runs"
    out = Console(highlight=False, soft_wrap=True)
    out.print(f"Kafka {verb} on [bold]{broker.bootstrap}[/bold] (process {broker.pid}).")
    out.print(f"Data and log: {broker.directory}. Stop it with: driftline kafka stop")


@app.command(epilog="Example: driftline kafka stop")
def stop() -> None:
    """Stop the local Kafka, from whatever shell it was started; its data stays."""
    from stream import localkafka

    with _progress() as tell:
        tell("Stopping Apache Kafka")
        stopped = localkafka.stop()
    out = Console(highlight=False)
    out.print("Kafka has stopped. Its data is kept." if stopped else "No local Kafka runs.")


@app.command(epilog="Example: driftline kafka status || driftline kafka start")
def status() -> None:
    """Say where the local Kafka runs: exit code 0 if it does, 1 if it does not."""
    from stream import localkafka

    out = Console(highlight=False, soft_wrap=True)
    broker = localkafka.status()
    if broker is None:
        out.print("No local Kafka runs. Start one with: driftline kafka start")
        raise typer.Exit(_NOT_RUNNING)
    out.print(f"Kafka runs on [bold]{broker.bootstrap}[/bold] (process {broker.pid}).")
    out.print(f"Data and log: {broker.directory}")


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show what goes on: a moving line on a terminal, plain lines in a log."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        yield console.print
        return
    with console.status("") as line:
        yield line.update
