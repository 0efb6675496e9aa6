"""Run a campaign from the command line; exit 1 with the case that each decoder fails at."""

import argparse
import sys
import time

from tests.fuzz.campaign import Finding, case, fuzz, shares, table
from tests.fuzz.decoders import DECODERS
from tests.fuzz.scans import BATCH, NAME, fuzz_scans, rows


def main() -> None:
    """Read the arguments, run, print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", choices=[*(decoder.name for decoder in DECODERS), NAME])
    parser.add_argument("--records", type=int, default=5_000_000, help="mutated records to scan")
    parser.add_argument("--case", type=int, help="run one case of --only, and show it")
    given = parser.parse_args()
    chosen = [one for one in DECODERS if given.only in {None, one.name}]
    if given.only == NAME and given.case is not None:
        sys.stdout.write(f"{rows(given.seed, given.case)}\n")
        return
    if given.case is not None:
        content = case(chosen[0], given.seed, given.case)
        sys.stdout.write(f"{content!r}\n{chosen[0].outcome(content)}\n")
        return
    sys.stdout.write(f"seed {given.seed}\n")
    tallies, findings = [], []
    for decoder in chosen:
        count = shares(chosen, given.cases)[decoder.name]
        try:
            tallies.append(fuzz(decoder, given.seed, range(count)))
        except Finding as finding:
            findings.append(str(finding))
        else:
            sys.stderr.write(f"{decoder.name}: {count} cases done\n")
    if tallies:
        sys.stdout.write(table(tallies))
    if given.only in {None, NAME}:
        try:
            sys.stdout.write(fuzz_scans(given.seed, range(-(-given.records // BATCH))))
        except Finding as finding:
            findings.append(str(finding))
    if findings:
        sys.exit("\n".join(findings))


if __name__ == "__main__":
    main()
