"""What a judge's pages say while something is away: looked at a few times a second."""

import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from itertools import groupby
from typing import NamedTuple

from tests.looking import PAUSE_SECONDS, Looking

__all__ = ["Look", "Seen", "lag_of", "stuck_of"]


class Look(NamedTuple):
    """Hold what the judge's pages said at once; `why` it was not ready, the largest `lag`."""

    ready: bool
    why: str
    lag: float
    in_flight: float


class Seen(Looking):
    """Look at a judge's pages in a thread of its own."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.looks: list[Look] = []
        self._port = port

    def look_on(self) -> None:
        while not self.over.wait(PAUSE_SECONDS):
            # A judge that is starting again has no pages.
            with suppress(OSError):
                self.looks.append(self._look())

    def _look(self) -> Look:
        ready, why = self._page("readyz")
        series = self._page("metrics")[1]
        lags = _values(series, r"driftline_consumer_lag_records\{.*summaries.*\}")
        (in_flight,) = _values(series, r"driftline_deliveries_in_flight")
        return Look(ready, "" if ready else why, max(lags, default=0.0), in_flight)

    def _page(self, name: str) -> tuple[bool, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/{name}", timeout=5) as page:
                return True, page.read().decode()
        except urllib.error.HTTPError as refused:
            if refused.code != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            with refused:
                return False, refused.read().decode()

    def begin_anew(self) -> list[Look]:
        """Give what has been seen so far, and forget it."""
        seen, self.looks = self.looks, []
        return seen

    def until(self, look: Callable[[list[Look]], bool], what: str) -> None:
        """Wait until what has been seen is so."""
        deadline = time.monotonic() + 120
        while not look(self.looks):
            assert time.monotonic() < deadline, f"{what}: {self.looks[-3:]}"
            time.sleep(0.1)


def lag_of(looks: Sequence[Look]) -> float:
    """Give the largest lag that was seen."""
    return max((look.lag for look in looks), default=0.0)


def stuck_of(looks: Sequence[Look]) -> int:
    """Give how many looks in succession saw deliveries under way, at most.

    How many were under way says little: those of a full second of metrics are hundreds.
    """
    runs = groupby(looks, lambda look: look.in_flight > 0)
    return max((sum(1 for _ in run) for under_way, run in runs if under_way), default=0)


def _values(series: str, name: str) -> list[float]:
    return [float(value) for value in re.findall(rf"^{name} (\S+)$", series, re.MULTILINE)]
