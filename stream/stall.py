"""A stall: one partition of the events has no new pane, and a judge waits for it.

No timeout ends that, since whatever came late would be lost.  So people have to be told.
"""

from collections.abc import Callable, Mapping

import structlog

from detectors.order import PaneOrder
from detectors.panes import UNSET
from stream.config import TimeConfig
from stream.role import Partition

__all__ = ["Stalls", "stall_seconds_max"]

_SECONDS = 60.0
_STEPS = 3

log = structlog.get_logger()


def stall_seconds_max(time: TimeConfig) -> float:
    """Give how long a judge waits for a partition before something is wrong.

    >>> stall_seconds_max(TimeConfig()), stall_seconds_max(TimeConfig(tick_seconds=60))
    (60.0, 180.0)
    """
    return max(_SECONDS, float(_STEPS * max(time.pane_seconds, time.tick_seconds)))


class _Stall:
    """Measure for how long panes have waited for the same partition at the same place."""

    def __init__(self) -> None:
        self.name = ""
        self.seconds = 0.0
        self._number = UNSET
        self._since = 0.0

    def look(self, order: PaneOrder, now_seconds: float) -> None:
        awaited = order.awaited()
        if awaited != (self.name, self._number) or not self.name:
            self.name, self._number = awaited
            self._since = now_seconds
        self.seconds = now_seconds - self._since


class Stalls:
    """Watch for whom the judges of a worker wait; say it once in the log."""

    def __init__(self, time: TimeConfig, show: Callable[[str, float], object]) -> None:
        """Start with nothing seen; `show` takes a partition of the summaries, and its wait."""
        self._seconds_max = stall_seconds_max(time)
        self._show = show
        self._stalls: dict[Partition, _Stall] = {}
        self._told: set[str] = set()

    def look(self, orders: Mapping[Partition, PaneOrder], now_seconds: float) -> None:
        """Look at what waits now, by a clock that never goes back."""
        self._stalls = {tp: self._stalls.get(tp, _Stall()) for tp in orders}
        for tp, stall in self._stalls.items():
            stall.look(orders[tp], now_seconds)
            self._show(str(tp.partition), stall.seconds)
        stalled = self._stalled()
        if stalled - self._told:
            log.warning("stalled", why=self.why_waiting(), seconds=self._seconds_max)
        self._told = stalled

    def why_waiting(self) -> str:
        """Say for which partitions panes have waited for too long."""
        names = ", ".join(sorted(self._stalled()))
        hint = "is a worker observing it? Nothing is lost meanwhile"
        return f"panes wait for {names}: {hint}" if names else ""

    def _stalled(self) -> set[str]:
        return {one.name for one in self._stalls.values() if one.seconds > self._seconds_max}
