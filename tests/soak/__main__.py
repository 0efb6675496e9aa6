"""Run the soak: 50M events through the core, 5M odd ones, 10M through Kafka; exit 1 if any grew."""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence

from tests.soak.core import Run, bounds, soak
from tests.soak.through_kafka import through_kafka
from tests.soak.watch import MIB, Sample, problems, table

# Beside what is promised over the warm-up: how much a line through all samples may rise.
RSS_MAX, SLOPE_MAX = 64 * MIB, 16 * MIB


def tell(text: str) -> None:
    """Say how far the run is."""
    sys.stderr.write(f"\r{text:<80}" if sys.stderr.isatty() else f"{text}\n")


def shown(name: str, samples: Sequence[Sample], seconds: float) -> list[str]:
    """Print a run, and say what grew in it."""
    sys.stdout.write(f"\n{table(name, samples, seconds)}")
    return [f"{name}: {text}" for text in problems(samples, RSS_MAX, SLOPE_MAX)]


def counted(name: str, found: Counter[str], expected: Counter[str]) -> list[str]:
    """Print what was counted, and say what should have been."""
    sys.stdout.write(f"counted: {', '.join(f'{k} {found[k]:,}' for k in sorted(found))}\n")
    wrong = [k for k in expected if found[k] != expected[k]]
    return [f"{name}: {found[k]:,} {k}, not {expected[k]:,}" for k in wrong]


def run_core(events: int) -> list[str]:
    """Run the core, and check its counts."""
    run, found = soak(events, tell)
    wrong = [] if found["alerts"] else ["core: there was no alert, so alerts were not tried"]
    return shown("core", *run) + counted("core", found, core_counts(run, found)) + wrong


def core_counts(run: Run, found: Counter[str]) -> Counter[str]:
    """Work out what the core should have counted."""
    read = run.samples[-1].events
    late = read // 40_000 * 80 + 80 * (read % 40_000 > 20_000)
    # Three of a thousand are rejects; four ticks end the run.
    expected = Counter(read=read + 4, rejected=read * 3 // 1_000, late=late)
    expected["accepted"] = read - expected["rejected"]
    expected["judged"] = expected["accepted"] - late - found["waiting"]
    return expected


def run_bounds(events: int) -> list[str]:
    """Run names and values without end, and check that what was folded was counted."""
    run, found, expected = bounds(events, tell)
    return shown("names and values", *run) + counted("names and values", found, expected)


def main() -> None:
    """Read the arguments, run the parts, print their tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--core", type=int, default=50_000_000, help="events; 0 leaves it out")
    parser.add_argument("--bounds", type=int, default=5_000_000)
    parser.add_argument("--kafka", type=int, default=10_000_000)
    parser.add_argument("--bootstrap", default="", help="of a Kafka; one is started without it")
    given = parser.parse_args()
    parts: list[tuple[int, Callable[[int], list[str]]]] = [
        (given.core, run_core),
        (given.bounds, run_bounds),
    ]
    wrong = [text for events, part in parts if events for text in part(events)]
    if given.kafka:
        run, found, expected = through_kafka(given.kafka, given.bootstrap, tell)
        wrong += shown("Kafka", *run) + counted("Kafka", found, expected)
    for text in wrong:
        sys.stdout.write(f"GREW OR WRONG: {text}\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
