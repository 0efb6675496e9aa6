"""What several commands share: the configuration's option, and how progress looks."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

__all__ = ["ConfigPath", "byte_progress", "out", "record_progress"]

ConfigPath = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="A driftline.toml; without it everything has a default."),
]


def out() -> Console:
    """Give the console for results, on standard output."""
    return Console(highlight=False, soft_wrap=True)


def byte_progress(console: Console) -> Progress:
    """Make a progress bar over the bytes of files; it goes when it is done."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def record_progress(console: Console) -> Progress:
    """Make a progress bar over the records of a topic; it goes when it is done."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} records"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
