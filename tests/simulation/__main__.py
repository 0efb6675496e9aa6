"""Run seeds from the command line; exit 1 with the seed at the first difference."""

import argparse
import contextlib
import multiprocessing
import os
import sys
import time

from tests.simulation.campaign import Seed, attempt, table


def main() -> None:
    """Read the arguments, run, print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    numbers = range(given.first, given.first + given.seeds)
    done: list[Seed] = []
    began = time.monotonic()
    with (
        multiprocessing.get_context("spawn").Pool(given.jobs, maxtasksperchild=200) as pool,
        contextlib.suppress(KeyboardInterrupt),
    ):
        for seed in pool.imap_unordered(attempt, numbers, chunksize=4):
            if seed.found:
                again = f"python -m tests.simulation --first {seed.number} --seeds 1"
                sys.exit(f"seed {seed.number} differs ({again}):\n" + "\n".join(seed.found[-30:]))
            done.append(seed)
            if len(done) % 100 == 0:
                sys.stderr.write(f"{len(done):,} seeds in {time.monotonic() - began:.0f} s\n")
    sys.stdout.write(table(done))
    sys.stdout.write(f"seconds                      {time.monotonic() - began:>12,.0f}\n")
    if len(done) < given.seeds:
        sys.exit(f"Interrupted: {given.seeds - len(done):,} seeds were not run.")


if __name__ == "__main__":
    main()
