"""An event loop whose time is virtual: hours pass in milliseconds, and always the same way."""

import asyncio
import heapq
import selectors
from collections.abc import Callable
from typing import Any

__all__ = ["VirtualLoop"]


class _Nothing(selectors.SelectSelector):
    """Never look at a socket: there is none."""

    def select(self, _timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Jump to the next timer whenever nothing is ready; run what asks for a thread at once."""

    def __init__(self) -> None:
        super().__init__(_Nothing())
        self._now = 0.0

    def time(self) -> float:
        """Give virtual seconds since the start."""
        return self._now

    def _run_once(self) -> None:
        """Do what asyncio does, without its look at sockets: half of a run's time goes by here."""
        ready, timers = self._ready, self._scheduled
        if not ready:
            if not timers:
                raise RuntimeError("Nothing is ready and no timer is set: everybody waits.")
            self._now = max(self._now, timers[0].when())
        while timers and timers[0].when() <= self._now:
            timer = heapq.heappop(timers)
            timer._scheduled = False
            ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

    def run_in_executor(
        self, _executor: object, function: Callable[..., Any], *arguments: Any
    ) -> asyncio.Future[Any]:
        """Call the function now: a thread would not be deterministic."""
        future = self.create_future()
        future.set_result(function(*arguments))
        return future
