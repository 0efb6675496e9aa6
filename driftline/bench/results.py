"""What a bench found: rates by round, ratios within a round, figures, and what was not run.

Rates of a shared machine swing by a factor of two within minutes; the ratio of two rates of one
round hardly does.  So a ratio is always taken inside a round, and only then the best or the
median over the rounds.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec

from detectors.errors import ConfigError

__all__ = [
    "Ratio",
    "Result",
    "Spread",
    "Told",
    "interleaved",
    "now",
    "read_results",
    "write_result",
]


class Ratio(msgspec.Struct, frozen=True):
    """Name a ratio: one contender's rate over the best of some others' in the same round."""

    name: str
    over: str
    under: tuple[str, ...]

    def of(self, rates: Mapping[str, float]) -> float | None:
        """Divide within one round; None if a side did not run in it.

        >>> Ratio("a/b", "a", ("b", "c")).of({"a": 6.0, "b": 2.0, "c": 3.0})
        2.0
        """
        others = [rates[name] for name in self.under if name in rates]
        if self.over not in rates or not others:
            return None
        return rates[self.over] / max(others)


class Spread(NamedTuple):
    """Hold the best and the median over the rounds."""

    best: float
    median: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Hold everything that one bench found; the same shape for all of them.

    `rounds` are rates in `unit` by contender, `figures` single numbers by name (units last),
    `not_run` the reason for each contender that is absent.
    """

    bench: str
    says: str
    unit: str
    rounds: tuple[dict[str, float], ...] = ()
    ratios: tuple[Ratio, ...] = ()
    figures: dict[str, float] = {}
    not_run: dict[str, str] = {}
    machine: tuple[str, ...] = ()
    command: str = ""
    taken: str = ""

    @property
    def contenders(self) -> list[str]:
        """List who ran, in the order of the rounds."""
        return list(dict.fromkeys(name for rates in self.rounds for name in rates))

    def rate(self, contender: str) -> Spread:
        """Give a contender's best and median rate."""
        rates = [one[contender] for one in self.rounds if contender in one]
        return Spread(max(rates), median(rates))

    def ratio(self, name: str) -> Spread | None:
        """Give a ratio's best and median over the rounds; None if no round has it."""
        known = [ratio for ratio in self.ratios if ratio.name == name]
        found = [x for ratio in known for one in self.rounds if (x := ratio.of(one)) is not None]
        return Spread(max(found), median(found)) if found else None


class Told(NamedTuple):
    """Say what a bench may tell: progress to a moving line, a finished round to the output."""

    progress: Callable[[str], None]
    line: Callable[[str], None]


def interleaved(
    contenders: Mapping[str, Callable[[], float]], rounds: int, told: Told
) -> Iterator[dict[str, float]]:
    """Let all take turns, so that what else the machine does meets each of them."""
    for number in range(1, rounds + 1):
        rates = {}
        for name, measure in contenders.items():
            told.progress(f"Round {number} of {rounds}: {name}")
            rates[name] = measure()
        told.line(f"round {number}: " + ", ".join(f"{k} {v:,.0f}" for k, v in rates.items()))
        yield rates


def write_result(path: Path, result: Result) -> None:
    """Write a result as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")


def read_results(folder: Path, benches: Sequence[str]) -> list[Result]:
    """Read what benches have written into a folder, in the order named; the absent are left out.

    Raises
    ------
    ConfigError
        If a file there is no result of a bench.
    """
    results = []
    for path in (folder / f"{bench}.json" for bench in benches):
        if path.exists():
            try:
                results.append(msgspec.json.decode(path.read_bytes(), type=Result))
            except msgspec.DecodeError as error:
                raise ConfigError(f"{path} is no result of a bench: {error}.") from error
    return results


def now() -> str:
    """Give the time at which a result was taken."""
    return datetime.now(UTC).isoformat(timespec="seconds")
