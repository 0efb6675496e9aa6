"""The connection to Kafka: every client is made here, with one address and one security.

A role, a command and a bench all take a `Connection`; what stands behind it may be a cluster,
the local Kafka of this machine, or the simulated one of the tests.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import KafkaError
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError as AdminError
from kafka.errors import KafkaTimeoutError

from detectors.errors import ServiceUnreachable
from stream import localkafka
from stream.access import denied
from stream.config import KafkaConfig
from stream.security import PLAINTEXT, Security, refusal, security_of

__all__ = ["RECORD_BYTES_MAX", "START_TIMEOUT_SECONDS", "Connection", "connection_of"]

# A profile of 20,000 streams is one record, of 11 MB and more.
RECORD_BYTES_MAX = 32 << 20
# A first record that is larger than this comes all the same.
_FETCH_BYTES = 8 << 20
START_TIMEOUT_SECONDS = 20.0
_PAUSE_SECONDS = 0.5
_HANDSHAKE_TIMEOUT_MS = 5_000


class Connection:
    """Make clients for the Kafka at one address."""

    def __init__(self, bootstrap: str, security: Security = PLAINTEXT) -> None:
        """Connect to `bootstrap`: hosts with ports, separated by commas."""
        self.bootstrap = bootstrap
        self.security = security
        self._options = {"bootstrap_servers": bootstrap.split(",")} | security.options()

    async def producer(self, **options: Any) -> Any:
        """Start a producer that doubles nothing and keeps the order; the caller stops it.

        Raises
        ------
        ServiceUnreachable
            If Kafka does not answer.
        """
        return await self._started(
            AIOKafkaProducer(
                **self._options,
                enable_idempotence=True,
                max_request_size=RECORD_BYTES_MAX,
                **options,
            )
        )

    async def consumer(self) -> Any:
        """Start a consumer that belongs to no group; the caller assigns, seeks and stops it.

        Raises
        ------
        ServiceUnreachable
            If Kafka does not answer.
        """
        return await self._started(
            AIOKafkaConsumer(
                **self._options,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                max_partition_fetch_bytes=_FETCH_BYTES,
            )
        )

    async def _started(self, client: Any) -> Any:
        try:
            await client.start()
        except KafkaError as error:
            await client.stop()
            await self._check_welcome()
            raise ServiceUnreachable(
                f"Kafka at {self.bootstrap} does not answer; start it, or set kafka.bootstrap."
            ) from error
        return client

    @contextlib.contextmanager
    def admin(self) -> Iterator[Any]:
        """Connect an admin client for the length of a `with` block.

        Raises
        ------
        ServiceUnreachable
            If Kafka does not answer within 20 seconds, or refuses a request of the block.
        """
        admin = self._admin()
        try:
            _find_living(admin)
            yield admin
        except AdminError as error:
            raise denied(error) or ServiceUnreachable(
                f"Kafka at {self.bootstrap} refused: {error!r}."
            ) from error
        finally:
            admin.close()

    def _admin(self) -> Any:
        """Connect an admin client."""
        # It would not say what is wrong, and ask until its time is over.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, self._check_welcome()).result()
        try:
            return KafkaAdminClient(
                **self._options,
                client_id="driftline",
                bootstrap_timeout_ms=int(START_TIMEOUT_SECONDS * 1000),
            )
        except (KafkaTimeoutError, OSError) as error:
            raise self.silent(START_TIMEOUT_SECONDS) from error

    async def reach(self, timeout_seconds: float) -> None:
        """Return once a broker answers; raise ServiceUnreachable after the time."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout_seconds
        while True:
            client = AIOKafkaClient(**self._options)
            try:
                await client.bootstrap()
            except (KafkaError, OSError) as error:
                await self._check_welcome()
                if clock() > deadline:
                    raise self.silent(timeout_seconds) from error
            else:
                return
            finally:
                await client.close()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _check_welcome(self) -> None:
        """Raise ServiceUnreachable if a broker turns us away for good; one that is away may come.

        aiokafka has the reason in its log alone.
        """
        options = self._options | {"request_timeout_ms": _HANDSHAKE_TIMEOUT_MS}
        del options["bootstrap_servers"]
        for host, port, _ in collect_hosts(self.bootstrap):
            try:
                (await create_conn(host, port, **options)).close()
            except (KafkaError, OSError) as error:
                if why := refusal(error, self.security):
                    message = f"Kafka at {host}:{port} is there, but {why}"
                    raise ServiceUnreachable(message) from error
            else:
                return

    def silent(self, asked_seconds: float) -> ServiceUnreachable:
        """Say that nobody answered, and what to do."""
        return ServiceUnreachable(
            f"Kafka does not answer at {self.bootstrap} (asked for {asked_seconds:g} s): start "
            "it, for one machine with 'driftline kafka start', or correct kafka.bootstrap."
        )


def _find_living(admin: Any) -> None:
    """Ask until a broker answers: one that has just died is still named by the others.

    The client picks brokers blindly, but stays with one that it is connected to.
    """
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while True:
        try:
            admin.describe_cluster()
        except AdminError as error:
            if not error.retriable or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def connection_of(kafka: KafkaConfig) -> Connection:
    """Connect to the configured Kafka, or to the local one that runs here.

    Raises
    ------
    ConfigError
        If its protection is not configured rightly.
    ServiceUnreachable
        If none is configured and none runs here.
    """
    security = security_of(kafka)
    if kafka.bootstrap:
        return Connection(kafka.bootstrap, security)
    broker = localkafka.status()
    if broker is None:
        raise ServiceUnreachable(
            "No Kafka is configured and none runs here: set kafka.bootstrap, or start one with "
            "`driftline kafka start`."
        )
    return Connection(broker.bootstrap)
