"""The command line's entry: says what to install where only the emitter is."""

import sys


def main() -> None:
    """Run the `driftline` command."""
    try:
        from driftline.cli import run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in {"driftline", "stream"}:
            raise
        sys.stderr.write(
            f"driftline's commands need more than its emitter ({error.name} is missing): "
            "install driftline[worker].\n"
        )
        sys.exit(2)
    sys.exit(run())


if __name__ == "__main__":
    main()
