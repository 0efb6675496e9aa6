"""A campaign: so many cases, shared out over the decoders, and a table of what they came to.

A case is made from (seed, decoder, number) alone, so any one of them can be run again.
"""

import random
import resource
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.fuzz.decoders import ACCEPTED, Decoder

__all__ = ["Finding", "Tally", "case", "fuzz", "peak_bytes", "shares", "table"]

DECODE_BYTES_MAX = 16 << 20
CASE_SECONDS_MAX = 10.0
MEASURED_EVERY = 997
# What is larger is measured each time.
SMALL_BYTES_MAX = 16 << 10
# An event is what strangers send; the rest is written by driftline.
WEIGHTS = {"event": 4.0}


class Finding(AssertionError):
    """Say which case broke the contract, so that it can be run again."""

    def __init__(self, decoder: str, seed: int, number: int, content: bytes, what: str) -> None:
        super().__init__(
            f"{decoder}, seed {seed}, case {number}: {what}\n{content.hex()}\n"
            f"Again: python -m tests.fuzz --seed {seed} --only {decoder} --case {number}"
        )


@dataclass
class Tally:
    """Count what the cases of one decoder came to."""

    decoder: str
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    slowest_seconds: float = 0.0
    peak_bytes: int = 0


def case(decoder: Decoder, seed: int, number: int) -> bytes:
    """Make one case."""
    return decoder.make(random.Random(f"{decoder.name}/{seed}/{number}"))


def fuzz(decoder: Decoder, seed: int, numbers: Sequence[int]) -> Tally:
    """Run cases of one decoder; the memory of every thousandth, and of each large one, is measured.

    Raises
    ------
    Finding
        At the first case that raises something else, takes too long, or too much memory.
    """
    tally = Tally(decoder.name)
    for number in numbers:
        content = case(decoder, seed, number)
        try:
            taken = _timed(tally, decoder, content)
            if taken > CASE_SECONDS_MAX:  # perhaps it compiled something, or the machine was busy
                taken = _timed(Tally(decoder.name), decoder, content)
        except BaseException as error:
            raise Finding(decoder.name, seed, number, content, repr(error)) from error
        if taken > CASE_SECONDS_MAX:
            raise Finding(decoder.name, seed, number, content, f"took {taken:.1f} s")
        if number % MEASURED_EVERY == 0 or len(content) > SMALL_BYTES_MAX:
            peak = peak_bytes(decoder, content)
            if peak > DECODE_BYTES_MAX:
                raise Finding(decoder.name, seed, number, content, f"took {peak} bytes")
            tally.peak_bytes = max(tally.peak_bytes, peak)
        tally.seconds += taken
        tally.slowest_seconds = max(tally.slowest_seconds, taken)
        if sys.stderr.isatty() and number % 10_000 == 0:
            sys.stderr.write(f"\r{decoder.name} {number:,} of {len(numbers):,} ")
    return tally


def _timed(tally: Tally, decoder: Decoder, content: bytes) -> float:
    """Run and count one case; give the seconds that it took."""
    began = time.perf_counter()
    tally.outcomes[decoder.outcome(content)] += 1
    return time.perf_counter() - began


def peak_bytes(decoder: Decoder, content: bytes) -> int:
    """Measure what a case that has run before allocates at most at one time."""
    tracemalloc.start()
    try:
        decoder.outcome(content)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def shares(decoders: Sequence[Decoder], cases: int) -> dict[str, int]:
    """Share cases out over the decoders."""
    weights = {one.name: WEIGHTS.get(one.name, 1.0) for one in decoders}
    return {name: round(cases * w / sum(weights.values())) for name, w in weights.items()}


def table(tallies: Sequence[Tally]) -> str:
    """Write what a campaign came to, a line for each decoder."""
    form = "{:<10}{:>9}{:>10}{:>10}{:>9}{:>11}{:>10}  {}"
    heads = ("decoder", "cases", "accepted", "refused", "seconds", "slowest ms", "peak KiB", "as")
    lines = [form.format(*heads)]
    for t in tallies:
        total, taken = t.outcomes.total(), t.outcomes[ACCEPTED]
        refusals = [f"{name} {n}" for name, n in t.outcomes.most_common() if name != ACCEPTED]
        figures = (f"{t.seconds:.1f}", f"{t.slowest_seconds * 1000:.1f}", t.peak_bytes >> 10)
        counts = (total, taken, total - taken)
        lines.append(form.format(t.decoder, *counts, *figures, ", ".join(refusals)))
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    total = sum(t.outcomes.total() for t in tallies)
    lines.append(f"{total} cases, no other exception; the process took {rss} MiB at most")
    return "\n".join(lines) + "\n"
