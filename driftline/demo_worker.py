"""The demo's worker: `driftline worker` as a process of its own, watched from outside."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from detectors.errors import ServiceUnreachable

__all__ = ["DemoWorker"]

_ROLES = 2
_STOP_SECONDS = 15.0
_ANSWER_SECONDS = 1.0
_LOG_LINES = 12
_KEPT = ("DRIFTLINE_HOME", "DRIFTLINE_JARS")


class DemoWorker:
    """Start a worker, ask how it is, and end it."""

    def __init__(self, config: Path) -> None:
        """Start `driftline worker -c config` in a process group of its own; log beside it.

        The demo's configuration alone holds: a DRIFTLINE_KAFKA_PREFIX of the user's would
        mix the demo's events with real ones.
        """
        self.log = config.with_name("worker.log")
        ours = {
            name: value
            for name, value in os.environ.items()
            if name in _KEPT or not name.startswith("DRIFTLINE_")
        }
        command = [sys.executable, "-m", "driftline", "worker", "-c", str(config)]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=ours, start_new_session=True
            )

    def check(self) -> None:
        """Raise ServiceUnreachable, with the end of the log, if the worker has ended."""
        if (code := self._process.poll()) is not None:
            how = (
                f"has ended with exit code {code}" if code >= 0 else f"was killed (signal {-code})"
            )
            raise ServiceUnreachable(self.trouble(how))

    def trouble(self, what: str) -> str:
        """Say what is wrong, where the log is, and how it ends."""
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
        return f"The worker {what}. The end of its log, {self.log}:\n{tail}"

    def pages(self) -> list[str]:
        """Give the address of each role's /metrics, as far as they listen; the newest of each."""
        found: dict[str, str] = {}
        for line in self.log.read_text(errors="replace").splitlines():
            with suppress(json.JSONDecodeError):
                fields = json.loads(line)
                if isinstance(fields, dict) and fields.get("event") == "listening":
                    found[str(fields.get("role"))] = str(fields["metrics"])
        return list(found.values())

    def is_ready(self) -> bool:
        """Ask both roles whether they have compiled, joined their groups, and read."""
        pages = [page.replace("/metrics", "/readyz") for page in self.pages()]
        return len(pages) == _ROLES and all(_answer(page) for page in pages)

    def judged(self) -> int:
        """Ask the judge how many events it has judged; 0 when it does not answer."""
        lines = [line for page in self.pages() for line in _answer(page).splitlines()]
        counts = [line.split()[-1] for line in lines if line.startswith("driftline_events_judged{")]
        return round(sum(map(float, counts)))

    def stop(self) -> None:
        """Ask the worker to end, and see to it that no process of it is left."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _answer(page: str) -> str:
    """Get a page of a role; "" when it gives none."""
    with suppress(OSError, HTTPException), urlopen(page, timeout=_ANSWER_SECONDS) as response:  # noqa: S310  its own page on loopback
        return str(response.read().decode())
    return ""
