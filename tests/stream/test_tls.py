"""TLS as the clients themselves do it: the context that each hands on, and real handshakes."""

import asyncio
import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError as AioKafkaError
from kafka.errors import KafkaError

from driftline import Emitter, emitter
from stream.app import make_app
from stream.config import KafkaConfig
from stream.connection import Connection
from stream.role import KafkaSettings
from stream.secret import Secret
from stream.security import Security, security_of

CA = trustme.CA()
PROTOCOLS = ("SSL", "SASL_SSL")


class Server:
    """Do TLS handshakes, and hang up: `served` are the versions of those that came about."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.served: list[str | None] = []
        self.refused = 0
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        while True:
            try:
                accepted, _ = self._socket.accept()
            except OSError:
                return
            accepted.settimeout(5)
            try:
                with accepted, self._context.wrap_socket(accepted, server_side=True) as tls:
                    self.served.append(tls.version())
            except OSError:
                self.refused += 1

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.thread.join(10)


@contextmanager
def server(name: str, version: ssl.TLSVersion, ca: trustme.CA = CA) -> Iterator[Server]:
    """Offer one version of TLS under one name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    ca.issue_cert(name).configure_cert(context)
    one = Server(context)
    one.thread.start()
    try:
        yield one
    finally:
        one.close()


@pytest.fixture
def ca_file(tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(path)
    return str(path)


def made(ca_file: str, protocol: str, bootstrap: str = "127.0.0.1:1") -> Security:
    login = {"sasl_username": "me", "sasl_password": Secret("password")}
    return security_of(
        KafkaConfig(
            bootstrap=bootstrap,
            security_protocol=protocol,
            tls_ca_file=ca_file,
            **login if protocol == "SASL_SSL" else {},
        )
    )


class NoRole:
    name = "nothing"
    topics = ("in",)
    group = "group"


class Owner:
    def __init__(self, settings: KafkaSettings) -> None:
        self.settings = settings


def of_faust(connection: Connection) -> AIOKafkaConsumer:
    """Let Faust make the consumer of a role, as it does at the start."""
    settings = KafkaSettings(connection=connection)
    app: Any = make_app(NoRole(), settings)  # type: ignore[arg-type]  # it is never run
    app.owner = Owner(settings)
    return app.consumer._thread._create_worker_consumer(app.transport)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_faust_hands_the_checked_context_to_aiokafka(ca_file: str, protocol: str) -> None:
    security = made(ca_file, protocol)

    async def look() -> AIOKafkaConsumer:
        return of_faust(Connection("127.0.0.1:1", security))

    client = asyncio.run(look())._client
    assert client._ssl_context is security.context
    assert client._security_protocol == protocol
    assert_checks(client._ssl_context)
    told = client._sasl_mechanism, client._sasl_plain_username, client._sasl_plain_password
    login = ("SCRAM-SHA-512", "me", "password")
    assert told == (login if protocol == "SASL_SSL" else ("PLAIN", None, None))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_emitter_hands_a_checked_context_to_its_producer(
    ca_file: str, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(emitter, "KafkaProducer", lambda **options: given.update(options))
    Emitter("kafka:9093", "fraud", security_protocol=protocol, tls_ca_file=ca_file)
    assert given["security_protocol"] == protocol
    assert_checks(given["ssl_context"])


def assert_checks(context: ssl.SSLContext) -> None:
    """See that certificates and names are checked, against our CA alone, from TLS 1.2 on."""
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    (known,) = context.get_ca_certs(binary_form=True)
    assert ssl.DER_cert_to_PEM_cert(known).encode() == CA.cert_pem.bytes()


def by_faust(address: str, ca_file: str) -> None:
    async def connect() -> None:
        consumer = of_faust(Connection(address, made(ca_file, "SSL", address)))
        try:
            with pytest.raises(AioKafkaError):
                await consumer._client.bootstrap()
        finally:
            await consumer._client.close()

    asyncio.run(connect())


def by_emitter(address: str, ca_file: str) -> None:
    # Time for more than one attempt.
    way = {"security_protocol": "SSL", "tls_ca_file": ca_file, "bootstrap_timeout_ms": 500}
    with pytest.raises(KafkaError):
        Emitter(address, "fraud", **way)


@pytest.mark.parametrize("connect", [by_faust, by_emitter])
def test_a_handshake_needs_our_ca_the_right_name_and_tls_1_2(
    ca_file: str, connect: Callable[[str, str], None]
) -> None:
    def tried(name: str, version: ssl.TLSVersion, ca: trustme.CA = CA) -> tuple[set[Any], bool]:
        with server(name, version, ca) as one:
            connect(f"127.0.0.1:{one.port}", ca_file)
        return set(one.served), one.refused > 0

    modern, old = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_1
    assert tried("127.0.0.1", modern) == ({"TLSv1.2"}, False)
    assert tried("127.0.0.1", modern, trustme.CA()) == (set(), True)
    assert tried("localhost", modern) == (set(), True)
    if not speaks_tls_1_1():
        pytest.skip("OpenSSL here does no TLS 1.1 that could be refused")
    assert tried("127.0.0.1", old) == (set(), True)


def speaks_tls_1_1() -> bool:
    """Tell whether the server does TLS 1.1 with a client that takes it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:@SECLEVEL=0")
    CA.configure_trust(context)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with server("127.0.0.1", ssl.TLSVersion.TLSv1_1) as one:
        try:
            with (
                socket.create_connection(("127.0.0.1", one.port)) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1"),
            ):
                pass
        except ssl.SSLError:
            return False
    return one.served == ["TLSv1.1"]
