"""`driftline backtest`: the worker's observe and judge, over files."""

from pathlib import Path
from typing import Annotated

import typer

from driftline.options import ConfigPath, byte_progress, out

__all__ = ["EPILOG", "backtest"]

EPILOG = "Example: driftline backtest events.jsonl --profile profile.json --alerts alerts.jsonl"


def backtest(
    inputs: Annotated[list[Path], typer.Argument(help="JSONL or CSV files, plain or .gz.")],
    profile: Annotated[
        list[Path], typer.Option("--profile", "-p", help="A model's profile; once for each model.")
    ],
    alerts: Annotated[Path | None, typer.Option(help="Write the alerts here, one a line.")] = None,
    metrics: Annotated[
        Path | None, typer.Option(help="Write the metrics here, one a line (.jsonl).")
    ] = None,
    config: ConfigPath = None,
) -> None:
    """Find the alerts that a worker would have raised over these events.

    The same events, profile and configuration give the same alerts, byte for byte, as a
    worker on Kafka. Exits with 0 whether or not there are alerts.
    """
    from contextlib import ExitStack

    from detectors.alert import Metric, encode
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
        alert_file = stack.enter_context(alerts.open("wb")) if alerts else None
        metric_file = stack.enter_context(metrics.open("wb")) if metrics else None
        bar = stack.enter_context(byte_progress(console))
        task = bar.add_task("Reading", total=sum(map(size_of, inputs)))
        fired = 0
        for effect in run.run(inputs, lambda n: bar.advance(task, n)):
            target = metric_file if isinstance(effect, Metric) else alert_file
            if target is not None:
                target.write(encode(effect) + b"\n")
            if not isinstance(effect, Metric):
                fired += effect.status == "firing" and effect.revision == 0
                console.print(f"{effect.time}  {effect.severity:8}  {effect.summary}")
    totals = run.totals
    console.print(
        f"{totals.read:,} rows: {totals.judged:,} judged, {totals.late:,} late, "
        f"{totals.unprofiled.total():,} of models without a profile, "
        f"{totals.rejected.total():,} rejected. {fired} alerts."
    )
    for code, n in totals.rejected.most_common():
        console.print(f"  rejected as {code}: {n:,}")
    for model, n in totals.unprofiled.most_common(10):
        console.print(f"  no profile for {model}: {n:,}")
