"""The judge of one model: which partials are late, and in what order buckets become final."""

import logs
from logs import LATENESS_MS, SEMANTICS, START_MS

from detectors.alert import Metric
from detectors.columns import Extractor
from detectors.judge import ModelJudge
from detectors.layout import layout_of
from detectors.panes import FOREVER, UNSET, Entry
from detectors.summary.sums import summarise

BUCKET_MS = logs.profile().bucket_ms
FIRST = START_MS // BUCKET_MS


def entry(bucket: int, events: int = 3) -> Entry:
    """Make a partial of a bucket, counted from the first of the log."""
    profile = logs.profile()
    log = logs.events(events, start_ms=(FIRST + bucket) * BUCKET_MS, step_ms=1)
    (cell,) = summarise(Extractor(profile).columns(log), layout_of(profile))
    return Entry(profile.model, profile.hash, cell.bucket, cell.events, cell.data)


def judge() -> ModelJudge:
    return ModelJudge(logs.profile(), SEMANTICS.policy, SEMANTICS.config)


def end_of(bucket: int) -> int:
    return (FIRST + bucket + 1) * BUCKET_MS


def test_a_partial_is_late_once_its_own_partition_was_past_its_bucket_and_lateness() -> None:
    subject = judge()
    subject.take(entry(0), end_of(0) + LATENESS_MS - 1, LATENESS_MS)
    assert subject.counts.late == 0
    subject.take(entry(0), end_of(0) + LATENESS_MS, LATENESS_MS)
    assert subject.counts.late == 3


def test_a_partial_of_a_partition_that_never_had_an_event_is_not_late() -> None:
    subject = judge()
    subject.take(entry(0), UNSET, LATENESS_MS)
    assert subject.counts.late == 0


def test_a_partial_of_a_final_bucket_is_late_whatever_its_own_partition_says() -> None:
    subject = judge()
    subject.take(entry(0), UNSET, LATENESS_MS)
    list(subject.finalise(end_of(0)))
    subject.take(entry(0, events=2), UNSET, LATENESS_MS)
    assert (subject.counts.judged, subject.counts.late) == (3, 2)


def test_a_bucket_is_final_when_the_horizon_reaches_its_end() -> None:
    subject = judge()
    subject.take(entry(0), UNSET, LATENESS_MS)
    list(subject.finalise(end_of(0) - 1))
    assert subject.counts.judged == 0
    assert subject.pending_bytes == len(entry(0).data)
    list(subject.finalise(end_of(0)))
    assert subject.counts.judged == 3
    assert subject.pending_bytes == 0


def test_partials_of_one_bucket_add_up_and_buckets_become_final_in_order() -> None:
    first, second = judge(), judge()
    for bucket in (4, 0, 9, 0, 2):
        first.take(entry(bucket, 30), UNSET, LATENESS_MS)
    for bucket in (0, 0, 2, 4, 9):
        second.take(entry(bucket, 30), UNSET, LATENESS_MS)
    found = list(first.finalise(end_of(9)))
    assert found == list(second.finalise(end_of(9)))
    ends = [e.block.end for e in found if isinstance(e, Metric) and e.channel == "prediction"]
    assert ends == sorted(ends)
    assert len(ends) > 0


def test_late_events_are_told_in_the_block_that_the_partition_was_in() -> None:
    subject = judge()
    subject.take(entry(0, 60), UNSET, LATENESS_MS)
    list(subject.finalise(end_of(0)))
    subject.take(entry(0, 7), end_of(4), LATENESS_MS)
    found = []
    for bucket in (2, 5):
        subject.take(entry(bucket, 60), UNSET, LATENESS_MS)
        found.append([m for m in subject.finalise(end_of(bucket)) if m.channel == "prediction"])
    assert {m.late for m in found[0]} == {0}
    assert {m.late for m in found[1]} == {7}


def test_the_end_of_the_input_finalises_what_is_left() -> None:
    subject = judge()
    subject.take(entry(3, 30), UNSET, LATENESS_MS)
    found = list(subject.finalise(FOREVER))
    assert subject.counts.judged == 30
    assert {m.n for m in found if m.channel == "prediction" and not m.slice} == {30}


def test_time_that_passes_before_the_first_event_says_nothing() -> None:
    subject = judge()
    assert list(subject.finalise(end_of(1_000))) == []
    subject.take(entry(0), UNSET, LATENESS_MS)
    assert subject.counts.late == 0
