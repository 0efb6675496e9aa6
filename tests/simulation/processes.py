"""The processes of a run: started, killed, restarted, as supervisors do on their machines."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping

from aiokafka.errors import KafkaError

from stream.role import Role
from tests.simulation.cluster import Cluster, Host
from tests.simulation.group import SESSION_SECONDS, Group, Member

__all__ = ["Processes"]

# How a role is made that runs on a host.
Maker = Callable[[Host], Role]


class Processes:
    """Hold what runs; restart what died, until told that it is over."""

    def __init__(
        self, cluster: Cluster, groups: Mapping[str, Group], makers: Mapping[str, Maker]
    ) -> None:
        self.cluster = cluster
        self.groups = groups
        self.deaths: Counter[str] = Counter()
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.steps = 0
        self.idle_steps = 0
        self.over = False
        self._makers = makers
        self._running: dict[asyncio.Task[None], tuple[str, Member]] = {}

    def start(self, kind: str) -> None:
        """Start a process that runs one role."""
        host = Host(self.cluster)
        member = Member(host, self.groups[kind], self._makers[kind](host))
        task = asyncio.create_task(member.run())
        self._running[task] = (kind, member)
        task.add_done_callback(self._ended)

    def living(self, kind: str | None = None) -> list[Member]:
        """List the processes that live and were not asked to leave."""
        return [
            member
            for task, (its, member) in self._running.items()
            if kind in {None, its} and member.host.alive and not (member.leaving or task.done())
        ]

    def any_living(self, kind: str | None = None) -> Member | None:
        """Draw one of them."""
        living = self.living(kind)
        return self.cluster.draw.choice(living) if living else None

    def kill(self, member: Member) -> bool:
        """Kill a process at whatever await it is; say whether it still lived."""
        task = next((t for t, (_, one) in self._running.items() if one is member), None)
        if task is None or task.done():
            return False
        member.host.die()
        task.cancel()
        return True

    async def stop(self) -> None:
        """Stop observe, let the judges finish, stop them: each leaves a snapshot."""
        self.over = True
        for kind in self.groups:
            for its, member in self._running.values():
                member.leaving |= its == kind
            while any(its == kind for its, _ in self._running.values()):  # noqa: ASYNC110
                await asyncio.sleep(1.0)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """Restart what died; the group notices after the session timeout."""
        kind, member = self._running.pop(task)
        self.steps += member.steps
        self.idle_steps += member.idle_steps
        error = None if task.cancelled() else task.exception()
        if member.leaving and not task.cancelled() and error is None:
            return
        if error is not None and not isinstance(error, KafkaError):
            if not self.broken.done():
                self.broken.set_exception(error)
            return
        self.deaths["killed" if error is None else type(error).__name__] += 1
        member.host.die()
        loop = asyncio.get_running_loop()
        loop.call_later(SESSION_SECONDS, member.group.leave, member)
        if not self.over:
            loop.call_later(self.cluster.draw.uniform(0.5, 5.0), self.start, kind)
