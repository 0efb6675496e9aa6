"""A worker: topics checked, then one role in the foreground or all of them supervised."""

from pathlib import Path

import structlog

from detectors.errors import ConfigError
from stream.app import run_role
from stream.config import Config, KafkaConfig
from stream.connection import Connection, connection_of
from stream.health import Health
from stream.judge import JudgeRole
from stream.observe import ObserveRole
from stream.role import Flow, KafkaSettings
from stream.supervisor import Supervisor, end_with_supervisor, role_command
from stream.topics import check_append_time, ensure_topics, partition_count, specs

__all__ = ["ROLES", "prepare_topics", "run_supervised", "run_worker_role"]

ROLES = ("observe", "judge")

log = structlog.get_logger()


def prepare_topics(kafka: KafkaConfig, connection: Connection) -> tuple[int, int]:
    """Create what is missing, check the input's clock; give the partitions of events, summaries."""
    wanted = specs(
        kafka.prefix,
        events_partitions=kafka.events_partitions,
        summaries_partitions=kafka.summaries_partitions,
        replication_factor=kafka.replication_factor,
    )
    ensure_topics(connection, wanted, create=kafka.create_topics)
    events = f"{kafka.prefix}.events"
    if kafka.require_append_time:
        check_append_time(connection, events)
    summaries = partition_count(connection, f"{kafka.prefix}.summaries")
    if summaries != kafka.summaries_partitions:
        raise ConfigError(
            f"{kafka.prefix}.summaries has {summaries} partitions, kafka.summaries_partitions is "
            f"{kafka.summaries_partitions}: the number is fixed when a prefix is new. Set it to "
            f"{summaries}, or choose another prefix."
        )
    return partition_count(connection, events), summaries


class _Observed:
    """Wrap a role: its web server starts with it and stops with it."""

    def __init__(self, role: ObserveRole | JudgeRole, port: int | None) -> None:
        self._role = role
        self._port = port
        self._health = Health(role.series.render, role.why_not_ready)

    def __getattr__(self, name: str) -> object:
        return getattr(self._role, name)

    async def start(self, flow: Flow) -> None:
        port = await self._health.start(self._port)
        log.info("listening", role=self._role.name, metrics=f"http://127.0.0.1:{port}/metrics")
        await self._role.start(flow)

    async def stop(self) -> None:
        await self._role.stop()
        await self._health.stop()


def run_worker_role(name: str, config: Config, metrics_port: int | None) -> int:
    """Run one role in the foreground until it is stopped; give its exit code."""
    end_with_supervisor()
    connection = connection_of(config.kafka)
    partitions = prepare_topics(config.kafka, connection)
    role: ObserveRole | JudgeRole
    if name == "observe":
        role = ObserveRole(config, connection, partitions)
    else:
        role = JudgeRole(config, connection)
    settings = KafkaSettings(
        connection=connection, session_timeout_seconds=config.kafka.session_timeout_seconds
    )
    return run_role(_Observed(role, metrics_port), settings)  # type: ignore[arg-type]


def run_supervised(config: Config, path: Path | None, metrics_port: int | None) -> int:
    """Run every role as a child process until stopped; give the worker's exit code."""
    prepare_topics(config.kafka, connection_of(config.kafka))
    shared = ["--config", str(path)] if path else []
    commands = {
        role: role_command(role, [*shared, *_port(metrics_port, offset)])
        for offset, role in enumerate(ROLES)
    }
    return Supervisor(commands).run()


def _port(port: int | None, offset: int) -> list[str]:
    return [] if port is None else ["--metrics-port", str(port + offset)]
