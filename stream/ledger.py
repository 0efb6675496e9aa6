"""The ledger: what has been said about a prefix's models, by id, and what people answered.

Alerts and incidents come with all their revisions, feedback in the order of its writing.  A
record that came twice counts once.
"""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import orjson

from detectors.alert import Alert, Incident, instant_ms
from detectors.errors import ConfigError
from stream.config import Config
from stream.connection import connection_of
from stream.names import TopicNames
from stream.reader import read_topic

__all__ = ["Found", "Ledger", "decode_record", "read_ledger"]

_CANDIDATES_MAX = 10

Record = dict[str, Any]


class Found(NamedTuple):
    """Hold one alert or incident: its kind, its id, and its revisions, the first first."""

    kind: str
    id: str
    revisions: list[Record]

    @property
    def last(self) -> Record:
        """Give the latest revision."""
        return self.revisions[-1]


class _Answer(msgspec.Struct):
    """The record of feedback, as far as a reader needs it."""

    id: str
    verdict: str
    time: str


def decode_record(value: bytes, topic: str) -> Record:
    """Read a record of the alerts, incidents or feedback topic.

    Raises
    ------
    ConfigError
        If it is not one of driftline's.
    """
    try:
        record: Record = msgspec.convert(orjson.loads(value), Record)
        if "alert" in record:
            time = msgspec.convert(record["alert"], Alert).time
        elif "verdict" in record:
            time = msgspec.convert(record, _Answer).time
        else:
            time = msgspec.convert(record, Incident).time
        instant_ms(time)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"A record of {topic} is not driftline's: {error}.") from error
    return record


@dataclass
class Ledger:
    """Hold alerts and incidents by id and revision, and feedback by id."""

    alerts: dict[str, dict[int, Record]] = field(default_factory=lambda: defaultdict(dict))
    incidents: dict[str, dict[int, Record]] = field(default_factory=lambda: defaultdict(dict))
    feedback: dict[str, list[Record]] = field(default_factory=lambda: defaultdict(list))

    def take(self, record: Record) -> None:
        """Enter one record of the alerts, incidents or feedback topic."""
        if "verdict" in record:
            self.feedback[record["id"]].append(record)
        elif "alert" in record:
            alert = record["alert"]
            self.alerts[alert["id"]][alert["revision"]] = alert
        else:
            self.incidents[record["id"]][record["revision"]] = record

    def find(self, start: str) -> Found:
        """Find the alert or incident whose id begins so.

        Raises
        ------
        ConfigError
            If there is none, or more than one; the message names them.
        """
        kinds = {"alert": self.alerts, "incident": self.incidents}
        found = [
            Found(kind, one, [revisions[n] for n in sorted(revisions)])
            for kind, known in kinds.items()
            for one, revisions in known.items()
            if one.startswith(start.lower())
        ]
        if not found:
            raise ConfigError(
                f"There is no alert or incident whose id begins with {start}. "
                "`driftline alerts tail --since TIME` lists them."
            )
        if len(found) > 1:
            named = [f"{one.id} ({one.kind}: {one.last['summary']})" for one in found]
            more = f"; and {len(named) - _CANDIDATES_MAX} more" * (len(named) > _CANDIDATES_MAX)
            raise ConfigError(
                f"{start} may be any of {len(found)}: {'; '.join(named[:_CANDIDATES_MAX])}{more}."
            )
        return found[0]

    def latest_alerts(self, found: Found) -> list[Record]:
        """Give the latest revision of an alert, or of each alert of an incident."""
        ids = found.last["alerts"] if found.kind == "incident" else [found.id]
        return [self.alerts[one][max(self.alerts[one])] for one in ids if one in self.alerts]

    def answers(self, found: Found) -> list[Record]:
        """List the feedback by time: on an incident or its alerts, on an alert or its incident."""
        more = found.last["alerts"] if found.kind == "incident" else [found.last["incident"]]
        ids = dict.fromkeys([found.id, *more])
        return sorted((f for one in ids for f in self.feedback.get(one, [])), key=_time)


def _time(record: Record) -> str:
    return str(record["time"])


async def read_ledger(config: Config) -> Ledger:
    """Read the alerts, incidents and feedback of a prefix up to now.

    Raises
    ------
    ServiceUnreachable, ConfigError
        If there are no such topics yet, or Kafka does not answer, or others write to them.
    """
    connection, names = connection_of(config.kafka), TopicNames(config.kafka.prefix)
    ledger = Ledger()
    topics = (names.alerts, names.incidents, names.feedback)
    read = await asyncio.gather(*(read_topic(connection, topic) for topic in topics))
    for topic, records in zip(topics, read, strict=True):
        for _, value in records:
            if value:
                ledger.take(decode_record(value, topic))
    return ledger
