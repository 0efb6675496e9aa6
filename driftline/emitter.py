"""The emitter: what an inference service needs to send its events.  Imports nothing else of ours.

It never blocks the service and never raises for an event: what cannot be sent is counted.
"""

import json
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from kafka import KafkaProducer

__all__ = ["Emitter"]


class Emitter:
    """Send prediction events of one service to driftline's events topic.

        emitter = Emitter("127.0.0.1:9092", model="fraud", version="3")
        emitter.emit({"amount": 12.5, "country": "DE"}, prediction=0.93,
                     segments={"country": "DE"}, latency_seconds=0.012)

    `sent`, `failed` and `refused` count events; refused ones are not JSON (NaN, an object).
    Further keyword arguments go to kafka-python's KafkaProducer (TLS, SASL, compression).
    """

    def __init__(
        self,
        bootstrap: str,
        model: str,
        version: str | None = None,
        prefix: str = "driftline",
        **producer: Any,
    ) -> None:
        """Connect to Kafka at `bootstrap`; raise kafka-python's error if it is not there."""
        self.sent = 0
        self.failed = 0
        self.refused = 0
        self._topic = f"{prefix}.events"
        self._fixed = {"model": model} | ({"version": version} if version is not None else {})
        self._producer = KafkaProducer(
            **({"bootstrap_servers": bootstrap, "linger_ms": 20, "max_block_ms": 1_000} | producer)
        )

    def emit(
        self,
        features: Mapping[str, float | str | bool | None],
        prediction: float | str | Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        """Send one event; `fields` are further fields of the event (id, segments, label, …).

        `time` defaults to now.
        """
        event = {"time": time.time(), **self._fixed, "features": dict(features), **fields}
        if prediction is not None:
            event["prediction"] = prediction
        try:
            value = json.dumps(event, allow_nan=False, separators=(",", ":")).encode()
        except (TypeError, ValueError):
            self.refused += 1
            return
        try:
            future = self._producer.send(self._topic, value=value)
        except Exception:  # noqa: BLE001  # a full buffer must not harm the service
            self.failed += 1
            return
        future.add_callback(self._on_sent).add_errback(self._on_failed)

    def flush(self, timeout_seconds: float = 10.0) -> None:
        """Wait until everything emitted so far has been sent, or the time is over."""
        self._producer.flush(timeout_seconds)

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Flush and disconnect."""
        self._producer.close(timeout_seconds)

    def _on_sent(self, _metadata: Any) -> None:
        self.sent += 1

    def _on_failed(self, _error: Any) -> None:
        self.failed += 1

    def __enter__(self) -> Self:
        """Use the emitter in a `with` block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Flush and disconnect."""
        self.close()
