"""The learn role: a profile for every model that turns up without one, from the log itself.

It follows the panes in the summaries, and reads those events whose pane holds some without a
profile.  It fits what a person would fit from a file of them, and pushes it as a person would.
One learns at a time: who holds the control topic in the group.  Nothing is kept: another one
that takes over reads the log again, and comes to the same.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Collection, Mapping

import msgspec
import structlog

from detectors.errors import ConfigError
from detectors.fit import NothingToFit
from detectors.learning import Arrived, Learner, Learnt, arrived_in
from detectors.order import PaneOrder
from detectors.panes import UNSET, Clock, Header, Part, decode_header
from stream.batching import batch_of, runs
from stream.bisect import QUARANTINE
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
from stream.reader import PrivateReader
from stream.role import Commit, Flow, Partition
from stream.topic_ranges import OffsetRange, TopicRanges

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
        """Follow the panes from the first one; push a profile whenever one can be fitted."""
        connection, names = self._connection, self._names
        in_place = parses_in_place(self._config.kafka.fetch)
        async with (
            TopicRanges(connection, names.events, in_place=in_place) as topic,
            PrivateReader(connection, names.summaries, 0) as summaries,
        ):
            learner = Learner(topic.count, patience_of(self._config), self._has_profile)
            async for header in self._panes(summaries):
                await self._know(header)
                if header.unprofiled:
                    learner.reach(header.partition, Clock(header.w_before))
                    async for arrived in self._arrived(topic, header):
                        learner.take(header.partition, arrived)
                learner.reach(header.partition, header.clock)
                for learnt in learner.due():
                    await self._publish(learnt)
                self.series.models.set(learner.models)

    async def _panes(self, summaries: PrivateReader) -> AsyncIterator[Header]:
        """Give the header of every pane of the events, present and future, in the judges' order."""
        order = PaneOrder()
        while True:
            async for _, value in summaries.records():
                header = decode_header(value)
                # Of a pane's parts the last one says that it is whole.
                if header.topic == self._names.events and header.part == header.parts - 1:
                    whole = Part(msgspec.structs.replace(header, part=0, parts=1), ())
                    for panes in order.offer(whole):
                        for pane in panes:
                            yield pane.header
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _know(self, header: Header) -> None:
        """Read the control topic again if it holds what made the pane and may not be known."""
        if QUARANTINE in header.rejected:
            await self._control.sync()
        else:
            await self._control.keep_up(UNSET)

    async def _arrived(self, topic: TopicRanges, header: Header) -> AsyncIterator[Arrived]:
        """Give the records of a pane, decoded."""
        bad = self._control.quarantined(header.topic, header.partition)
        async for records in topic.between(header.partition, OffsetRange(header.a, header.o + 1)):
            for some in runs(records):
                batch = await asyncio.to_thread(batch_of, some, self._config, self._scanner, bad)
                self.series.records.inc(len(some))
                yield arrived_in(batch)

    def _has_profile(self, model: str) -> bool:
        return bool(self._control.book.segments(model))

    async def _publish(self, learnt: Learnt) -> None:
        """Fit and push one profile, unless somebody has pushed one meanwhile."""
        try:
            profile = await asyncio.to_thread(fit_learnt, learnt, self._config)
        except NothingToFit as error:
            log.warning("not learnt", why=str(error), events=len(learnt.events))
            return
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
