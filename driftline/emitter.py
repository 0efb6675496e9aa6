"""The emitter: what an inference service needs to send its events.  Imports nothing else of ours.

It never blocks the service and never raises for an event: what cannot be sent is counted.
"""

import ipaddress
import json
import ssl
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
    Further keyword arguments protect the way to Kafka, under the names of the configuration:

        Emitter("kafka-1:9093", model="fraud", security_protocol="SASL_SSL",
                sasl_username="fraud", sasl_password=password, tls_ca_file="ca.pem")

    or go to kafka-python's KafkaProducer (compression, ...).  Without protection events are sent
    to this machine only, unless `allow_plaintext=True`.
    """

    def __init__(
        self,
        bootstrap: str,
        model: str,
        version: str | None = None,
        prefix: str = "driftline",
        **producer: Any,
    ) -> None:
        """Connect to Kafka at `bootstrap`.

        Raises
        ------
        ValueError
            If the way there is not protected enough.
        kafka.errors.KafkaError
            If it is not there.
        """
        self.sent = 0
        self.failed = 0
        self.refused = 0
        self._topic = f"{prefix}.events"
        self._fixed = {"model": model} | ({"version": version} if version is not None else {})
        self._producer = KafkaProducer(
            **{"bootstrap_servers": bootstrap, "linger_ms": 20, "max_block_ms": 1_000}
            | _protected(bootstrap, producer)
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


def _protected(bootstrap: str, options: dict[str, Any]) -> dict[str, Any]:
    """Turn the configuration's names of what protects into kafka-python's."""
    protocol = options.setdefault("security_protocol", "PLAINTEXT")
    files = [options.pop(f"tls_{name}_file", None) for name in ("ca", "cert", "key")]
    key_password = options.pop("tls_key_password", None)
    allowed = options.pop("allow_plaintext", False)
    for name in ("username", "password"):
        if f"sasl_{name}" in options:
            options[f"sasl_plain_{name}"] = options.pop(f"sasl_{name}")
    if protocol == "SASL_PLAINTEXT":
        raise ValueError("SASL_PLAINTEXT would log in without TLS: use SASL_SSL.")
    if protocol == "PLAINTEXT":
        if any(files) or "sasl_plain_password" in options:
            raise ValueError("security_protocol is PLAINTEXT: what is to protect does nothing.")
        if not allowed and not all(map(_is_loopback, bootstrap.split(","))):
            raise ValueError(
                f"{bootstrap} is not this machine, and security_protocol is PLAINTEXT: use "
                "SSL or SASL_SSL, or allow_plaintext=True where the network is yours alone."
            )
        return options
    if protocol == "SASL_SSL":
        options.setdefault("sasl_mechanism", "SCRAM-SHA-512")
    ca, cert, key = files
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert:
        context.load_cert_chain(cert, key, key_password)
    return {"ssl_context": context} | options


def _is_loopback(address: str) -> bool:
    """Tell whether a host with its port is this machine."""
    host = address.strip().rsplit(":", 1)[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
