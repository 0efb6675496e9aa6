"""Emitters' clocks that are wrong: what becomes of their events is exactly what was injected.

From the bytes of a log to the judge, by both ways in.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cache

from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from detectors.observe import Observer, Pane
from stream.batching import batch_of
from stream.config import Config
from stream.decode.scan.scanner import Scanner
from stream.judging import Judging, Totals
from stream.records import TICK, Records
from tests import logs
from tests.live import as_json
from tests.logs import LATENESS_MS, PANE_MS, SEMANTICS, TICK_MS, Record
from tests.simulation.cluster import Record as Stored

EVENTS, PARTITIONS, SUMMARIES = 450, 3, 2
CONFIG = Config()
FUTURE_MS = CONFIG.limits.max_future_seconds * 1_000
DAY_MS = 86_400_000
BUCKET_MS = logs.profile().bucket_ms
# How far W before a pane may be behind a record of it: the pane, the silence before a record that
# ends one and before one that moves W, and what the log's events are behind their records.
BEHIND_W_MS = PANE_MS + 2 * TICK_MS + 1_000
# Time goes on until the bucket of an event that is as far ahead as may be has finalised.
QUIET_MS = FUTURE_MS + BUCKET_MS + LATENESS_MS + BEHIND_W_MS

AHEAD = st.integers(1, FUTURE_MS)
TOO_FAR = st.integers(FUTURE_MS + 1, 10 * DAY_MS)
BEHIND = st.integers(LATENESS_MS + BUCKET_MS + BEHIND_W_MS, 30 * DAY_MS)
# Still in time, in whichever bucket it falls.
SLOW = st.integers(0, LATENESS_MS)
SOME = {"max_size": 5}
# Each wrong clock sends so many events at once: a partial may hold more than one.
EACH = 2


@cache
def healthy() -> list[list[Record]]:
    log = logs.events(EVENTS, seed=11)
    return logs.topic(log, PARTITIONS, 5, QUIET_MS)


@cache
def value(event_ms: int) -> bytes:
    return as_json(logs.events(1, seed=event_ms % 1_000, start_ms=event_ms)[0])


@cache
def stored(partition: int) -> list[Stored]:
    """Write a healthy partition as Kafka would hold it."""
    return [
        Stored(
            "events", partition, -1, one.record_ms, 1, None,
            as_json(one.event) if one.event else b"", [TICK] if one.tick else [],
        )
        for one in healthy()[partition]
    ]  # fmt: skip


def injected(skews: Sequence[int], seed: int) -> list[list[Stored]]:
    """Let clocks that are so far ahead of their records, or behind, send into the middle."""
    found = [list(stored(partition)) for partition in range(PARTITIONS)]
    for i, skew in enumerate(skews):
        records = found[(seed + i) % PARTITIONS]
        middle = len(records) // 2
        at = middle // 2 + (seed * 31 + i * 97) % middle
        sent = value(records[at].timestamp + skew)
        records[at:at] = [records[at]._replace(value=sent, headers=[])] * EACH
    return [[r._replace(offset=n) for n, r in enumerate(records)] for records in found]


def observed(records: Sequence[Stored], *, scans: bool) -> list[Pane]:
    book = logs.book(logs.profile())
    observer = Observer(("events", records[0].partition, PARTITIONS), book, PANE_MS)
    scanner = Scanner(book, CONFIG.limits) if scans else None
    return observer.feed(batch_of(Records.of(records), CONFIG, scanner))


# Each case is small: to shrink one takes minutes.
@settings(max_examples=30, phases=(Phase.explicit, Phase.generate))
@given(
    st.lists(AHEAD, **SOME),
    st.lists(TOO_FAR, **SOME),
    st.lists(BEHIND, **SOME),
    st.lists(SLOW, **SOME),
    st.booleans(),
    st.integers(0, 1_000),
)
@example([1, FUTURE_MS], [FUTURE_MS + 1], [DAY_MS], [0, LATENESS_MS], True, 0)
@example([1, FUTURE_MS], [FUTURE_MS + 1], [DAY_MS], [0, LATENESS_MS], False, 0)
def test_what_is_accepted_late_and_too_far_ahead_is_what_was_injected(
    ahead: list[int], too_far: list[int], behind: list[int], slow: list[int], scans: bool, seed: int
) -> None:
    skews = [*ahead, *too_far, *(-by for by in (*behind, *slow))]
    spread = injected(skews, seed)
    judging = Judging(logs.book(logs.profile()), SEMANTICS, SUMMARIES, metrics=False)
    for records in spread:
        panes = observed(records, scans=scans)
        # The broker's clock bounds every other one.
        for pane in panes:
            assert pane.clock.w <= records[pane.header.o].timestamp
        for pane in panes:
            list(judging.take(pane))
    late, refused = EACH * len(behind), EACH * len(too_far)
    accepted = EVENTS + EACH * (len(ahead) + len(slow)) + late
    assert judging.totals == Totals(
        read=sum(map(len, healthy())) + EACH * len(skews),
        accepted=accepted,
        rejected=Counter(time_future=refused),
        late=late,
        judged=accepted - late,
    )
