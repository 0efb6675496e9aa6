"""Companions keep the budget they are granted, on any score that the reference allows."""

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors import companions
from detectors.companions import COMPANIONS, companion
from detectors.drift.adwin import AdwinBank
from detectors.drift.run_lengths import average_run_length, delays, ewma_run_length
from detectors.errors import ConfigError

each = pytest.mark.parametrize("name", COMPANIONS)


def watching(
    name: str, streams: int, steps: float = 2_000, delta: float = 0.0, variance: float = 1.0
) -> companions.Companion:
    every = np.ones(streams)
    return companion(name, steps * every, delta * every, variance * every)


@each
def test_false_alarms_come_as_often_as_granted(name: str) -> None:
    draw = np.random.default_rng(1)
    length = average_run_length(watching(name, 1_500), draw.standard_normal)
    assert length.low <= 2_000 * 1.1
    assert length.high >= 2_000 * 0.9


@each
def test_what_the_reference_allows_costs_no_more(name: str) -> None:
    draw = np.random.default_rng(2)
    allowed = watching(name, 600, delta=0.4, variance=1.44)
    length = average_run_length(allowed, lambda n: draw.normal(0.4, 1.2, n), steps_max=20_000)
    assert length.high >= 2_000 * 0.9


@each
def test_an_allowance_is_what_spares_it(name: str) -> None:
    draw = np.random.default_rng(3)
    lengths = []
    for delta in (0.0, 0.6):
        subject = watching(name, 200, delta=delta)
        index = np.tile(np.arange(200), 100)
        subject.update(index, draw.normal(0.0, 1.0, 20_000))
        after = average_run_length(subject, lambda n: draw.normal(0.6, 1.0, n), steps_max=1_000)
        lengths.append(after.mean)
    assert lengths[1] > 3 * lengths[0]


@each
@pytest.mark.parametrize("shift", [1.5, -1.5])
def test_a_shift_is_found_both_ways(name: str, shift: float) -> None:
    draw = np.random.default_rng(4)
    subject = watching(name, 300, steps=10_000)
    assert delays(subject, draw.standard_normal, lambda n: draw.normal(shift, 1.0, n)).mean < 16


@each
def test_who_is_granted_nothing_never_alarms(name: str) -> None:
    draw = np.random.default_rng(5)
    subject = watching(name, 10, steps=np.inf)
    assert not subject.update(np.tile(np.arange(10), 5_000), draw.normal(size=50_000)).any()


@pytest.mark.parametrize("name", [*COMPANIONS, "river:ADWIN"])
def test_a_restart_and_a_reset_concern_only_what_they_name(name: str) -> None:
    draw = np.random.default_rng(6)
    scores: NDArray[np.float64] = draw.normal(0.5, 1.0, (400, 3))
    first, second = watching(name, 3, steps=500), watching(name, 3, steps=500)
    every = np.arange(3)
    for row in scores[:200]:
        first.update(every, row)
    first.reset(np.array([1]))
    second.restore(first.snapshot())
    fresh = watching(name, 3, steps=500)
    for row in scores[200:]:
        flags = first.update(every, row)
        assert second.update(every, row).tolist() == flags.tolist()
        assert fresh.update(every, row)[1] == flags[1]


def test_scores_are_divided_by_the_sd_of_their_own_statistic() -> None:
    subject = companion("cusum", np.full(2, 1e4), np.zeros(2), np.array([1.0, 9.0]))
    index = np.tile([0, 1], 12)
    found = np.flatnonzero(subject.update(index, np.tile([2.0, 6.0], 12)))
    assert found.tolist() == [10, 11, 22, 23]


def test_the_table_of_the_ewma_is_that_of_the_markov_chain() -> None:
    for limit, length in companions._EWMA_RUN_LENGTHS:
        assert ewma_run_length(companions._WEIGHT, limit, states=401) == pytest.approx(
            length, rel=1e-3
        )
    # Between its rows too.
    for steps in (500.0, 1e4, 3e5, 1e9):
        limit = companions._ewma_limit(steps)
        found = ewma_run_length(companions._WEIGHT, limit, states=401)
        assert found == pytest.approx(steps, rel=0.01)


def test_the_table_of_adwin_can_be_measured_again() -> None:
    for delta, length in companions._ADWIN_RUN_LENGTHS[:2]:
        draw = np.random.default_rng(7)
        found = average_run_length(AdwinBank(800, delta=delta, clock=1), draw.standard_normal)
        assert 0.95 * found.low <= length <= 1.05 * found.high


def test_between_and_beyond_the_table_more_steps_mean_less_significance() -> None:
    steps = [100.0, 1_090.0, 2_000.0, 409_000.0, 1e9, 1e15]
    chosen = [companions._significance(a) for a in steps]
    assert chosen == sorted(chosen, reverse=True)
    assert chosen[1] == pytest.approx(0.5)
    assert chosen[3] == pytest.approx(0.005)
    assert 0 < chosen[-1] < 1e-9


@pytest.mark.parametrize(
    ("name", "near"), [("adwim", "adwin"), ("PageHinkley", "page_hinkley"), ("cusums", "cusum")]
)
def test_an_unknown_name_is_told_the_near_one(name: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean '{near}'"):
        watching(name, 1)


def test_any_detector_of_river_runs_on_standardised_scores() -> None:
    draw = np.random.default_rng(8)
    subject = watching("river:PageHinkley", 1, variance=4.0)
    quiet = subject.update(np.zeros(300, np.int64), draw.normal(0, 2, 300))
    after = subject.update(np.zeros(60, np.int64), draw.normal(6, 2, 60))
    assert (quiet.any(), after.any()) == (False, True)
