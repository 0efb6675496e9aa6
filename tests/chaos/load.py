"""The load: events at a steady rate, with something broken in them, and some that are none."""

import asyncio
import threading
import time
from functools import cache

from detectors.channels import FitOptions
from detectors.fit import fit
from detectors.policy import Policy
from detectors.profile import Profile
from stream.connection import Connection
from stream.emitting import BatchProducer
from tests import live
from tests.logs import Shift, events

__all__ = ["Load", "profile", "traffic"]

# A bucket of 10 s has 250 events; alerts come some seconds after the break.
STEP_MS = 40
_CHUNK_SECONDS = 0.05


@cache
def profile() -> Profile:
    """Fit the reference."""
    options = FitOptions(learn_days=0.0, learn_blocks=30)
    return fit(events(30_000, seed=1, step_ms=STEP_MS), options, Policy())


@cache
def traffic(count: int) -> list[bytes]:
    """Write events; the amounts of one country move for a while after the first tenth."""
    shift = Shift(at=count // 10, sigma=2.0, country="DE", until=count // 5)
    return live.poisoned(
        [live.as_json(one) for one in events(count, seed=5, step_ms=STEP_MS, shifts=(shift,))]
    )


class Load:
    """Send events in a thread until told to stop, or until there are no more."""

    def __init__(self, connection: Connection, topic: str, values: list[bytes], rate: int) -> None:
        self.sent = 0
        self.error: BaseException | None = None
        self._log = (connection, topic)
        self._values = values
        self._rate = rate
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Tell whether events are still being sent."""
        return self._thread.is_alive() and not self._stopping.is_set()

    def stop(self, at_least: int) -> None:
        """Go on until so many have been sent, and stop."""
        while self.sent < at_least and self._thread.is_alive():
            time.sleep(0.1)
        self._stopping.set()
        self._thread.join(60)
        if self.error:
            raise self.error
        assert not self._thread.is_alive(), "the load does not end"

    def _run(self) -> None:
        try:
            asyncio.run(self._send())
        except BaseException as error:  # noqa: BLE001  the scenario raises it
            self.error = error

    async def _send(self) -> None:
        connection, topic = self._log
        size = max(1, int(self._rate * _CHUNK_SECONDS))
        async with BatchProducer(connection, topic, 4) as producer:
            began = time.monotonic()
            while self.sent < len(self._values) and not self._stopping.is_set():
                await producer.send(self._values[self.sent : self.sent + size])
                self.sent = producer.sent
                due = began + self.sent / self._rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
