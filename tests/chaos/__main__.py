"""Run the campaign from the command line; exit 1 with what was found."""

import argparse
import signal
import sys
import time
from pathlib import Path

from tests.chaos.campaign import campaign
from tests.chaos.report import findings, rows, table
from tests.chaos.scenarios import FULL, SHORT


def _tell(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()


def main() -> None:
    """Read the arguments, run, print the table."""
    names = [one.name for one in FULL]
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--full", action="store_true", help="all scenarios (about 20 minutes)")
    parser.add_argument("--only", choices=names, action="append", help="this scenario")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--report", type=Path, help="write the table there, as markdown")
    given = parser.parse_args()
    full = given.full or given.only
    chosen = [one for one in FULL if not given.only or one.name in given.only] if full else SHORT
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # and leave nothing behind
    began = time.monotonic()
    done = campaign(chosen, given.seed, _tell)
    sys.stdout.write(f"seed {given.seed}, {(time.monotonic() - began) / 60:.1f} minutes\n\n")
    sys.stdout.write(table(done))
    if given.report:
        given.report.write_text(rows(done))
    if found := findings(done, timed=True):
        sys.exit("\n".join(["", *found]))


if __name__ == "__main__":
    main()
