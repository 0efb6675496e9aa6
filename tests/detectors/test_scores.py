"""Scores: statistics from bin counts are those of the events, and always finite."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from detectors.blocks import Blocks, stream_table
from detectors.layout import layout_of
from detectors.profile import Channel, Profile, Reference, Span, Statistic, Stream
from detectors.scores import CLIP, SMOOTH, Scorer, influence_variances

EDGES = tuple(float(e) for e in range(12))
COUNTS = (0, 40, 90, 130, 200, 150, 120, 90, 70, 50, 35, 25, 0)
RARE = (0, 12)


def standardised(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give bins rising scores of mean 0 and variance 1 under the reference."""
    p = counts / counts.sum()
    x = np.sqrt(np.arange(len(counts)) + 1.0)
    x -= p @ x
    return x / np.sqrt(p @ (x * x))


X = standardised(np.array(COUNTS))


def smooth_reference(**changed: float) -> Reference:
    values = {"mean": 0.0, "within": 1.0, "between": 0.0, "sd": 1.0} | changed
    statistics = tuple(Statistic(name, kappa3=0.0, kappa4=0.0, **values) for name in SMOOTH)
    return Reference(
        COUNTS, 0.0, 1.0, 500, 1.0, 50.0, statistics, tuple(X.tolist()), RARE, 0.001, 1.0
    )


def share_reference(
    counts: tuple[int, ...], bins: tuple[int, ...], rare: tuple[int, ...] = ()
) -> Reference:
    shares = tuple(Statistic("share", 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, b) for b in bins)
    return Reference(counts, 0.0, 0.0, 500, 1.0, 50.0, shares, (), rare, 0.001, 1.0)


def profile_of(*references: Reference) -> Profile:
    channels = tuple(
        Channel(f"feature:{i}", "numeric", edges=EDGES)
        if r.scores
        else Channel(
            f"feature:{i}", "categorical", categories=tuple(map(str, range(len(r.counts) - 1)))
        )
        for i, r in enumerate(references)
    )
    return Profile(
        model="shop",
        reference=Span(0, 0, 0),
        bucket_seconds=10,
        block_events=50,
        block_seconds=60,
        channels=channels,
        slices=({},),
        streams=tuple(Stream(0, i, False, r) for i, r in enumerate(references)),
    )


def scored(reference: Reference, counts: list[int]) -> Scorer:
    """Score one block of one stream."""
    profile = profile_of(reference)
    layout = layout_of(profile)
    table = stream_table(profile, layout)
    blocks = Blocks(table, layout, (50, 6))
    blocks.counts[:] = counts
    blocks.start[:] = 0
    scorer = Scorer(profile, table, np.ones(len(reference.statistics)))
    scorer.score(np.array([0]), blocks, 1)
    return scorer


BLOCKS = st.lists(st.integers(0, 60), min_size=13, max_size=13)


@given(BLOCKS.filter(lambda counts: sum(counts[1:12]) > 1))
def test_moments_are_those_of_the_events_one_by_one(counts: list[int]) -> None:
    inside = counts.copy()
    inside[0] = inside[12] = 0
    x = np.repeat(X, inside)
    if x.var() < 0.05:
        return
    scorer = scored(smooth_reference(), counts)
    expected = [x.mean(), np.log(x.var()), stats.skew(x), stats.kurtosis(x, fisher=False)]
    expected[2:] = [np.clip(expected[2], -9, 9), min(expected[3], 30)]
    np.testing.assert_allclose(scorer.value, expected, rtol=1e-9, atol=1e-9)
    assert scorer.n.tolist() == [sum(inside)] * 4
    assert (scorer.rare[0], scorer.total[0]) == (counts[0] + counts[12], sum(counts))


@given(st.lists(st.one_of(st.integers(0, 3), st.just(1 << 40)), min_size=13, max_size=13))
def test_no_counts_make_a_score_that_is_not_finite(counts: list[int]) -> None:
    scorer = scored(smooth_reference(), counts)
    assert np.isfinite(scorer.value).all()
    assert np.isfinite(scorer.scores).all()
    assert (np.abs(scorer.scores) <= CLIP).all()


@given(st.lists(st.one_of(st.integers(0, 3), st.just(1 << 40)), min_size=4, max_size=4))
def test_no_counts_of_categories_make_a_score_that_is_not_finite(counts: list[int]) -> None:
    scorer = scored(share_reference((900, 90, 10, 0), (0, 1, 2)), counts)
    assert np.isfinite(scorer.value).all()
    assert (np.abs(scorer.scores) <= CLIP).all()


def contaminated(p: NDArray[np.float64], b: int, size: float) -> NDArray[np.float64]:
    """Give the four statistics of the reference with a little more weight on one bin."""
    q = (1 - size) * p
    q[b] += size
    mean = q @ X
    central = [q @ (X - mean) ** k for k in range(5)]
    return np.array(
        [mean, np.log(central[2]), central[3] / central[2] ** 1.5, central[4] / central[2] ** 2]
    )


def test_within_is_the_variance_of_the_numerical_influence_of_one_event() -> None:
    p = np.array(COUNTS) / sum(COUNTS)
    h = 1e-6
    influence = np.array(
        [(contaminated(p, b, h) - contaminated(p, b, -h)) / (2 * h) for b in range(13)]
    )
    expected = p @ influence**2 - (p @ influence) ** 2
    np.testing.assert_allclose(influence_variances(smooth_reference()), expected, rtol=1e-4)


def test_within_predicts_the_variance_of_simulated_blocks() -> None:
    draw = np.random.default_rng(5)
    n = 1_000
    blocks = draw.multinomial(n, np.array(COUNTS) / sum(COUNTS), 1_500)
    values = np.array([scored_values(counts) for counts in blocks])
    within = np.array(influence_variances(smooth_reference()))
    np.testing.assert_allclose(values.var(axis=0), within / n, rtol=0.2)


def scored_values(counts: NDArray[np.int64]) -> list[float]:
    x = np.repeat(X, counts)
    return [x.mean(), np.log(x.var()), stats.skew(x), stats.kurtosis(x, fisher=False)]


def test_a_score_is_the_distance_from_the_reference_in_its_block_sd() -> None:
    counts = [0, 0, 10, 10, 10, 10, 10, 10, 0, 0, 0, 0, 0]
    plain = scored(smooth_reference(), counts)
    tuned = scored(smooth_reference(mean=0.1, within=2.0, between=0.5, sd=1.5), counts)
    expected = (plain.value - 0.1) / np.sqrt(2.0 / 60 + 0.5) / 1.5
    np.testing.assert_allclose(tuned.scores, np.clip(expected, -5, 5), rtol=1e-12)


def test_one_event_far_out_among_many_alike_has_a_bounded_skew_and_tail() -> None:
    scorer = scored(smooth_reference(), [0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9_988, 0])
    assert scorer.value[2:].tolist() == [-9.0, 30.0]


def test_a_share_is_scored_against_its_part_of_the_values_that_are_not_rare() -> None:
    reference = share_reference((600, 300, 90, 10), (0, 1, 2), rare=(3,))
    scorer = scored(reference, [60, 30, 30, 40])
    p = np.array([600, 300, 90]) / 990
    expected = (np.array([60, 30, 30]) / 120 - p) / np.sqrt(p * (1 - p))
    np.testing.assert_allclose(scorer.value, expected, rtol=1e-12)
    assert (scorer.rare[0], scorer.total[0]) == (40, 160)
    assert scorer.n.tolist() == [120] * 3


def test_scores_are_clipped_at_five() -> None:
    scorer = scored(share_reference((999, 1), (1,)), [0, 500])
    assert scorer.scores.tolist() == [CLIP]


@pytest.mark.parametrize("rare_only", [[30] + [0] * 12, [0] * 12 + [30], [0] * 13])
def test_a_block_of_rare_values_alone_has_no_score_of_an_earlier_block(
    rare_only: list[int],
) -> None:
    profile = profile_of(smooth_reference())
    layout = layout_of(profile)
    table = stream_table(profile, layout)
    blocks = Blocks(table, layout, (50, 6))
    scorer = Scorer(profile, table, np.ones(4))
    blocks.counts[:] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 50, 0]
    blocks.start[:] = 0
    scorer.score(np.array([0]), blocks, 1)
    assert scorer.scores.any()
    blocks.counts[:] = rare_only
    scorer.score(np.array([0]), blocks, 1)
    assert scorer.scores.tolist() == [0.0] * 4
    assert scorer.n.tolist() == [0] * 4


def test_streams_that_did_not_close_keep_what_they_had() -> None:
    profile = profile_of(smooth_reference(), share_reference((500, 500), (1,)))
    layout = layout_of(profile)
    table = stream_table(profile, layout)
    blocks = Blocks(table, layout, (50, 6))
    blocks.counts[:] = 7
    blocks.start[:] = 0
    scorer = Scorer(profile, table, np.ones(5))
    scorer.score(np.array([1]), blocks, 1)
    assert scorer.n.tolist() == [0, 0, 0, 0, 14]


def test_a_stream_of_too_few_blocks_for_statistics_writes_nothing_beside_itself() -> None:
    few = msgspec.structs.replace(smooth_reference(), statistics=())
    profile = profile_of(few, smooth_reference())
    layout = layout_of(profile)
    table = stream_table(profile, layout)
    blocks = Blocks(table, layout, (50, 6))
    blocks.counts[:] = range(26)
    blocks.start[:] = 0
    scorer = Scorer(profile, table, np.ones(4))
    scorer.score(np.array([0]), blocks, 1)
    assert scorer.value.tolist() == [0.0] * 4
    assert scorer.total[0] == sum(range(13))
