"""A partition that nobody reads: the judges wait, say for whom and for how long, and go on."""

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stream.stall import stall_seconds_max
from tests.simulation.oracle import differences
from tests.simulation.world import CONFIG, Plan, World, run

SECONDS_MAX = stall_seconds_max(CONFIG.time)


class OneWithoutOwner(World):
    """Take the last partition's owner away, and look at the judges once a second."""

    before: tuple[float, set[str]] = 0.0, set()
    meanwhile: tuple[float, set[str]] = 0.0, set()
    behind: tuple[float, set[str]] = 0.0, set()

    async def disturb(self, emitting: "asyncio.Task[None]") -> None:
        kind, group = type(self), self.processes.groups["observe"]
        kind.before = await self._looked_at(100)
        group.orphans = frozenset(group.partitions[2:])
        group.rebalance()
        kind.meanwhile = await self._looked_at(int(3 * SECONDS_MAX))
        group.orphans = frozenset()
        group.rebalance()
        await asyncio.sleep(SECONDS_MAX)
        kind.behind = await self._looked_at(100)
        await emitting

    async def _looked_at(self, seconds: int) -> tuple[float, set[str]]:
        """Give the longest wait that the gauges show, and what /readyz says."""
        longest, told = 0.0, set()
        for _ in range(seconds):
            await asyncio.sleep(1.0)
            for judge in self.processes.living("judge"):
                page = judge.role.series.render().decode()
                for family in text_string_to_metric_families(page):
                    if family.name == "driftline_panes_wait_seconds":
                        longest = max([longest, *(sample.value for sample in family.samples)])
                told.add(judge.role.why_not_ready())
        return longest, told


@pytest.mark.parametrize("ticks", [True, False])
def test_a_partition_without_an_owner_is_named_by_whoever_waits_for_it(ticks: bool) -> None:
    world = type("Fresh", (OneWithoutOwner,), {})
    assert differences(run(Plan(5, faults=False, ticks=ticks), world)) == []
    says = f"panes wait for {CONFIG.kafka.prefix}.events[2]: is a worker observing it?"
    assert world.meanwhile[0] > 2 * SECONDS_MAX
    assert any(why.startswith(says) for why in world.meanwhile[1])
    for longest, told in (world.before, world.behind):
        assert longest < SECONDS_MAX
        assert not any("panes wait" in why for why in told)
