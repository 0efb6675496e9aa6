"""Detectors by choice: each finds a break, is named in the alert, keeps its part of the budget."""

import numpy as np
import pytest
from shops import BLOCKS_A_DAY, BUCKET_SECONDS, MONDAY_MS, Shop, judged

from detectors.alert import Alert
from detectors.judge import ModelJudge
from detectors.panes import UNSET, Entry
from detectors.policy import Policy
from detectors.profile import Profile

REFERENCE = 14 * BLOCKS_A_DAY
CHANGE, END = REFERENCE + 200, REFERENCE + 320
EVENTS = 50


def shop(sigma: float, seed: int = 1) -> Shop:
    draw = np.random.default_rng(seed)
    buckets = np.repeat(np.arange(END), EVENTS)
    values = draw.normal(0, 1, (len(buckets), 2))
    values[buckets >= CHANGE, 0] += sigma
    return Shop(values, buckets, ("feature:a", "feature:b"))


def run(
    made: Shop, profile: Profile, chosen: tuple[str, ...], cut: int | None = None
) -> list[Alert]:
    """Judge everything, with a restart from a snapshot at bucket `cut`."""
    judge = ModelJudge(profile, Policy(), "config", detectors=chosen, metrics=False)
    base = MONDAY_MS // (BUCKET_SECONDS * 1000)
    found = []
    for cell in made.cells(profile, REFERENCE, END):
        if cut is not None and cell.bucket - base == cut:
            state = judge.snapshot()
            judge = ModelJudge(profile, Policy(), "config", detectors=chosen, metrics=False)
            judge.restore(state)
        judge.take(Entry("shop", profile.hash, cell.bucket, cell.events, cell.data), UNSET, 0)
        found += list(judge.finalise((cell.bucket + 1) * profile.bucket_ms))
    return [e for e in found if isinstance(e, Alert)]


CHOICES = ["adwin", "page_hinkley", "cusum", "ewma", "river:PageHinkley", "river:ADWIN"]


@pytest.mark.parametrize("name", CHOICES)
def test_a_detector_that_is_chosen_alarms_and_is_named(name: str) -> None:
    made = shop(1.0)
    profile = made.fit(REFERENCE, Policy())
    fired = [a for a in run(made, profile, (name,)) if a.revision == 0]
    assert {a.channel for a in fired} == {"feature:a"}
    assert name in fired[0].detectors
    assert fired[0].direction == "up"


def test_detectors_share_the_budget() -> None:
    made = shop(0.0)
    profile = made.fit(REFERENCE, Policy())
    alone, shared = (
        ModelJudge(profile, Policy(), "config", detectors=chosen).panel.score_threshold
        for chosen in (("sr",), ("sr", "cusum"))
    )
    np.testing.assert_allclose(2 * alone, shared)


@pytest.mark.parametrize("chosen", [("sr", "adwin"), ("cusum", "ewma"), ("river:ADWIN",)])
def test_a_restart_goes_on_with_the_same_alerts(chosen: tuple[str, ...]) -> None:
    made = shop(0.8, seed=3)
    profile = made.fit(REFERENCE, Policy())
    whole = run(made, profile, chosen)
    assert whole
    assert whole == run(made, profile, chosen, cut=CHANGE + 2)


def test_the_mixture_alone_is_the_default() -> None:
    made = shop(1.0)
    profile = made.fit(REFERENCE, Policy())
    default = [a for a in judged(made, profile, Policy(), REFERENCE) if isinstance(a, Alert)]
    assert default == run(made, profile, ("sr",))
