"""`driftline alerts tail`: follow the alerts as they are published."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape

from driftline.options import ConfigPath, out

__all__ = ["app", "show_alert"]

app = typer.Typer(help="Look at the alerts that workers publish.", no_args_is_help=True)

_COLOURS = {"critical": "red", "warning": "yellow", "info": "blue"}


@app.command(epilog="Example: driftline alerts tail --since 2026-11-23T12:00:00Z")
def tail(
    since: Annotated[
        str | None,
        typer.Option(help="Show also what was published since then (RFC 3339); default: now on."),
    ] = None,
    config: ConfigPath = None,
) -> None:
    """Print every alert revision as it is published, until Ctrl-C."""
    from detectors.errors import ConfigError
    from stream.config import load_config
    from stream.tailing import follow_alerts

    start_ms = None
    if since is not None:
        try:
            time = datetime.fromisoformat(since)
        except ValueError as error:
            raise ConfigError(
                f"--since {since} is no time; write for example 2026-11-23T12:00:00Z."
            ) from error
        start_ms = round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
    console = out()
    console.print("Waiting for alerts. Ctrl-C ends.")
    asyncio.run(follow_alerts(load_config(config), start_ms, lambda value: _print(console, value)))


def _print(console: Console, value: bytes) -> None:
    show_alert(console, orjson.loads(value)["alert"])


def show_alert(console: Console, alert: dict[str, Any]) -> None:
    """Print one alert revision: a line to read, a line with its evidence."""
    status = alert["status"]
    colour = "green" if status == "resolved" else _COLOURS.get(alert["severity"], "white")
    label = status if status == "resolved" else alert["severity"]
    console.print(f"{alert['time']}  [{colour}]{label:8}[/{colour}]  {escape(alert['summary'])}")
    console.print(
        f"[dim]    {alert['channel']}  by {', '.join(alert['detectors'])}  "
        f"evidence 10^{alert['score']:.1f} of 10^{alert['threshold']:.1f}  "
        f"id {alert['id']}/{alert['revision']}[/dim]"
    )
