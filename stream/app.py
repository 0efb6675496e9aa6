"""Run a role under Faust: crash-only, one thing at a time, offsets by lease.

Faust gives the group membership, the order of a rebalance and backpressure; it is started
without its command line, web server, producer, tables, signal handlers and directories.

    start      broker reachable? -> role.start -> join the group -> assigned -> process ...
    stop       SIGTERM, SIGINT: no new envelope -> role.stop -> commit -> leave -> exit 0
    crash      anything unexpected, anywhere: one log line, exit 70; a DriftlineError: its code
"""

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from typing import Any, NoReturn, cast

import faust
import structlog
from aiokafka.errors import KafkaError
from faust.app import base as faust_base
from mode import CrashingSupervisor

from detectors.errors import DriftlineError
from stream.access import denied
from stream.credentials import credentials
from stream.lease import Envelope, Lease, LeaseFlow, no_lease
from stream.logs import configure_logs
from stream.role import Commit, Flow, KafkaSettings, Partition, Role
from stream.transport import BatchConsumer, BatchSchema, BatchTransport

__all__ = [
    "Commit",
    "Flow",
    "KafkaSettings",
    "Partition",
    "Role",
    "RoleApp",
    "Shell",
    "make_app",
    "run_role",
]

EXIT_CRASH = 70
HEARTBEAT_SECONDS_MAX = 1.0
REQUEST_SECONDS_MIN = 30.0
# aiokafka leaves the group when nothing was fetched for this long, and then joins only once
# something is: under a stopped flow that is never.  Heartbeats and logs tell of a stuck role.
POLL_INTERVAL_SECONDS_MAX = 1e6
LEAVE_SECONDS_MAX = 3.0
# What a broken connection raises in tasks of aiokafka that nobody waits for.
_OF_THE_NETWORK = (KafkaError, OSError, asyncio.CancelledError)

log = structlog.get_logger(__name__)


def run_role(role: Role, settings: KafkaSettings) -> int:
    """Run a role until SIGTERM or SIGINT; return the exit code of the process.

    A failure while records are being processed does not return: it ends the process.
    """
    configure_logs(role=role.name)
    shell = Shell(role, settings)
    try:
        asyncio.run(shell.run())
    except BaseException as error:  # noqa: BLE001  crash-only: a thread of Faust may still run
        shell.fail(error)
    return 0


class RoleApp(faust.App):
    """A Faust app that ends the process where Faust would mark services as crashed."""

    owner: "Shell"

    class BootStrategy(faust_base.BootStrategy):
        """Start no producer of Faust's: a role has its own, and awaits its deliveries."""

        enable_kafka_producer = False
        enable_web = False

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self)

    def _crash(self, reason: BaseException) -> None:
        """End the process: every service's crash comes by here, from any thread."""
        self.owner.fail(reason)

    async def on_first_start(self) -> None:
        """Make no directories: there are no tables."""


def make_app(role: Role, settings: KafkaSettings) -> RoleApp:
    """Set Faust up for one role; everything is declared before it starts.

    A topic added later would wait 45 seconds for a new subscription.
    """
    session = settings.session_timeout_seconds
    rebalance = settings.rebalance_timeout_seconds
    return RoleApp(
        role.group,
        broker=[f"kafka://{host}" for host in settings.connection.bootstrap.split(",")],
        broker_credentials=credentials(settings.connection.security),
        autodiscover=False,
        agent_supervisor=CrashingSupervisor,
        broker_session_timeout=session,
        broker_heartbeat_interval=min(HEARTBEAT_SECONDS_MAX, session / 3),
        broker_rebalance_timeout=rebalance,
        broker_request_timeout=max(REQUEST_SECONDS_MIN, session, rebalance) + 1.0,
        broker_commit_interval=settings.commit_interval_seconds,
        broker_max_poll_interval=POLL_INTERVAL_SECONDS_MAX,
        broker_max_poll_records=settings.poll_records_max,
        consumer_max_fetch_size=settings.fetch_bytes_max,
        consumer_group_instance_id=settings.instance_id or None,
        # A position that left the log is refused; "earliest" would skip what was deleted.
        consumer_auto_offset_reset="none",
        cython_optimizations=True,
        stream_buffer_maxsize=1 << 20,  # never reached: the consumer counts what is undone
        # Leases end deliveries; waiting for acknowledgements would only delay a rebalance.
        stream_wait_empty=False,
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )


class Shell:
    """Stand between Faust and the role: see `stream.lease.Owner` and `stream.role.Flow`."""

    def __init__(self, role: Role, settings: KafkaSettings) -> None:
        """Prepare; `run` does everything."""
        self.role = role
        self.settings = settings
        self.lease = no_lease()
        self._app: RoleApp
        self._gate = asyncio.Lock()
        self._failing = threading.Lock()
        self._started = False
        self._done = False
        self._leaving = False

    @property
    def consumer(self) -> BatchConsumer:
        """Give Faust's consumer, in our form."""
        return cast("BatchConsumer", self._app.consumer)

    async def run(self) -> None:
        """Start, run until a signal, stop."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._stray)
        signalled = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signalled.set)
        running = asyncio.create_task(self._run())
        waiting = asyncio.create_task(signalled.wait())
        await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
        if running.done() and (error := running.exception()):
            self.fail(error)
        with self._within(self.settings.stop_timeout_seconds, EXIT_CRASH):
            await self._stop()
        running.cancel()

    async def _run(self) -> None:
        """Start the role, join the group, then call `idle` between envelopes for ever."""
        await self.settings.connection.reach(self.settings.start_timeout_seconds)
        self._app = make_app(self.role, self.settings)
        self._app.owner = self
        await self.role.start(LeaseFlow(self))
        self._started = True
        topic = self._app.topic(*self.role.topics, schema=BatchSchema())
        self._app.agent(topic, name=self.role.name)(self._agent())
        self._app.on_rebalance_complete.connect(self._rebalanced, weak=False)
        await self._app.start()
        while True:
            await asyncio.sleep(self.settings.idle_seconds)
            async with self._gate:
                if not self.lease.ended:
                    await self._idle()

    async def _idle(self) -> None:
        try:
            await self.role.idle()
        except Exception as error:  # noqa: BLE001  before anything else runs, or is committed
            self.fail(error)

    def _agent(self) -> Any:
        """Make the one agent; a failure in it ends the process before Faust acknowledges."""

        async def consume(stream: AsyncIterable[Envelope]) -> None:
            try:
                async for envelope in stream:
                    await self._process(envelope)
            except BaseException as error:
                if not self._leaving:  # Faust would acknowledge, and go on
                    self.fail(error)
                raise
            if not self._leaving:
                self.fail(RuntimeError("Faust ended the stream of envelopes."))

        return consume

    async def _process(self, envelope: Envelope) -> None:
        async with self._gate:
            if envelope.lease.ended:
                return
            await self.role.process(envelope.partition, envelope.records)
            envelope.lease.done(envelope)
        self.consumer.room.set()

    async def _rebalanced(self, *_: Any, **__: Any) -> None:
        """Take over after a rebalance; Faust's recovery waits for this without a timeout."""
        try:
            await self.consumer.begin_lease()
        except Exception as error:  # noqa: BLE001  a crash of the recovery would not end Faust
            self.fail(error)

    async def take_over(self, lease: Lease) -> bool:
        """Let the role choose where to read from; tell whether the lease still stands."""
        async with self._gate:
            if self._done or lease.generation != self._app.consumer_generation_id:
                return False
            self.lease = lease
            await self.consumer.start_lease(lease, await self.role.assigned(lease.commits))
            log.info("assigned", partitions=_listed(lease.position), generation=lease.generation)
            return True

    async def hand_over(self) -> None:
        """End the lease between two envelopes, and tell the role."""
        async with self._gate:
            self.consumer.stop_flow()
            if self.lease.position and not self._done:
                await self.role.revoked(frozenset(self.lease.position))
                log.info("revoked", partitions=_listed(self.lease.position))
            self.lease = no_lease()

    def durable(self) -> Mapping[Partition, Commit]:
        """Give the role's durable commits."""
        return self.role.durable()

    async def _stop(self) -> None:
        """Stop reading, let the role finish, commit, and leave the group."""
        if not self._started:
            log.info("stopped before it had started")
            os._exit(0)  # a compilation in another thread cannot be cancelled
        self.consumer.stop_flow()
        self._app.flow_control.suspend()
        async with self._gate:
            self._done = True
            await self.role.stop()
        await self.consumer.commit_now()
        self._leaving = True
        with self._within(LEAVE_SECONDS_MAX, 0):
            await self._app.stop()
        log.info("stopped")

    def fail(self, error: BaseException) -> NoReturn:
        """Log the reason and end the process: nothing is acknowledged or committed after it."""
        self._failing.acquire()  # for good: what fails in other threads by now is a consequence
        code = EXIT_CRASH
        with contextlib.suppress(Exception):
            if self._leaving:
                code = 0
                log.warning("left the group by ending", error=error)
            elif isinstance(known := denied(error) or error, DriftlineError):
                code = known.exit_code
                log.error(str(known), exit_code=code)
            else:
                log.critical("crashed", error=error, exit_code=code, exc_info=error)
            sys.stderr.flush()
        os._exit(code)

    def _stray(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Fail for what a task died of unseen, unless that is the network's doing."""
        error = context.get("exception")
        if error is None or isinstance(error, _OF_THE_NETWORK) or self._done:
            loop.default_exception_handler(context)
        else:
            self.fail(error)

    @contextlib.contextmanager
    def _within(self, seconds: float, exit_code: int) -> Iterator[None]:
        """End the process if a step of stopping takes longer: nothing durable is lost by that."""
        timer = threading.Timer(seconds, self._too_slow, (seconds, exit_code))
        timer.daemon = True
        timer.start()
        yield
        timer.cancel()

    def _too_slow(self, seconds: float, exit_code: int) -> None:
        what = "leave the group" if self._leaving else "stop"
        message = f"The role did not {what} in {seconds:g} s and was ended; nothing is lost."
        (log.error if exit_code else log.warning)(message, exit_code=exit_code)
        os._exit(exit_code)


def _listed(partitions: Iterable[Partition]) -> list[str]:
    return sorted(f"{tp.topic}/{tp.partition}" for tp in partitions)
