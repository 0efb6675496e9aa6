"""`driftline worker`: its roles, under a supervisor or one of them in the foreground."""

import sys
from pathlib import Path
from typing import Annotated

import structlog
import typer

from driftline.options import ConfigPath

__all__ = ["EPILOG", "worker"]

EPILOG = "Example: driftline worker -c driftline.toml    (one role: --only observe)"

_LATER = {"join": "joins labels to predictions", "notifier": "tells the outside of alerts"}


def worker(
    config: ConfigPath = None,
    only: Annotated[
        str | None, typer.Option(help="Run one role in the foreground: observe, judge or learn.")
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="The port of /metrics; default 9464 or the next free."),
    ] = None,
    learn: Annotated[
        bool, typer.Option(help="Learn a profile for every model that turns up without one.")
    ] = True,
) -> int:
    """Read events from Kafka, and publish alerts and metrics, until stopped.

    Start as many workers as you like with the same configuration: they share the partitions.
    A model without a profile gets one, from its first detect.learn_days of events.
    Ctrl-C ends cleanly; a crash at any moment loses nothing and doubles nothing.
    """
    from detectors.errors import DriftlineError
    from stream.logs import configure_logs

    configure_logs(role=only or "worker")
    try:
        return _run(only, config, metrics_port, learn=learn)
    except DriftlineError as error:
        if sys.stderr.isatty():
            raise
        structlog.get_logger().error(str(error), exit_code=error.exit_code)
        return error.exit_code


def _run(only: str | None, config: Path | None, metrics_port: int | None, *, learn: bool) -> int:
    """Run one role, or all of them."""
    from detectors.errors import ConfigError
    from stream.config_file import load_config
    from stream.worker import ON_DEMAND, ROLES, run_supervised, run_worker_role

    settings = load_config(config)
    if only is None:
        return run_supervised(settings, config, metrics_port, learn=learn)
    if only in _LATER:
        raise ConfigError(f"The role {only} ({_LATER[only]}) is not part of this version yet.")
    known = (*ROLES, *ON_DEMAND)
    if only not in known:
        raise ConfigError(f"--only {only}: there is no such role; allowed are {', '.join(known)}.")
    return run_worker_role(only, settings, metrics_port)
