"""Gauges of what a worker holds: each is shown by its one holder, from the start, and then not."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from scraped import samples

from stream.judge import JudgeRole
from stream.metrics import JudgeSeries
from stream.role import Role
from tests.simulation.processes import Processes
from tests.simulation.world import CONFIG, Plan, World, run

HELD = "driftline_events_judged", "driftline_watermark_timestamp_seconds"
# Members of a simulated group notice a new generation one by one.
NOTICED_SECONDS = 10.0
LOOKS = 240
PARTITIONS = CONFIG.kafka.summaries_partitions, CONFIG.kafka.events_partitions


def shown(role: Role, name: str) -> list[tuple[str, ...]]:
    return list(samples(role.series.render(), name))


@dataclass
class Seen:
    """Count the looks in which gauges stood twice, in which all were there, and the budgets."""

    twice: Counter[str] = field(default_factory=Counter)
    complete: Counter[str] = field(default_factory=Counter)
    budgets: Counter[int] = field(default_factory=Counter)

    def look(self, processes: Processes) -> None:
        for kind, name, count in zip(("judge", "observe"), HELD, PARTITIONS, strict=True):
            there = [labels for one in processes.living(kind) for labels in shown(one.role, name)]
            self.twice[kind] += len(there) > len(set(there))
            self.complete[kind] += len(set(there)) == count
        budget = "driftline_alarm_budget_spent"
        self.budgets[sum(len(shown(one.role, budget)) for one in processes.living("judge"))] += 1


def seen(judge: type[JudgeRole] = JudgeRole) -> Seen:
    """Let judges and observers come and go, and look at what all of them show."""
    found = Seen()

    class Moves(World):
        async def disturb(self, emitting: "asyncio.Task[None]") -> None:
            for number in range(12):
                for kind in ("judge", "observe"):
                    if number % 2:
                        self.processes.living(kind)[0].leaving = True
                    else:
                        self.processes.start(kind)
                await asyncio.sleep(NOTICED_SECONDS)
                for _ in range(LOOKS // 12):
                    await asyncio.sleep(2.0)
                    found.look(self.processes)
            await emitting

    run(Plan(5, faults=False, judge=judge), Moves)
    return found


def test_a_gauge_is_shown_by_its_holder_and_by_nobody_else() -> None:
    found = seen()
    assert found.twice.total() == 0
    assert found.complete["judge"] == LOOKS
    # A watermark is there once there is one.
    assert found.complete["observe"] > LOOKS * 0.9
    # No day of event time has ended.
    assert found.budgets[1] > LOOKS * 0.9
    assert set(found.budgets) <= {0, 1}


class RemembersJudge(JudgeRole):
    """Go on showing what another judge holds."""

    def __init__(self, *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self.series = type("Remembers", (JudgeSeries,), {"forget": lambda _: None})()


def test_who_does_not_forget_is_seen() -> None:
    assert seen(RemembersJudge).twice["judge"] > 0
