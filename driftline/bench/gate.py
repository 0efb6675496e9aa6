"""The gate: ratios now against the stored ones; a drop of 15 % fails.

Stored are the medians of a run of the same short form; compared is the best round of now.  So
noise, which only ever slows a contender down in one round, does not fail the gate by itself, and
what makes every round slower does.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from detectors.errors import ConfigError
from driftline.bench.results import Result

__all__ = ["DROP_MAX", "Baseline", "Checked", "baseline_of", "check", "read_baseline"]

DROP_MAX = 0.15


class Baseline(msgspec.Struct, frozen=True):
    """Hold the stored ratios by bench and name, and what they were measured on."""

    machine: tuple[str, ...]
    ratios: dict[str, dict[str, float]]


class Checked(NamedTuple):
    """Hold one comparison; `now` is None if the ratio was not measured."""

    bench: str
    name: str
    stored: float
    now: float | None

    @property
    def holds(self) -> bool:
        """Tell whether the ratio is there and has not dropped by more than 15 %.

        >>> Checked("decode", "a/b", stored=10.0, now=8.6).holds
        True
        >>> Checked("decode", "a/b", stored=10.0, now=8.4).holds
        False
        """
        return self.now is not None and self.now >= self.stored * (1 - DROP_MAX)


def baseline_of(results: Sequence[Result]) -> Baseline:
    """Take the median of every ratio."""
    ratios: dict[str, dict[str, float]] = {}
    for result in results:
        for ratio in result.ratios:
            if (spread := result.ratio(ratio.name)) is not None:
                ratios.setdefault(result.bench, {})[ratio.name] = round(spread.median, 3)
    machine = results[0].machine if results else ()
    return Baseline(machine, ratios)


def check(baseline: Baseline, results: Sequence[Result]) -> list[Checked]:
    """Compare every stored ratio with the best round of now; one that is absent fails."""
    by_bench = {result.bench: result for result in results}
    found = []
    for bench, ratios in baseline.ratios.items():
        for name, stored in ratios.items():
            spread = by_bench[bench].ratio(name) if bench in by_bench else None
            found.append(Checked(bench, name, stored, spread.best if spread else None))
    return found


def read_baseline(path: Path) -> Baseline:
    """Read the stored ratios; ConfigError if they are not there or not readable."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Baseline)
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path} does not exist: store the ratios with `driftline bench check --update`."
        ) from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path} is no baseline: {error}.") from error
