"""A worker: topics checked, then one role in the foreground or all of them supervised."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

import structlog

from stream.app import run_role
from stream.config import Config
from stream.connection import Connection, connection_of
from stream.fetching import parses_in_place
from stream.health import Health
from stream.judge import JudgeRole
from stream.lag import watch_lag
from stream.learn import LearnRole
from stream.loops import watch_loop
from stream.memory import (
    judge_bound,
    keep_freed,
    learn_bound,
    observe_bound,
    profiles_at_work,
    rss_bytes,
)
from stream.observe import ObserveRole
from stream.role import Flow, KafkaSettings
from stream.supervisor import Supervisor, ask_for, end_with_supervisor, role_command
from stream.topics import prepare_topics

__all__ = ["ON_DEMAND", "ROLES", "run_supervised", "run_worker_role"]

# What a worker runs, and what it runs once observe meets a model without a profile.
ROLES = ("observe", "judge")
ON_DEMAND = ("learn",)
_Role: TypeAlias = ObserveRole | JudgeRole | LearnRole

log = structlog.get_logger()


class _Observed:
    """Wrap a role: its web server, and the watch on its lag and tasks; its memory bound is told."""

    def __init__(
        self,
        role: _Role,
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
        watch_loop(asyncio.get_running_loop())
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
    keep_freed()
    connection = connection_of(config.kafka)
    partitions = prepare_topics(config.kafka, connection, name, ticks=config.time.ticks)
    role: _Role
    if name == "observe":
        role = ObserveRole(config, connection, partitions, partial(ask_for, LearnRole.name))
    elif name == "judge":
        role = JudgeRole(config, connection)
    else:
        role = LearnRole(config, connection)
    settings = KafkaSettings(
        connection=connection,
        session_timeout_seconds=config.kafka.session_timeout_seconds,
        in_place=parses_in_place(config.kafka.fetch),
        instance_id=config.kafka.instance_id,
    )

    def bound() -> dict[str, int]:
        if isinstance(role, LearnRole):
            return learn_bound()
        profiles = profiles_at_work(role.book)
        if isinstance(role, ObserveRole):
            return observe_bound(profiles, config, settings, partitions[0])
        return judge_bound(profiles, config, settings, partitions)

    return run_role(_Observed(role, connection, metrics_port, bound), settings)  # type: ignore[arg-type]


def run_supervised(
    config: Config, path: Path | None, metrics_port: int | None, *, learn: bool
) -> int:
    """Run every role as a child process until stopped; give the worker's exit code.

    `learn` lets it learn a profile for models that turn up without one.
    """
    connection = connection_of(config.kafka)
    prepare_topics(config.kafka, connection, "worker", ticks=config.time.ticks)
    shared = ["--config", str(path)] if path else []
    commands = {
        role: role_command(role, [*shared, *_port(metrics_port, offset)])
        for offset, role in enumerate((*ROLES, *ON_DEMAND))
    }
    always = {role: commands[role] for role in ROLES}
    return Supervisor(always, {role: commands[role] for role in ON_DEMAND if learn}).run()


def _port(port: int | None, offset: int) -> list[str]:
    return [] if port is None else ["--metrics-port", str(port + offset)]
