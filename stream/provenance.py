"""Where an alert came from: outside of what must be the same byte for byte."""

import secrets
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from detectors.alert import Alert
from detectors.order import Source

__all__ = ["Provenance"]


class Provenance:
    """Describe the run that published an alert."""

    def __init__(self) -> None:
        """Give this run a name of its own."""
        self.code = version("driftline")
        self.run = secrets.token_hex(8)

    def of(self, alert: Alert, sources: Sequence[Source]) -> dict[str, Any]:
        """Say which offsets had been applied when the alert was made, by which run and code."""
        applied: dict[str, dict[str, list[int]]] = {}
        for source in sources:
            applied.setdefault(source.topic, {})[str(source.partition)] = [0, source.next - 1]
        return {
            "source": applied,
            "code": self.code,
            "run": self.run,
            "reproduce": f"driftline verify {alert.id}",
        }
