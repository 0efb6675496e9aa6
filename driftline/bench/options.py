"""What every bench is told."""

from pathlib import Path
from typing import NamedTuple

__all__ = ["Options"]


class Options(NamedTuple):
    """Say how much to measure, and on what.

    `events` of 0 takes the bench's own number; `short` is the form of `driftline bench check`.
    `python` is one that has the compared libraries; None makes environments for them.
    """

    bootstrap: str = ""
    events: int = 0
    naive_events: int = 30_000
    naive_seconds: float = 30.0
    rounds: int = 3
    seed: int = 1
    config_path: Path | None = None
    python: Path | None = None
    short: bool = False

    def of(self, long: int, short: int) -> int:
        """Choose a number by the form."""
        return short if self.short else long
