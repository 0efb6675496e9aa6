"""The command line: every command in a file of its own, errors as sentences with exit codes."""

import logging
import sys

import structlog
import typer
from rich.console import Console
from rich.markup import escape

from detectors.errors import DriftlineError
from driftline import (
    alerts_command,
    backtest_command,
    bench_command,
    config_command,
    demo_command,
    emit_command,
    kafka_command,
    profile_command,
    worker_command,
)

__all__ = ["app", "run"]

_INTERRUPTED = 130
# typer keeps its own copy of click to itself; this is the base of all mistakes in an argument.
_UsageError = typer.BadParameter.__base__ or typer.BadParameter

app = typer.Typer(
    name="driftline",
    help="A streaming drift monitor on event logs. Start with: driftline demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("demo", epilog=demo_command.EPILOG)(demo_command.demo)
app.add_typer(kafka_command.app, name="kafka")
app.add_typer(profile_command.app, name="profile")
app.add_typer(alerts_command.app, name="alerts")
app.add_typer(config_command.app, name="config")
app.add_typer(bench_command.app, name="bench")
app.command("worker", epilog=worker_command.EPILOG)(worker_command.worker)
app.command("emit", epilog=emit_command.EPILOG)(emit_command.emit)
app.command("backtest", epilog=backtest_command.EPILOG)(backtest_command.backtest)
app.command("replay", hidden=True)(backtest_command.backtest)


def run(arguments: list[str] | None = None) -> int:
    """Run one command; give its exit code."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        outcome = app(arguments, standalone_mode=False)
    except DriftlineError as error:
        console.print(f"[red]driftline:[/red] {escape(str(error))}")
        return error.exit_code
    except _UsageError as error:
        error.show()  # type: ignore[attr-defined]
        return 2
    except (KeyboardInterrupt, typer.Abort):
        console.print("Stopped.")
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001  a crash: shown without texts
        return _crashed(error)
    return outcome if isinstance(outcome, int) else 0


def _crashed(error: Exception) -> int:
    """Show where it was that nobody foresaw; what Kafka does not allow, as a sentence."""
    from stream.access import denied
    from stream.crash import outline
    from stream.secret import redact

    if refused := denied(error):
        sys.stderr.write(f"driftline: {refused}\n")
        return refused.exit_code
    sys.stderr.write(redact(outline(error)))
    return DriftlineError.exit_code
