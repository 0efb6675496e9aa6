"""`driftline alerts`: follow, show, judge and accept what workers have found."""

import asyncio
from typing import Annotated

import typer
from rich.markup import escape

from driftline.alerts_view import (
    Record,
    show_accepted,
    show_alert,
    show_budget,
    show_found,
    show_incident,
)
from driftline.options import ConfigPath, out, time_ms

__all__ = ["app"]

app = typer.Typer(
    help="Look at the incidents and alerts that workers publish, and answer them.",
    no_args_is_help=True,
)

Id = Annotated[
    str, typer.Argument(metavar="ID", help="An alert or incident; the first letters will do.")
]


@app.command(epilog="Example: driftline alerts tail --since 2026-11-23T12:00:00Z")
def tail(
    since: Annotated[
        str | None,
        typer.Option(help="Show also what was published since then (RFC 3339); default: now on."),
    ] = None,
    incidents: Annotated[
        bool, typer.Option("--incidents", help="Leave out the alerts of the incidents.")
    ] = False,
    config: ConfigPath = None,
) -> None:
    """Print incidents and their alerts as they are published, until Ctrl-C.

    An incident is told again when its first line or its status changes.
    """
    from stream.config_file import load_config
    from stream.tailing import follow_alerts

    start_ms = time_ms(since)
    console = out()
    console.print("Waiting for incidents. Ctrl-C ends.")
    told: dict[str, tuple[str, str]] = {}

    def show(record: Record) -> None:
        if "alert" in record:
            if not incidents:
                show_alert(console, record["alert"], indent="  ")
        elif told.get(record["id"]) != (record["status"], record["summary"]):
            told[record["id"]] = record["status"], record["summary"]
            show_incident(console, record)

    asyncio.run(follow_alerts(load_config(config), start_ms, show))


@app.command(epilog="Example: driftline alerts show 3f9a")
def show(start: Id, config: ConfigPath = None) -> None:
    """Show an alert or incident with all its revisions and its feedback."""
    from stream.config_file import load_config
    from stream.ledger import read_ledger

    ledger = asyncio.run(read_ledger(load_config(config)))
    found = ledger.find(start)
    show_found(out(), found, ledger.latest_alerts(found), ledger.answers(found))


@app.command(epilog="Example: driftline alerts feedback 3f9a expected --note 'price list 2027'")
def feedback(
    start: Id,
    verdict: Annotated[str, typer.Argument(help="false, expected, or real.")],
    note: Annotated[str, typer.Option(help="Why, for those who come later.")] = "",
    config: ConfigPath = None,
) -> None:
    """Say what an alert or incident was; `alerts budget` counts it."""
    from stream.config_file import load_config
    from stream.feedback import give_feedback

    found = asyncio.run(give_feedback(load_config(config), start, verdict, note))
    text = f"Noted: {found.kind} {found.id} is {verdict} ({found.last['summary']})."
    out().print(escape(text))


@app.command(epilog="Example: driftline alerts accept 3f9a")
def accept(start: Id, config: ConfigPath = None) -> None:
    """Take the level since the change as the new reference of an alert, or of an incident's.

    It needs ten blocks of events since the change, and is in force about a minute later.
    """
    from stream.accepting import accept as accept_level
    from stream.config_file import load_config

    show_accepted(out(), asyncio.run(accept_level(load_config(config), start)))


@app.command(epilog="Example: driftline alerts budget")
def budget(config: ConfigPath = None) -> None:
    """Show how much of each model's alarm budget its incidents have taken."""
    from stream.config_file import load_config
    from stream.feedback import read_spent

    show_budget(out(), asyncio.run(read_spent(load_config(config))))
