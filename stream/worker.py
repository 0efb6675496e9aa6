"""A worker: topics checked, then one role in the foreground or all of them supervised."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from stream.access import ACCESS, CLOCK, check_access
from stream.app import run_role
from stream.config import Config, KafkaConfig
from stream.connection import Connection, connection_of
from stream.fetching import parses_in_place
from stream.health import Health
from stream.judge import JudgeRole
from stream.lag import watch_lag
from stream.memory import judge_bound, observe_bound, profiles_at_work, rss_bytes
from stream.names import TopicNames
from stream.observe import ObserveRole
from stream.role import Flow, KafkaSettings
from stream.supervisor import Supervisor, end_with_supervisor, role_command
from stream.topics import check_append_time, ensure_topics, specs

__all__ = ["ROLES", "prepare_topics", "run_supervised", "run_worker_role"]

ROLES = ("observe", "judge")

log = structlog.get_logger()


def prepare_topics(kafka: KafkaConfig, connection: Connection, role: str) -> tuple[int, int]:
    """Create what is missing, check what `role` needs; give the partitions of events, summaries.

    Without `kafka.create_topics` nothing is looked at but what the role needs; a topic that it
    does not need has 0 partitions then.  `role` is a key of `stream.access.ACCESS`.

    Raises
    ------
    ConfigError, ServiceUnreachable
        If a topic is not as it must be, is missing, or may not be used.
    """
    needs, names = ACCESS[role], TopicNames(kafka.prefix)
    wanted = specs(
        kafka.prefix,
        events_partitions=kafka.events_partitions,
        summaries_partitions=kafka.summaries_partitions,
        replication_factor=kafka.replication_factor,
    )
    if not kafka.create_topics:
        topics = {f"{kafka.prefix}.{need.name}" for need in needs if need.kind == "topic"}
        wanted = tuple(spec for spec in wanted if spec.name in topics)
    checks_clock = kafka.require_append_time and CLOCK in needs
    with connection.admin() as admin:
        asked = needs if checks_clock else [need for need in needs if need != CLOCK]
        check_access(admin, kafka.prefix, asked)
    counts = ensure_topics(connection, wanted, create=kafka.create_topics)
    if checks_clock:
        check_append_time(connection, names.events)
    return counts.get(names.events, 0), counts.get(names.summaries, 0)


class _Observed:
    """Wrap a role: its web server, and the watch on its lag; its memory bound is told."""

    def __init__(
        self,
        role: ObserveRole | JudgeRole,
        connection: Connection,
        port: int | None,
        bound: Callable[[], dict[str, int]],
    ) -> None:
        self._role = role
        self._connection = connection
        self._port = port
        self._bound = bound
        self._health = Health(role.series.render, role.why_not_ready)

    def __getattr__(self, name: str) -> object:
        return getattr(self._role, name)

    async def start(self, flow: Flow) -> None:
        port = await self._health.start(self._port)
        log.info("listening", role=self._role.name, metrics=f"http://127.0.0.1:{port}/metrics")
        await self._role.start(flow)
        bound = self._bound()
        log.info("memory", memory_bound_bytes=sum(bound.values()), rss_bytes=rss_bytes(), **bound)
        watching = watch_lag(self._connection, flow, self._role.series.show_lag)
        self._watching = asyncio.create_task(watching)

    async def stop(self) -> None:
        self._watching.cancel()
        await self._role.stop()
        await self._health.stop()


def run_worker_role(name: str, config: Config, metrics_port: int | None) -> int:
    """Run one role in the foreground until it is stopped; give its exit code."""
    end_with_supervisor()
    connection = connection_of(config.kafka)
    partitions = prepare_topics(config.kafka, connection, name)
    role: ObserveRole | JudgeRole
    if name == "observe":
        role = ObserveRole(config, connection, partitions)
    else:
        role = JudgeRole(config, connection)
    settings = KafkaSettings(
        connection=connection,
        session_timeout_seconds=config.kafka.session_timeout_seconds,
        in_place=parses_in_place(config.kafka.fetch),
        instance_id=config.kafka.instance_id,
    )

    def bound() -> dict[str, int]:
        profiles = profiles_at_work(role.book)
        if isinstance(role, ObserveRole):
            return observe_bound(profiles, config, settings, partitions[0])
        return judge_bound(profiles, config, settings, partitions)

    return run_role(_Observed(role, connection, metrics_port, bound), settings)  # type: ignore[arg-type]


def run_supervised(config: Config, path: Path | None, metrics_port: int | None) -> int:
    """Run every role as a child process until stopped; give the worker's exit code."""
    prepare_topics(config.kafka, connection_of(config.kafka), "worker")
    shared = ["--config", str(path)] if path else []
    commands = {
        role: role_command(role, [*shared, *_port(metrics_port, offset)])
        for offset, role in enumerate(ROLES)
    }
    return Supervisor(commands).run()


def _port(port: int | None, offset: int) -> list[str]:
    return [] if port is None else ["--metrics-port", str(port + offset)]
