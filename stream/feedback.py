"""Feedback: what people say of alerts, and how the alarm budget is spent by that."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from detectors.alert import instant, instant_ms
from detectors.errors import ConfigError
from detectors.policy import budget_per_week
from stream.config import Config
from stream.connection import connection_of
from stream.control import read_control
from stream.ledger import Found, Ledger, read_ledger
from stream.names import TopicNames
from stream.outbox import Outbox
from stream.watermarks import watermarks

__all__ = ["VERDICTS", "Feedback", "Spent", "give_feedback", "read_spent", "spent"]

VERDICTS = ("false", "expected", "real")
_DAY_MS = 86_400_000
_WEEKS = 4


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what somebody said of an alert or incident, in the published order of fields."""

    schema: int = 1
    id: str
    verdict: str
    time: str
    note: str = ""
    model: str


class Spent(NamedTuple):
    """Tell of one model's incidents; `verdicts` counts those of the last four weeks.

    Without feedback the verdict is "".
    """

    model: str
    accepted_per_week: float
    week: int
    verdicts: Counter[str]

    @property
    def opened(self) -> int:
        """Count the incidents of the last four weeks."""
        return self.verdicts.total()

    @property
    def attained(self) -> tuple[float, float]:
        """Give false incidents a week in units of what is accepted: at least, and at most.

        The incidents on which nobody has said anything make the difference.
        """
        least = self.verdicts["false"] / _WEEKS / self.accepted_per_week
        return least, least + self.verdicts[""] / _WEEKS / self.accepted_per_week


async def give_feedback(config: Config, start: str, verdict: str, note: str) -> Found:
    """Record a verdict on the alert or incident whose id begins so; give that.

    Raises
    ------
    ConfigError, ServiceUnreachable
        If the verdict is none, there is no one such id, or Kafka does not answer.
    """
    if verdict not in VERDICTS:
        raise ConfigError(f"{verdict} is no verdict; say one of {', '.join(VERDICTS)}.")
    found = (await read_ledger(config)).find(start)
    now = instant(round(time.time() * 1000))
    said = Feedback(id=found.id, verdict=verdict, time=now, note=note, model=found.last["model"])
    outbox = Outbox(connection_of(config.kafka))
    await outbox.start()
    try:
        topic = TopicNames(config.kafka.prefix).feedback
        await outbox.send(topic, found.id.encode(), msgspec.json.encode(said))
        await outbox.delivered()
    finally:
        await outbox.stop()
    return found


async def read_spent(config: Config) -> list[Spent]:
    """Tell how the budget of every model of a prefix is spent, up to its latest event.

    Raises
    ------
    ServiceUnreachable
        If there are no topics yet, or Kafka does not answer.
    """
    connection, names = connection_of(config.kafka), TopicNames(config.kafka.prefix)
    ledger = await read_ledger(config)
    latest = await asyncio.to_thread(watermarks, connection, names)
    control = await read_control(connection, names.control)
    accepted = budget_per_week(config.policy.alarm_budget)
    return spent(ledger, control.book.models, accepted, max(latest.values(), default=0))


def spent(
    ledger: Ledger, models: Sequence[str], accepted_per_week: float, now_ms: int
) -> list[Spent]:
    """Count each model's incidents up to a moment of event time, by what people said of them."""
    week: Counter[str] = Counter()
    verdicts: dict[str, Counter[str]] = {model: Counter() for model in models}
    for one, revisions in ledger.incidents.items():
        found = Found("incident", one, [revisions[n] for n in sorted(revisions)])
        model, opened_ms = found.last["model"], instant_ms(found.revisions[0]["time"])
        age = now_ms - opened_ms
        known = verdicts.setdefault(model, Counter())
        if 0 <= age < 7 * _WEEKS * _DAY_MS:
            answers = ledger.answers(found)
            known[answers[-1]["verdict"] if answers else ""] += 1
            week[model] += age < 7 * _DAY_MS
    return [
        Spent(model, accepted_per_week, week[model], counts)
        for model, counts in sorted(verdicts.items())
    ]
