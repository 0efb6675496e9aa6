"""What goes wrong in a run: every kind at least once, then whichever, at any moment."""

import asyncio
from collections.abc import Callable, Iterator

from stream.names import TopicNames
from tests.simulation.cluster import Host
from tests.simulation.processes import Processes

__all__ = ["KINDS", "Faults"]

PAUSE_SECONDS = 14.0
# What a plan asks for; each is counted under this name when it has really happened.
KINDS = (
    "killed",
    "all killed",
    "killed in a snapshot",
    "commits expired",
    "zombie",
    "rolled",
    "rebalance",
    "broker silent",
    "topic failing",
    "topic failing for minutes",
    "snapshot failed",
    "acknowledgements at risk",
    "deliveries repeated",
    "network slow",
    "clock jumped",
)
_ATTEMPTS_MAX = 200


class Faults:
    """Break one thing after the other, for as long as events come."""

    def __init__(self, processes: Processes, names: TopicNames) -> None:
        self._processes = processes
        self._cluster = processes.cluster
        self._draw = processes.cluster.draw
        self._names = names
        self._by_kind: dict[str, Callable[[], bool]] = {
            "killed": self._kill,
            "all killed": self._kill_all,
            "killed in a snapshot": self._kill_in_a_snapshot,
            "commits expired": self._expire_commits,
            "zombie": self._deafen,
            "rolled": self._roll,
            "rebalance": self._rebalance,
            "broker silent": self._silence,
            "topic failing": self._fail_topic,
            "topic failing for minutes": self._fail_topic_for_minutes,
            "snapshot failed": self._fail_a_snapshot,
            "acknowledgements at risk": self._lose_acknowledgements,
            "deliveries repeated": self._repeat_deliveries,
            "network slow": self._slow_down,
            "clock jumped": self._jump,
        }

    async def inject(self, while_running: "asyncio.Task[None]") -> None:
        """Inject faults until the task is done; then let the network heal."""
        for kind in self._deck():
            await asyncio.sleep(self._draw.expovariate(1 / PAUSE_SECONDS))
            if while_running.done():
                break
            for _ in range(_ATTEMPTS_MAX):
                if self._by_kind[kind]():
                    break
                await asyncio.sleep(1.0)
        self._cluster.heal()

    def _deck(self) -> Iterator[str]:
        yield from self._draw.sample(KINDS, len(KINDS))
        while True:
            yield self._draw.choice((*KINDS, "killed", "killed"))

    def _clock(self) -> float:
        return asyncio.get_running_loop().time()

    def _later(self, low: float, high: float, call: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_later(self._draw.uniform(low, high), call)

    def _count(self, kind: str) -> bool:
        self._cluster.faults[kind] += 1
        return True

    def _kill(self) -> bool:
        """Kill a process at whatever await it is."""
        victim = self._processes.any_living()
        return victim is not None and self._processes.kill(victim) and self._count("killed")

    def _kill_all(self) -> bool:
        """Kill every process at once, as a power cut does."""
        killed = [self._processes.kill(member) for member in self._processes.living()]
        return any(killed) and self._count("all killed")

    def _kill_in_a_snapshot(self) -> bool:
        """Kill a judge when some of its snapshot's records are sent, and the last is not."""
        victim = self._processes.any_living("judge")
        if victim is None or victim.host.dies_when is not None:
            return False

        def die(host: Host) -> None:
            if self._processes.kill(victim):
                self._cluster.faults["killed in a snapshot"] += host.cluster is self._cluster

        victim.host.dies_when = (self._names.state, self._draw.randint(1, 3), die)
        return True

    def _expire_commits(self) -> bool:
        """Let everybody be gone, and the broker forget what the groups have committed."""
        self._kill_all()
        for group in self._processes.groups.values():
            group.commits.clear()
        return self._count("commits expired")

    def _deafen(self) -> bool:
        """Make a zombie: the group goes on without it, and it does not know for a while."""
        victim = self._processes.any_living()
        if victim is None or victim not in victim.group.members:
            return False
        seconds = self._draw.uniform(1.0, 30.0)
        victim.deaf_until = self._clock() + seconds
        victim.group.leave(victim)
        asyncio.get_running_loop().call_later(seconds, victim.rejoin)
        return self._count("zombie")

    def _roll(self) -> bool:
        """Start one more, and ask another to leave."""
        kind = self._draw.choice(("observe", "judge"))
        others = self._processes.living(kind)
        self._processes.start(kind)
        if others:
            others[0].leaving = True
        return self._count("rolled")

    def _rebalance(self) -> bool:
        self._draw.choice(list(self._processes.groups.values())).rebalance()
        return self._count("rebalance")

    def _silence(self) -> bool:
        """Let the broker be silent for a while."""
        self._cluster.silent_until = self._clock() + self._draw.choice((1.0, 6.0, 30.0))
        return self._count("broker silent")

    def _fail_topic(self) -> bool:
        """Let a topic take nothing for a while; a record may be given up meanwhile."""
        names = self._names
        topics = (names.summaries, names.state, names.alerts, names.metrics, names.rejects)
        topic = self._draw.choice(topics)
        self._cluster.failing[topic] = 0.02
        self._later(1.0, 20.0, lambda: self._cluster.failing.pop(topic, None))
        return self._count("topic failing")

    def _fail_topic_for_minutes(self) -> bool:
        """Let a topic of the judge take nothing for long, and nothing be given up: it waits."""
        topic = self._draw.choice((self._names.alerts, self._names.state, self._names.metrics))
        self._cluster.failing[topic] = 0.0
        self._later(60.0, 300.0, lambda: self._cluster.failing.pop(topic, None))
        return self._count("topic failing for minutes")

    def _fail_a_snapshot(self) -> bool:
        """Refuse the next record of the state topic for good; the cluster counts it."""
        self._cluster.refused.add(self._names.state)
        return True

    def _lose_acknowledgements(self) -> bool:
        self._cluster.losing_acks = self._draw.choice((0.001, 0.02))
        self._later(5.0, 40.0, lambda: setattr(self._cluster, "losing_acks", 0.0))
        return self._count("acknowledgements at risk")

    def _repeat_deliveries(self) -> bool:
        """Let requests be written twice, as after a broker that forgot its producers."""
        self._cluster.repeating = self._draw.choice((0.02, 0.2))
        self._later(5.0, 40.0, lambda: setattr(self._cluster, "repeating", 0.0))
        return self._count("deliveries repeated")

    def _slow_down(self) -> bool:
        self._cluster.slow = self._draw.choice((10.0, 50.0))
        self._later(5.0, 60.0, lambda: setattr(self._cluster, "slow", 1.0))
        return self._count("network slow")

    def _jump(self) -> bool:
        self._cluster.jump(self._draw.randrange(20_000))
        return self._count("clock jumped")
