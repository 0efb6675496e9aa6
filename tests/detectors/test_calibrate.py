"""Calibration: what the blocks of a reference say about one stream and one statistic."""

import numpy as np
import pytest
from scipy import stats

from detectors.calibrate import rare_rate


@pytest.mark.parametrize("hits", [0, 1, 2, 5, 10, 100, 10_000])
@pytest.mark.parametrize("tails", [[], [3, 3, 3]])
def test_the_bound_of_a_rare_rate_is_the_gamma_quantile_within_3_percent(
    hits: int, tails: list[int]
) -> None:
    counts = np.array([hits, 1_000_000 - hits])
    rate, dispersion = rare_rate(counts, (0,), tails)
    exact = stats.gamma.ppf(0.999, hits + (2 if tails else 1)) / 1e6
    assert dispersion == 1.0
    assert rate == pytest.approx(exact, rel=0.03)


def test_a_rare_thing_that_comes_in_clusters_is_allowed_more() -> None:
    counts = np.array([0, 10_000, 0])
    steady, _ = rare_rate(counts, (0, 2), [10, 10, 10, 10])
    clustered, dispersion = rare_rate(counts, (0, 2), [0, 40, 0, 0])
    assert dispersion == pytest.approx(30.0)
    assert clustered == pytest.approx(30 * steady, rel=0.01)


def test_a_rate_is_never_bounded_above_one_half() -> None:
    assert rare_rate(np.array([30, 10]), (0,), [])[0] == 0.5
