"""The Shiryaev-Roberts mixture: the threshold is the run length, and every step is the formula."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from detectors.drift.rare import MULTIPLIERS, RareBank
from detectors.drift.shiryaev_roberts import SHIFTS, ShiryaevRobertsBank, peak

NORMAL = (1.0, 0.0, 0.0)
SCORES = st.lists(st.floats(-5, 5), min_size=1, max_size=30)


def bank(
    streams: int = 1,
    statistics: int = 1,
    delta: float = 0.0,
    cumulants: tuple[float, ...] = NORMAL,
) -> ShiryaevRobertsBank:
    total = streams * statistics
    first = np.arange(streams + 1) * statistics
    return ShiryaevRobertsBank(first, np.full(total, delta), np.tile(cumulants, (total, 1)))


def feed(to: ShiryaevRobertsBank, scores: NDArray[np.float64], end: int, n: int = 50) -> None:
    """Give every stream a block [end - 1, end) with the given scores, one a statistic."""
    streams = len(to.evidence)
    counts = np.full(len(scores), n)
    starts = np.full(streams, end - 1)
    to.update(np.arange(streams), scores, (counts, scores * 2, counts * 3, starts))


def psi(shift: float, side: int, cumulants: tuple[float, ...]) -> float:
    v, kappa3, kappa4 = cumulants
    adverse = max(0.0, kappa3 if side == 0 else -kappa3)
    return v * shift**2 / 2 + adverse * shift**3 / 6 + kappa4 * shift**4 / 24


@given(SCORES, st.floats(0, 1), st.tuples(st.floats(0.5, 2), st.floats(-2, 2), st.floats(0, 5)))
def test_evidence_is_the_mean_of_the_recursion_of_the_docstring(
    scores: list[float], delta: float, cumulants: tuple[float, float, float]
) -> None:
    subject = bank(delta=delta, cumulants=cumulants)
    r = {(side, shift): 0.0 for side in (0, 1) for shift in SHIFTS.tolist()}
    for end, w in enumerate(scores, 1):
        feed(subject, np.array([w]), end)
        for (side, shift), old in r.items():
            x = w if side == 0 else -w
            step = math.exp(shift * (x - delta) - psi(shift, side, cumulants))
            r[side, shift] = (1 + old) * step
        assert subject.evidence[0] == pytest.approx(sum(r.values()) / 10, rel=1e-9)


@given(SCORES, st.floats(0, 1), st.tuples(st.floats(0.5, 2), st.floats(-2, 2), st.floats(0, 5)))
def test_peak_is_the_largest_evidence_that_a_bank_would_have_shown(
    scores: list[float], delta: float, cumulants: tuple[float, float, float]
) -> None:
    subject = bank(delta=delta, cumulants=cumulants)
    seen = []
    for end, w in enumerate(scores, 1):
        feed(subject, np.array([w]), end)
        seen.append(float(subject.evidence[0]))
    assert peak(np.array(scores), delta, np.array([cumulants])) == pytest.approx(
        max(seen), rel=1e-12
    )


def run_lengths(threshold: float, shift: float, seed: int, streams: int = 300) -> NDArray[np.int64]:
    """Run streams of N(shift, 1), clipped at 5, until each has reached the threshold."""
    draw = np.random.default_rng(seed)
    subject = bank(streams)
    found = np.zeros(streams, np.int64)
    for end in range(1, 30 * int(threshold)):
        feed(subject, np.clip(draw.normal(shift, 1, streams), -5, 5), end)
        found[(found == 0) & (subject.evidence >= threshold)] = end
        if found.all():
            return found
    raise AssertionError("a stream never reached the threshold")


def test_the_mean_time_to_a_false_alarm_is_at_least_the_threshold() -> None:
    lengths = run_lengths(400.0, 0.0, seed=1)
    error = lengths.std() / math.sqrt(len(lengths))
    assert 400 - 3 * error <= lengths.mean() <= 2 * 400 + 3 * error


@pytest.mark.parametrize("shift", [1.0, -1.0])
def test_a_shift_of_one_sigma_is_found_within_about_twenty_blocks(shift: float) -> None:
    assert run_lengths(0.5 * 10_000, shift, seed=2).mean() <= 21


def test_no_single_block_reaches_the_smallest_threshold() -> None:
    subject = bank()
    feed(subject, np.array([5.0]), 1)
    assert subject.evidence[0] < 0.5 * 10_000


def test_a_change_smaller_than_delta_gathers_nothing() -> None:
    draw = np.random.default_rng(3)
    subject = bank(100, delta=0.5)
    top = 0.0
    for end in range(1, 1_000):
        feed(subject, draw.normal(0.3, 1, 100), end)
        top = max(top, float(subject.evidence.max()))
    assert top < 5_000


@pytest.mark.parametrize(("size", "side"), [(1.5, 0), (-1.5, 1)])
def test_the_lead_names_statistic_side_onset_and_sums_of_a_change(size: float, side: int) -> None:
    draw = np.random.default_rng(4)
    subject = bank(2, statistics=3)
    seen = []
    for end in range(1, 101):
        scores = draw.normal(0, 1, 6)
        scores[4] += size * (end > 60)
        seen.append(float(scores[4]))
        feed(subject, scores, end)
        if subject.evidence[1] >= 5_000:
            break
    lead = subject.lead_of(1)
    assert (lead.statistic, lead.side) == (4, side)
    assert abs(lead.onset - 60) <= 7
    assert 60 < end <= 80
    blocks = end - lead.onset
    assert lead.n == 50 * blocks
    assert lead.units == 150 * blocks
    assert lead.value == pytest.approx(50 * 2 * sum(seen[lead.onset :]))


def test_a_change_from_the_first_block_on_begins_with_that_block() -> None:
    subject = bank()
    for end in range(1_001, 1_011):
        feed(subject, np.array([3.0]), end)
    assert subject.lead_of(0).onset == 1_000


def test_the_onset_is_near_the_change_however_long_the_quiet_before() -> None:
    draw = np.random.default_rng(12)
    errors = []
    for _ in range(60):
        subject = bank()
        for end in range(1, 600):
            feed(subject, np.clip(draw.normal(0.6 * (end > 300), 1, 1), -5, 5), end)
            if end > 300 and subject.evidence[0] >= 5_000:
                break
        errors.append(abs(subject.lead_of(0).onset - 300))
    assert np.median(errors) <= 10


def test_an_alarm_restarts_one_stream_and_leaves_the_others() -> None:
    subject = bank(2)
    for end in range(1, 11):
        feed(subject, np.array([2.0, 2.0]), end)
    other = float(subject.evidence[1])
    subject.reset(0)
    assert (subject.evidence[0], subject.evidence[1]) == (0.0, other)
    feed(subject, np.array([3.0, 0.0]), 11)
    fresh = bank()
    feed(fresh, np.array([3.0]), 11)
    assert subject.evidence[0] == fresh.evidence[0]
    assert subject.lead_of(0).onset == 10


def test_streams_without_a_new_block_keep_their_evidence() -> None:
    subject = bank(2)
    feed(subject, np.array([2.0, 2.0]), 1)
    before = subject.evidence.copy()
    counts = np.full(2, 50)
    since = (counts, counts * 1.0, counts, np.array([1, 1]))
    subject.update(np.array([1]), np.array([3.0, 3.0]), since)
    assert subject.evidence[0] == before[0]
    assert subject.evidence[1] > before[1]


def test_endless_evidence_stays_finite_and_falls_again() -> None:
    subject = bank()
    for end in range(1, 3_000):
        feed(subject, np.array([5.0]), end)
    assert math.isfinite(subject.evidence[0])
    for end in range(3_000, 3_400):
        feed(subject, np.array([0.0]), end)
    assert np.isfinite(subject.r).all()
    assert subject.r[0, 0, 4] < 10


def test_a_snapshot_in_mid_stream_goes_on_identically() -> None:
    draw = np.random.default_rng(5)
    first, second = bank(4, 2), bank(4, 2)
    for end in range(1, 50):
        feed(first, draw.normal(0.5, 1, 8), end)
    second.restore({name: array.copy() for name, array in first.snapshot().items()})
    for end in range(50, 80):
        scores = draw.normal(0.5, 1, 8)
        feed(first, scores, end)
        feed(second, scores, end)
    for name, array in first.snapshot().items():
        assert second.snapshot()[name].tolist() == array.tolist()
    assert second.lead_of(2) == first.lead_of(2)


def rare_bank(streams: int, rate: float, dispersion: float = 1.0) -> RareBank:
    return RareBank(np.full(streams, rate), np.full(streams, dispersion))


def feed_rare(to: RareBank, hits: NDArray[np.int64], end: int, n: int = 50) -> None:
    streams = len(hits)
    to.update(np.arange(streams), (hits, np.full(streams, n)), np.full(streams, end - 1))


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=20), st.floats(0.001, 0.4), st.floats(1, 4)
)
def test_rare_evidence_is_the_mean_of_poisson_likelihood_ratios(
    hits: list[int], rate: float, dispersion: float
) -> None:
    subject = rare_bank(1, rate, dispersion)
    r = [0.0] * 4
    for end, k in enumerate(hits, 1):
        feed_rare(subject, np.array([k]), end)
        for i, m in enumerate(MULTIPLIERS.tolist()):
            ratio = stats.poisson.logpmf(k, m * rate * 50) - stats.poisson.logpmf(k, rate * 50)
            r[i] = min((1 + r[i]) * math.exp(min(ratio / dispersion, 500)), 1e250)
        assert subject.evidence[0] == pytest.approx(sum(r) / 4, rel=1e-6)


def test_rare_things_at_their_bound_alarm_no_more_often_than_granted() -> None:
    draw = np.random.default_rng(6)
    streams, threshold = 300, 300.0
    subject = rare_bank(streams, 0.01)
    found = np.zeros(streams, np.int64)
    for end in range(1, 20_000):
        feed_rare(subject, draw.poisson(0.01 * 50, streams), end)
        found[(found == 0) & (subject.evidence >= threshold)] = end
        if found.all():
            break
    found[found == 0] = 20_000
    assert found.mean() >= threshold - 3 * found.std() / math.sqrt(streams)


def test_four_times_as_many_rare_things_are_found_soon_and_said_to_be_so_many() -> None:
    draw = np.random.default_rng(7)
    subject = rare_bank(1, 0.01)
    for end in range(1, 101):
        feed_rare(subject, draw.poisson(0.5 * (4 if end > 60 else 1), 1), end)
        if subject.evidence[0] >= 5_000 and end > 60:
            break
    lead = subject.lead_of(0)
    assert end <= 80
    assert 55 <= lead.onset <= 66
    assert lead.units / lead.n == pytest.approx(0.04, rel=0.5)


def test_one_block_full_of_unknown_things_is_enough() -> None:
    subject = rare_bank(1, 0.001)
    feed_rare(subject, np.array([50]), 1_001)
    assert subject.evidence[0] > 1e6
    assert subject.lead_of(0).onset == 1_000


def test_where_nothing_is_rare_there_is_no_evidence() -> None:
    subject = rare_bank(1, 0.0)
    feed_rare(subject, np.array([50]), 1)
    assert subject.evidence[0] == 0.0


def test_a_rare_snapshot_goes_on_identically() -> None:
    draw = np.random.default_rng(8)
    first, second = rare_bank(3, 0.01), rare_bank(3, 0.01)
    for end in range(1, 30):
        feed_rare(first, draw.poisson(1.0, 3), end)
    second.restore({name: array.copy() for name, array in first.snapshot().items()})
    for end in range(30, 50):
        hits = draw.poisson(1.0, 3)
        feed_rare(first, hits, end)
        feed_rare(second, hits, end)
    for name, array in first.snapshot().items():
        assert second.snapshot()[name].tolist() == array.tolist()
