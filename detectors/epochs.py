"""Epochs: the semantic configuration that is in force from an event time on.

A pushed configuration begins a new epoch, never an outage: what is judged with it begins at a
border of buckets, and streams whose identity is unchanged keep their state.
"""

from bisect import bisect_right
from typing import NamedTuple

from detectors.policy import Policy

__all__ = ["Epochs", "Semantics"]


class Semantics(NamedTuple):
    """Hold the semantic configuration that a judge needs, and its hash."""

    policy: Policy
    lateness_ms: int
    config: str
    detectors: tuple[str, ...] = ("sr",)


class Epochs:
    """Hold every semantic configuration by the event time from which it is in force.

    >>> epochs = Epochs(Semantics(Policy(), 5_000, "a"))
    >>> epochs.add(Semantics(Policy(), 7_000, "b"), 60_000)
    >>> epochs.at(59_999)[1].config, epochs.at(60_000)[1].config, epochs.end_of(0)
    ('a', 'b', 60000)
    """

    def __init__(self, first: Semantics | None = None) -> None:
        """Start with one that is in force from the beginning, or with none."""
        self._starts: list[int] = []
        self._semantics: list[Semantics] = []
        if first is not None:
            self.add(first, 0)

    def __bool__(self) -> bool:
        """Say whether there is any."""
        return bool(self._starts)

    def add(self, semantics: Semantics, start_ms: int) -> None:
        """Put one in force from an event time; a later one of the same time replaces it."""
        at = bisect_right(self._starts, start_ms)
        if at and self._starts[at - 1] == start_ms:
            self._semantics[at - 1] = semantics
            return
        self._starts.insert(at, start_ms)
        self._semantics.insert(at, semantics)

    @property
    def starts(self) -> list[int]:
        """List the event times at which one begins, in order."""
        return list(self._starts)

    def at(self, time_ms: int) -> tuple[int, Semantics]:
        """Give the one that is in force at an event time, with its start."""
        at = max(0, bisect_right(self._starts, time_ms) - 1)
        return self._starts[at], self._semantics[at]

    def end_of(self, start_ms: int) -> int | None:
        """Give the event time at which the one that begins at `start_ms` ends; None if never."""
        at = bisect_right(self._starts, start_ms)
        return self._starts[at] if at < len(self._starts) else None
