"""What an experiment says: tables for people, targets that are met or missed, figures to draw."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

__all__ = ["Experiment", "Result", "Size", "Table", "Target"]


class Size(msgspec.Struct, frozen=True):
    """Say how much is measured: the long form, or the short one that a test can wait for."""

    short: bool = False
    data: Path | None = None

    def of(self, long: int, short: int) -> int:
        """Choose a number by the form."""
        return short if self.short else long


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what was reached and what had to be: at least, at most, or both."""

    name: str
    reached: float
    least: float | None = None
    most: float | None = None

    @property
    def met(self) -> bool:
        """Say whether the target is reached; a figure that is no number misses it.

        >>> Target(name="delay", reached=150.0, most=200.0).met
        True
        """
        above = self.least is None or self.reached >= self.least
        return above and (self.most is None or self.reached <= self.most)

    @property
    def wanted(self) -> str:
        """Write the bounds."""
        if self.least is not None and self.most is not None:
            return f"{self.least:,g} to {self.most:,g}"
        return f"≥ {self.least:,g}" if self.least is not None else f"≤ {self.most:,g}"


class Table(msgspec.Struct, frozen=True):
    """Hold one table: its title, the columns' names, and rows of texts."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what one experiment found; `skipped` says why it found nothing."""

    experiment: str
    says: str
    tables: tuple[Table, ...] = ()
    targets: tuple[Target, ...] = ()
    figures: dict[str, Any] = {}
    skipped: str = ""
    seconds: float = 0.0

    @property
    def missed(self) -> int:
        """Count the targets that are missed."""
        return sum(not target.met for target in self.targets)


class Experiment(NamedTuple):
    """Name an experiment, its parts, how one part is measured, and what follows from all.

    `measure(part, seed, size)` is called in any process, and gives plain values; `needs_data`
    says that it reads the data directory.
    """

    name: str
    asks: str
    parts: Callable[[Size], Sequence[Any]]
    measure: Callable[[Any, int, Size], Any]
    conclude: Callable[[Sequence[Any], Size], Result]
    needs_data: bool = False
