"""`driftline backtest`: the worker's observe and judge, over files or a topic."""

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, NamedTuple

import typer
from rich.console import Console
from rich.markup import escape

from driftline.options import ConfigPath, byte_progress, out, record_progress, time_ms

if TYPE_CHECKING:
    from detectors.alert import Alert, Incident, Metric
    from detectors.profile import Profile
    from stream.config import Config
    from stream.judging import Totals
    from stream.topic_ranges import Bound

    Effect = Alert | Incident | Metric

__all__ = ["EPILOG", "backtest"]

EPILOG = """Examples:
driftline backtest events.jsonl --profile profile.json --alerts alerts.jsonl;
driftline backtest kafka:driftline.events -c driftline.toml --from 2026-11-01T00:00:00Z
"""

_TOPIC = "kafka:"


_Inputs = Annotated[
    list[str], typer.Argument(help="JSONL or CSV files, plain or .gz; or one kafka:TOPIC.")
]
_Profiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--profile",
        "-p",
        help="A model's profile, once for each model; for a topic, instead of those in force.",
    ),
]
_Start = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="Begin at this time: of events in a file, of the broker in a topic. There also "
        "offsets: PARTITION:OFFSET,PARTITION:OFFSET.",
    ),
]
_End = Annotated[str | None, typer.Option("--to", help="End before this time, or offsets.")]
_Sort = Annotated[bool, typer.Option(help="Sort the rows of files by time, in memory.")]


def backtest(
    inputs: _Inputs,
    profile: _Profiles = None,
    alerts: Annotated[Path | None, typer.Option(help="Write the alerts here, one a line.")] = None,
    incidents: Annotated[
        Path | None, typer.Option(help="Write the incidents here, one a line.")
    ] = None,
    metrics: Annotated[
        Path | None, typer.Option(help="Write the metrics here, one a line (.jsonl).")
    ] = None,
    start: _Start = None,
    end: _End = None,
    sort: _Sort = False,
    config: ConfigPath = None,
) -> None:
    """Find the incidents and alerts that a worker would have raised over these events.

    The same events, profile and configuration give the same alerts, byte for byte, as a
    worker on Kafka. Exits with 0 whether or not there are alerts.
    """
    from detectors.alert import Alert, Incident, Metric
    from detectors.errors import ConfigError
    from stream.config_file import load_config
    from stream.fitting import load_file

    if metrics is not None and metrics.suffix == ".parquet":
        raise ConfigError("--metrics writes JSON lines so far; name a .jsonl file.")
    run = _Run(load_config(config), [load_file(p) for p in profile or []], bool(metrics))
    with ExitStack() as stack:
        targets = {Alert: alerts, Incident: incidents, Metric: metrics}
        files = {kind: stack.enter_context(p.open("wb")) for kind, p in targets.items() if p}
        report = _Report(out(), files)
        if any(one.startswith(_TOPIC) for one in inputs):
            if len(inputs) > 1 or sort:
                raise ConfigError("A topic is replayed alone, and in its own order.")
            totals = asyncio.run(_topic(run, inputs[0], (_bound(start), _bound(end)), report))
        else:
            totals = _files(run, inputs, (time_ms(start), time_ms(end), sort), report)
        report.end(totals)


class _Run(NamedTuple):
    config: "Config"
    profiles: "list[Profile]"
    metrics: bool


def _files(
    run: _Run, inputs: list[str], chosen: tuple[int | None, int | None, bool], report: "_Report"
) -> "Totals":
    """Run over files, with a bar of the bytes read."""
    from detectors.alert import instant
    from detectors.errors import ConfigError
    from stream.backtest import Backtest
    from stream.selecting import Selection
    from stream.sources import size_of

    over, paths = Backtest(run.config, run.profiles, metrics=run.metrics), [*map(Path, inputs)]
    with byte_progress(report.console) as bar:
        task = bar.add_task("Reading", total=sum(map(size_of, paths)))
        for effect in over.run(paths, lambda n: bar.advance(task, n), Selection(*chosen)):
            report.take(effect)
    for profile, start_ms in over.learnt:
        events, span = f"{profile.reference.events:,}", f"in force from {instant(start_ms)}"
        report.console.print(f"Learnt a profile of {profile.model} from {events} events, {span}.")
    if not run.profiles and not over.learnt:
        raise ConfigError(
            "No profile was named, and none could be learnt: that takes detect.learn_days of "
            "events and enough for detect.learn_blocks. Name one with --profile; `driftline "
            "profile fit` makes one from good days."
        )
    return over.totals


async def _topic(
    run: _Run, source: str, bounds: "tuple[Bound, Bound]", report: "_Report"
) -> "Totals":
    """Run over a topic, with a bar of the records read."""
    from stream.replay import Replay

    topic = source.removeprefix(_TOPIC)
    replay = Replay(run.config, topic, run.profiles, metrics=run.metrics)
    with record_progress(report.console) as bar:
        task = bar.add_task("Reading", total=None)

        def advance(records: int) -> None:
            bar.update(task, total=sum(one.end - one.first for one in replay.ranges))
            bar.advance(task, records)

        async for effect in replay.run(*bounds, on_records=advance):
            report.take(effect)
    if replay.misses_idle_time:
        report.console.print(
            "[yellow]Workers of this prefix write no ticks (time.ticks = false): in idle moments "
            f"they may have judged otherwise. {_TOPIC}{topic.rpartition('.')[0]}.summaries gives "
            "their answer.[/yellow]"
        )
    return replay.totals


def _bound(text: str | None) -> "Bound":
    """Read a time or a list of offsets."""
    from detectors.errors import ConfigError
    from stream.topic_ranges import parse_bound

    try:
        return time_ms(text)
    except ConfigError:
        return parse_bound(text or "")


class _Report:
    """Write effects to files, and tell of incidents and their alerts."""

    def __init__(self, console: Console, files: Mapping[type, BinaryIO]) -> None:
        self.console = console
        self._files = files
        self._told: dict[str, tuple[str, str]] = {}
        self._fired = 0

    def take(self, effect: "Effect") -> None:
        from detectors.alert import Alert, Incident, encode

        if type(effect) in self._files:
            self._files[type(effect)].write(encode(effect) + b"\n")
        if isinstance(effect, Alert):
            self._fired += effect.status == "firing" and effect.revision == 0
            line = f"{effect.time}    {effect.severity:8}  {escape(effect.summary)}"
            self.console.print(f"[dim]{line}[/dim]")
        elif isinstance(effect, Incident):
            # Revisions that only add streams to a known sentence are for the file.
            if self._told.get(effect.id) != (effect.status, effect.summary):
                label = f"{effect.status} {effect.id[:8]}"
                line = f"{effect.time}  [bold]{label}[/bold]  {escape(effect.summary)}"
                self.console.print(line)
            self._told[effect.id] = (effect.status, effect.summary)

    def end(self, totals: "Totals") -> None:
        say = self.console.print
        say(
            f"{totals.read:,} rows: {totals.judged:,} judged, {totals.late:,} late, "
            f"{totals.unprofiled.total():,} of models without a profile, "
            f"{totals.rejected.total():,} rejected. {len(self._told)} incidents with "
            f"{self._fired} alerts."
        )
        for code, n in totals.rejected.most_common():
            say(f"  rejected as {code}: {n:,}")
        for model, n in totals.unprofiled.most_common(10):
            say(f"  no profile for {model}: {n:,}")
