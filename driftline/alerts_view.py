"""How alerts, incidents and the budget look on a terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from stream.accepting import Acceptance
    from stream.feedback import Spent
    from stream.ledger import Found

__all__ = ["Record", "show_accepted", "show_alert", "show_budget", "show_found", "show_incident"]

_COLOURS = {"critical": "red", "warning": "yellow", "info": "blue"}

Record = dict[str, Any]


def _label(record: Record) -> str:
    """Write severity or status in its colour."""
    resolved = record["status"] == "resolved"
    text = "resolved" if resolved else record["severity"]
    colour = "green" if resolved else _COLOURS.get(record["severity"], "white")
    return f"[{colour}]{text:8}[/{colour}]"


def _place(record: Record) -> str:
    where = ", ".join(f"{k}={v}" for k, v in record["slice"].items())
    return escape(record["channel"] + (f" in {where}" if where else ""))


def show_alert(console: Console, alert: Record, indent: str = "") -> None:
    """Print one alert revision: a line to read, a line with its evidence."""
    console.print(f"{indent}{alert['time']}  {_label(alert)}  {escape(alert['summary'])}")
    console.print(
        f"{indent}[dim]    {escape(alert['channel'])}  by {', '.join(alert['detectors'])}  "
        f"evidence 10^{alert['score']:.1f} of 10^{alert['threshold']:.1f}  "
        f"id {alert['id']}/{alert['revision']}[/dim]"
    )


def show_incident(console: Console, incident: Record) -> None:
    """Print one incident revision as a heading."""
    alerts = len(incident["alerts"])
    console.print(
        f"[bold]{incident['time']}[/bold]  {_label(incident)}  "
        f"[bold]{escape(incident['summary'])}[/bold]"
    )
    console.print(
        f"[dim]    incident of {alerts} alert{'s' if alerts != 1 else ''} since "
        f"{incident['onset']}  id {incident['id']}/{incident['revision']}[/dim]"
    )


def show_found(
    console: Console, found: "Found", alerts: Sequence[Record], answers: Sequence[Record]
) -> None:
    """Print an alert or incident with all its revisions, and what people said of it."""
    last = found.last
    console.print(f"[bold]{found.kind} {found.id}[/bold]  {_label(last)}")
    console.print(f"  {escape(last['summary'])}\n")
    rows = _of_incident(last) if found.kind == "incident" else _of_alert(last)
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        console.print(f"  [dim]{name:{width}}[/dim]  {escape(text)}")
    console.print("\n  Revisions")
    for one in found.revisions:
        text = f"  {one['revision']:>3}  {one['time']}  {_label(one)}  {escape(one['summary'])}"
        console.print(text)
    if found.kind == "incident":
        console.print("\n  Alerts")
        for alert in alerts:
            text = f"  {alert['id'][:8]}  {alert['time']}  {_label(alert)}  "
            console.print(text + escape(alert["summary"]))
    console.print()
    for answer in answers:
        note = f": {answer['note']}" if answer["note"] else ""
        text = f"  {answer['time']}  feedback [bold]{escape(answer['verdict'])}[/bold]"
        console.print(text + escape(note))
    if not answers:
        console.print(
            f"  No feedback yet: driftline alerts feedback {found.id[:8]} false|expected|real"
        )
    if last["status"] == "firing":
        console.print(f"  To make this level the reference: driftline alerts accept {found.id[:8]}")


def _of_alert(alert: Record) -> list[tuple[str, str]]:
    """Write an alert's fields for reading."""
    effect = alert["effect"]
    shares = "; ".join(f"{k}: {a:.4g} → {b:.4g}" for k, (a, b) in effect["shares"].items())
    unit = f" {effect['unit']}" if effect["unit"] else ""
    distances = ", ".join(f"{name} {value:.3g}" for name, value in alert["distances"].items())
    return [
        ("stream", _place(alert)),
        ("since", alert["onset"]),
        (
            "effect",
            f"{effect['sigma']:+.3g} sigma, {effect['from']:.6g} → {effect['to']:.6g}{unit}",
        ),
        *([("shares", shares)] if shares else []),
        ("evidence", f"10^{alert['score']:.1f}, alarms at 10^{alert['threshold']:.1f}"),
        ("detectors", ", ".join(alert["detectors"])),
        ("false alarms", f"{alert['expected_false_alarms_per_week']:.3g} a week expected here"),
        ("events", f"{alert['n']:,} in its block, {alert['n_reference']:,} in the reference"),
        *([("distances", distances)] if distances else []),
        ("incident", alert["incident"]),
        ("profile", alert["profile"]),
    ]


def _of_incident(incident: Record) -> list[tuple[str, str]]:
    """Write an incident's fields for reading."""
    causes = [f"{_place(one)} ({one['share']:.0%} of it)" for one in incident["causes"]]
    members = [f"{_place(one)} ({one['strength']:.2g})" for one in incident["members"]]
    return [
        ("since", incident["onset"]),
        ("causes", "; ".join(causes)),
        ("members", "; ".join(members) or "-"),
        ("profile", incident["profile"]),
    ]


def show_budget(console: Console, models: Sequence["Spent"]) -> None:
    """Print how each model's budget is spent."""
    table = Table("model", box=None, padding=(0, 2, 0, 0))
    names = ("accepted", "7 days", "28 days", "false", "expected", "real", "unanswered", "attained")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for one in models:
        least, most = one.attained
        verdicts = [str(one.verdicts[verdict]) for verdict in ("false", "expected", "real", "")]
        attained = f"{least:.2g}" if least == most else f"{least:.2g}-{most:.2g}"
        counts = (f"{one.accepted_per_week:.3g}", str(one.week), str(one.opened), *verdicts)
        table.add_row(escape(one.model), *counts, attained)
    console.print(table)
    console.print(
        "[dim]accepted: false incidents a week; 7 and 28 days: incidents that opened, of event "
        "time;\nattained: false ones a week in 28 days, over accepted (up to: if all unanswered "
        "are false)[/dim]"
    )


def show_accepted(console: Console, done: "Acceptance") -> None:
    """Print what was accepted, on what it stands, and what happens next."""
    from detectors.wording import figure, place

    profile = done.now
    console.print(f"Accepted for {escape(profile.model)}, as it has been since {done.since}:")
    for j in done.moved:
        old, stream = done.before.streams[j].reference, profile.streams[j]
        new, channel = stream.reference, profile.channels[stream.channel]
        name = profile.stream_name(stream) + place(profile.slices[stream.slice])
        text = f"  {name}: {new.n:,} events in {new.blocks} blocks"
        if stream.missing:
            text += f", missing {old.counts[1] / old.n:.2%} → {new.counts[1] / new.n:.2%}"
        elif channel.kind != "categorical":
            text += f", mean {figure(old.mean)} → {figure(new.mean)}"
        if new.learning:
            text += f"; does not alarm for now ({new.learning})"
        console.print(escape(text))
    console.print(
        f"In force from {done.in_force} (profile {profile.hash}); the alerts resolve then.\n"
        "A profile fitted anew, once there are two weeks of it, knows the new level better."
    )
