"""How far the groups are behind the log, seen from outside, a few times a second."""

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from stream.names import TopicNames
from tests.looking import PAUSE_SECONDS, Looking

__all__ = ["Gauge", "Sample"]

PARTITIONS = 4
PANE_MS = 2_000
_REQUEST_MS = 5_000
# A dead worker's partitions are this many seconds behind before anybody could tell.
_HOLD_SECONDS = 7.0
_STALE_SECONDS = 2.0
RECOVERY_SECONDS_MAX = 120.0

Offsets = Mapping[int, int]


class Sample(NamedTuple):
    """Say where everybody stood at a moment (monotonic seconds)."""

    at: float
    lag_panes: float
    events_end: Offsets
    observed: Offsets
    summaries_end: Offsets
    judged: Offsets
    state_end: int


class Gauge(Looking):
    """Look at the groups of a prefix in a thread of its own."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        super().__init__()
        self.samples: list[Sample] = []
        self._names = TopicNames(prefix)
        self._bootstrap = bootstrap

    def look_on(self) -> None:
        while not self.over.is_set():
            with contextlib.suppress(KafkaError, OSError):
                admin = KafkaAdminClient(
                    bootstrap_servers=self._bootstrap, request_timeout_ms=_REQUEST_MS
                )
                consumer = KafkaConsumer(
                    bootstrap_servers=self._bootstrap, request_timeout_ms=_REQUEST_MS
                )
                with contextlib.closing(admin), contextlib.closing(consumer):
                    while not self.over.wait(PAUSE_SECONDS):
                        self.samples.append(self._look(admin, consumer))
            self.over.wait(PAUSE_SECONDS)

    def _look(self, admin: KafkaAdminClient, consumer: KafkaConsumer) -> Sample:
        names = self._names
        topics = (names.events, names.summaries, names.state)
        ends = consumer.end_offsets([TopicPartition(t, p) for t in topics for p in range(4)])
        by_topic = {t: {tp.partition: n for tp, n in ends.items() if tp.topic == t} for t in topics}
        observe = admin.list_group_offsets(names.observe_group).get(names.observe_group, {})
        judge = admin.list_group_offsets(names.judge_group).get(names.judge_group, {})
        now = time.time() * 1000 // PANE_MS
        clocks = [int(at.metadata.split()[3]) for at in observe.values() if at.metadata]
        behind = max((now - r_ms // PANE_MS for r_ms in clocks), default=math.inf)
        judged = {tp.partition: at.offset for tp, at in judge.items()}
        waiting = [n - judged.get(p, 0) for p, n in by_topic[names.summaries].items()]
        all_there = len(clocks) == len(judged) == PARTITIONS
        return Sample(
            time.monotonic(),
            max(behind, math.ceil(max(waiting) / PARTITIONS)) if all_there else math.inf,
            by_topic[names.events],
            {tp.partition: at.offset for tp, at in observe.items()},
            by_topic[names.summaries],
            judged,
            sum(by_topic[names.state].values()),
        )

    def now(self) -> Sample:
        """Give a sample that is taken from now on."""
        began = time.monotonic()
        self.until(lambda sample: sample.at > began, "Kafka answers")
        return self.samples[-1]

    def until(self, look: Callable[[Sample], bool], what: str) -> Sample:
        """Wait for a sample that shows it."""
        deadline = time.monotonic() + RECOVERY_SECONDS_MAX
        while True:
            if self.samples and look(self.samples[-1]):
                return self.samples[-1]
            assert time.monotonic() < deadline, f"not within {RECOVERY_SECONDS_MAX:.0f} s: {what}"
            time.sleep(0.05)

    def until_progress(self) -> None:
        """Wait until both roles have gone past where the log ends now."""
        ends = self.now()
        self.until(
            lambda s: all(s.observed.get(p, 0) >= n for p, n in ends.events_end.items()),
            "observe has gone past the log's end of a while ago",
        )
        ends = self.now()
        self.until(
            lambda s: all(s.judged.get(p, 0) >= n for p, n in ends.summaries_end.items()),
            "judge has gone past the summaries' end of a while ago",
        )

    def recovered(self, since: float) -> float:
        """Wait until the lag is one pane and stays so; give the seconds from `since` to there."""
        deadline = time.monotonic() + RECOVERY_SECONDS_MAX
        while True:
            seen = [sample for sample in self.samples if sample.at >= since]
            good_from = last = since
            for sample in seen:
                if sample.lag_panes > 1:
                    good_from = math.inf
                elif good_from == math.inf or sample.at - last > _STALE_SECONDS:
                    good_from = sample.at
                last = sample.at
            if seen and seen[-1].at - good_from >= _HOLD_SECONDS:
                return good_from - since
            assert time.monotonic() < deadline, (
                f"not back within {RECOVERY_SECONDS_MAX:.0f} s: "
                f"{seen[-1].lag_panes if seen else '?'} panes behind"
            )
            time.sleep(0.1)
