"""The learn role: a profile for every model that turns up without one, from the log itself.

It reads the events topic privately, fits what a person would fit from a file of the same events,
and pushes it as a person would.  One learns at a time: who holds the control topic in the group.
Nothing is kept: another one that takes over reads the log again, and comes to the same.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Collection, Mapping

import structlog

from detectors.errors import ConfigError
from detectors.learning import Arrived, Learner, Learnt, arrived_in
from detectors.panes import UNSET
from stream.batching import batch_of, runs
from stream.config import Config
from stream.connection import Connection
from stream.control import Control
from stream.decode.scan.scanner import Scanner
from stream.fetching import parses_in_place
from stream.fitting import fit_learnt, patience_of
from stream.metrics import LearnSeries
from stream.names import TopicNames
from stream.pushing import push_profile
from stream.reached import Reached
from stream.role import Commit, Flow, Partition
from stream.topic_ranges import TopicRanges

__all__ = ["LearnRole"]

_PAUSE_SECONDS = 1.0

log = structlog.get_logger()


class LearnRole:
    """Learn while the control topic's partition is held; the group is for nothing else."""

    name = "learn"

    def __init__(self, config: Config, connection: Connection) -> None:
        """Prepare; `start` connects."""
        names = TopicNames(config.kafka.prefix)
        self.topics = [names.control]
        self.group = names.learn_group
        self.series = LearnSeries()
        self._names = names
        self._config = config
        self._connection = connection
        self._control = Control(connection, names.control)
        self._reached = Reached(config, connection)
        # Events of models that have a profile are of no matter here: columns are cheap.
        self._scanner = Scanner(self._control.book, config.limits)
        self._learning: asyncio.Task[None] | None = None

    async def start(self, flow: Flow) -> None:  # noqa: ARG002  what it reads, it reads privately
        """Connect, and read the control topic."""
        await self._control.start()
        await self._reached.start()

    async def assigned(
        self, commits: Mapping[Partition, Commit | None]
    ) -> Mapping[Partition, int | None]:
        """Begin to learn, with the log's start, if this is the one that learns now."""
        if commits:
            self._learning = asyncio.create_task(self._learn())
        return dict.fromkeys(commits)

    async def process(self, partition: Partition, records: object) -> None:
        """Do nothing: control records are read where they are needed."""

    def durable(self) -> Mapping[Partition, Commit]:
        """Commit nothing: there is no state."""
        return {}

    async def revoked(self, partitions: Collection[Partition]) -> None:  # noqa: ARG002
        """Stop learning: another one does."""
        await self._stop_learning()

    async def idle(self) -> None:
        """Raise what learning has died of."""
        if self._learning is not None and self._learning.done():
            self._learning.result()

    async def stop(self) -> None:
        """Close the connections."""
        await self._stop_learning()
        await self._reached.stop()
        await self._control.stop()

    def why_not_ready(self) -> str:
        """Say why nothing is being learnt, if so."""
        return "" if self._learning is not None else "another worker learns"

    async def _stop_learning(self) -> None:
        if self._learning is not None:
            self._learning.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._learning
            self._learning = None

    async def _learn(self) -> None:
        """Follow the events topic from its start; push a profile whenever one can be fitted."""
        in_place = parses_in_place(self._config.kafka.fetch)
        async with TopicRanges(self._connection, self._names.events, in_place=in_place) as topic:
            learner = Learner(topic.count, patience_of(self._config), self._has_profile)
            async for partition, arrived in self._follow(topic):
                learner.take(partition, arrived)
                for learnt in learner.due():
                    await self._publish(learnt)
                self.series.models.set(learner.models)

    async def _follow(self, topic: TopicRanges) -> AsyncIterator[tuple[int, Arrived]]:
        """Give every record of the topic, present and future, decoded."""
        reached: dict[int, int] | None = None
        while True:
            ranges = await topic.find(reached, None)
            async for partition, records in topic.read(ranges):
                for some in runs(records):
                    bad = self._control.quarantined(self._names.events, partition)
                    batch = await asyncio.to_thread(
                        batch_of, some, self._config, self._scanner, bad
                    )
                    self.series.records.inc(len(some))
                    await self._control.keep_up(UNSET)
                    yield partition, arrived_in(batch)
            reached = {partition: one.end for partition, one in enumerate(ranges)}
            await asyncio.sleep(_PAUSE_SECONDS)

    def _has_profile(self, model: str) -> bool:
        return bool(self._control.book.segments(model))

    async def _publish(self, learnt: Learnt) -> None:
        """Fit and push one profile, unless somebody has pushed one meanwhile."""
        try:
            profile = await asyncio.to_thread(fit_learnt, learnt, self._config)
        except ValueError as error:
            log.warning("not learnt", why=str(error), events=len(learnt.events))
            return
        await self._reached.passed(learnt.end_ms)
        # Here, too, so that little time lies between the look at the others' profiles and ours.
        await self._reached.calm_ms(math.inf)
        await self._control.sync()
        if self._has_profile(profile.model):
            return
        try:
            start = await push_profile(self._config, profile, math.inf)
        except ConfigError as error:
            log.error("a replay may differ", why=str(error))  # noqa: TRY400  it is a sentence
            start = None
        await self._control.sync()
        self.series.learnt.inc()
        events = len(learnt.events) << learnt.level
        log.info("learnt", profile=profile.hash, events=events, effective_from=start)
