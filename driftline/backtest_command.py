"""`driftline backtest`: the worker's observe and judge, over files."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer
from rich.console import Console
from rich.markup import escape

from driftline.options import ConfigPath, byte_progress, out

if TYPE_CHECKING:
    from detectors.alert import Alert, Incident, Metric
    from stream.backtest import Totals

    Effect = Alert | Incident | Metric

__all__ = ["EPILOG", "backtest"]

EPILOG = "Example: driftline backtest events.jsonl --profile profile.json --alerts alerts.jsonl"


def backtest(
    inputs: Annotated[list[Path], typer.Argument(help="JSONL or CSV files, plain or .gz.")],
    profile: Annotated[
        list[Path], typer.Option("--profile", "-p", help="A model's profile; once for each model.")
    ],
    alerts: Annotated[Path | None, typer.Option(help="Write the alerts here, one a line.")] = None,
    incidents: Annotated[
        Path | None, typer.Option(help="Write the incidents here, one a line.")
    ] = None,
    metrics: Annotated[
        Path | None, typer.Option(help="Write the metrics here, one a line (.jsonl).")
    ] = None,
    config: ConfigPath = None,
) -> None:
    """Find the incidents and alerts that a worker would have raised over these events.

    The same events, profile and configuration give the same alerts, byte for byte, as a
    worker on Kafka. Exits with 0 whether or not there are alerts.
    """
    from detectors.alert import Alert, Incident, Metric
    from detectors.errors import ConfigError
    from stream.backtest import Backtest
    from stream.config import load_config
    from stream.fitting import load_file
    from stream.sources import size_of

    if metrics is not None and metrics.suffix == ".parquet":
        raise ConfigError("--metrics writes JSON lines so far; name a .jsonl file.")
    run = Backtest(load_config(config), [load_file(p) for p in profile], metrics=bool(metrics))
    console = out()
    with ExitStack() as stack:
        targets = {Alert: alerts, Incident: incidents, Metric: metrics}
        files = {kind: stack.enter_context(p.open("wb")) for kind, p in targets.items() if p}
        bar = stack.enter_context(byte_progress(console))
        task = bar.add_task("Reading", total=sum(map(size_of, inputs)))
        report = _Report(console, files)
        for effect in run.run(inputs, lambda n: bar.advance(task, n)):
            report.take(effect)
    report.end(run.totals)


class _Report:
    """Write effects to files, and tell of incidents and their alerts."""

    def __init__(self, console: Console, files: Mapping[type, BinaryIO]) -> None:
        self._console = console
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
            self._console.print(f"[dim]{line}[/dim]")
        elif isinstance(effect, Incident):
            # Revisions that only add streams to a known sentence are for the file.
            if self._told.get(effect.id) != (effect.status, effect.summary):
                label = f"{effect.status} {effect.id[:8]}"
                line = f"{effect.time}  [bold]{label}[/bold]  {escape(effect.summary)}"
                self._console.print(line)
            self._told[effect.id] = (effect.status, effect.summary)

    def end(self, totals: "Totals") -> None:
        say = self._console.print
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
