"""Static membership: a name in the group that survives a restart, held by one worker at a time.

A worker that is started anew under its `kafka.instance_id` within the session timeout takes its
partitions back, and nobody else pauses.  Whoever joins under a name takes it: so one that has
lost its place must not join again while another holds the name, or the two would take it from
each other for ever.  aiokafka (0.14) does just that: it knows no fenced instance.
"""

# ruff: noqa: SLF001  the private parts of aiokafka are what this module is about

import asyncio
from typing import Any

from aiokafka.errors import KafkaError

from detectors.errors import ConfigError, ServiceUnreachable
from stream.lease import Owner

__all__ = ["Membership"]


class Membership:
    """Guard the name of one consumer: it joins for the first time, or where the name is free."""

    def __init__(self, coordinator: Any, owner: Owner) -> None:
        """Stand before the joining of aiokafka's group coordinator."""
        self._coordinator = coordinator
        self._owner = owner
        self._member_id = ""
        self._join = coordinator._do_rejoin_group
        coordinator._do_rejoin_group = self._rejoin

    async def _rejoin(self, subscription: Any) -> bool:
        """Join; end the process if it was a member, and another now goes by its name."""
        if self._member_id and self._member_id != self._coordinator.member_id:
            await self._check()
        try:
            joined: bool = await self._join(subscription)
        except KafkaError:  # among others, the name was taken while this one was joining
            await self._check()
            raise
        if joined:
            self._member_id = self._coordinator.member_id
        return joined

    async def _check(self) -> None:
        """Ask until there is an answer: joining without one could take the name back."""
        while True:
            try:
                holder = await asyncio.to_thread(self._holder)
            except ServiceUnreachable:
                continue
            break
        if holder and holder["member_id"] != self._member_id:
            self._owner.fail(
                ConfigError(
                    f"Another worker (at {holder['client_host'].lstrip('/')}) has joined "
                    f"{self._coordinator.group_id} with kafka.instance_id "
                    f"{self._owner.settings.instance_id!r} and goes on in the place of this one. "
                    "Give every worker an id of its own."
                )
            )

    def _holder(self) -> dict[str, str] | None:
        """Find the member of the group that goes by the name now."""
        group, settings = self._coordinator.group_id, self._owner.settings
        with settings.connection.admin() as admin:
            members = admin.describe_groups([group])[group]["members"]
        named = [one for one in members if one["group_instance_id"] == settings.instance_id]
        return named[0] if named else None
