"""What several commands share: the configuration's option, and how progress looks."""

from datetime import UTC, datetime
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

__all__ = ["ConfigPath", "byte_progress", "out", "record_progress", "time_ms"]

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


def time_ms(text: str | None) -> int | None:
    """Read an option's time in milliseconds; one without a zone is UTC.

    Raises
    ------
    ConfigError
        If it is no time.

    >>> time_ms("2026-11-23T12:00:00.250"), time_ms("2026-11-23T13:00:00+01:00")
    (1795435200250, 1795435200000)
    """
    from detectors.errors import ConfigError

    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no time; write it like 2026-11-23T12:00:00Z.") from error
    return round(time.replace(tzinfo=time.tzinfo or UTC).timestamp() * 1000)
