"""The judge of a large model: what its bench measures, and what a break of everything makes."""

from detectors.alert import Alert, Incident, encode
from detectors.judge import ModelJudge
from detectors.panes import UNSET
from detectors.policy import Policy
from driftline.bench.judge import Load, entries_of, judge_cost, large_profile

SMALL = Load(numeric=4, categorical=1, slices=260, events=260 * 55, panes=2, buckets=2)
RECORD_BYTES_MAX = 900_000


def test_every_stream_completes_a_block_in_every_bucket() -> None:
    cost = judge_cost(SMALL)
    assert cost.streams == 260 * 6
    assert cost.blocks == 260 * 5
    assert 0 < cost.detect_ms["p50"] < cost.publish_ms["p50"]


def test_a_break_of_a_whole_model_is_one_incident_that_fits_a_record() -> None:
    profile = large_profile(SMALL)
    judge = ModelJudge(profile, Policy(), "test", metrics=False)
    found: list[Alert | Incident] = []
    for i in range(12):
        for entry in entries_of(profile, SMALL, i, 0.0 if i < 2 else 1.5):
            judge.take(entry, UNSET, 0)
        ends_ms = (entry.bucket + 1) * profile.bucket_ms
        found += (e for e in judge.finalise(ends_ms) if isinstance(e, Alert | Incident))
    alerts = {one.id for one in found if isinstance(one, Alert)}
    incidents = {one.id for one in found if isinstance(one, Incident)}
    assert len(alerts) > 1_000
    assert incidents == {one.incident for one in found if isinstance(one, Alert)}
    assert len(incidents) == 1
    assert max(len(encode(one)) for one in found) < RECORD_BYTES_MAX
