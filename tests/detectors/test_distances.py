"""Distances between histograms against their formulas, written with math."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.distances import jensen_shannon, psi

Distance = Callable[[np.ndarray, np.ndarray], float]
histogram = st.lists(st.integers(0, 10**9), min_size=5, max_size=5).filter(any)
derandomised = settings(derandomize=True, deadline=None, max_examples=200)


def array(counts: list[int]) -> np.ndarray:
    return np.array(counts, dtype=np.int64)


@derandomised
@given(histogram, histogram)
def test_psi_is_its_formula_with_half_an_event_added_to_each_bin(
    counts: list[int], reference: list[int]
) -> None:
    p = [(k + 0.5) / (sum(counts) + 2.5) for k in counts]
    q = [(k + 0.5) / (sum(reference) + 2.5) for k in reference]
    expected = math.fsum((a - b) * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert psi(array(counts), array(reference)) == pytest.approx(expected, rel=1e-12, abs=1e-14)


@derandomised
@given(histogram, histogram)
def test_jensen_shannon_is_its_formula_and_lies_in_0_to_ln_2(
    counts: list[int], reference: list[int]
) -> None:
    p = [k / sum(counts) for k in counts]
    q = [k / sum(reference) for k in reference]
    expected = 0.5 * math.fsum(
        a * math.log(a / (0.5 * (a + b)))
        for pair in zip(p, q, strict=True)
        for a, b in (pair, pair[::-1])
        if a > 0
    )
    found = jensen_shannon(array(counts), array(reference))
    assert 0.0 <= found <= math.log(2)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-14)


@derandomised
@given(histogram, histogram)
def test_both_are_symmetric_up_to_rounding(counts: list[int], reference: list[int]) -> None:
    for distance in (psi, jensen_shannon):
        there = distance(array(counts), array(reference))
        assert there == pytest.approx(distance(array(reference), array(counts)), abs=1e-12)


@pytest.mark.parametrize("distance", [psi, jensen_shannon])
def test_equal_counts_have_no_distance(distance: Distance) -> None:
    assert distance(array([3, 0, 9]), array([3, 0, 9])) == 0.0


def test_histograms_without_overlap_are_ln_2_apart() -> None:
    assert jensen_shannon(array([7, 0]), array([0, 9])) == math.log(2)


@pytest.mark.parametrize("distance", [psi, jensen_shannon])
def test_a_side_without_events_has_no_distance(distance: Distance) -> None:
    assert math.isnan(distance(array([0, 0]), array([1, 2])))
    assert math.isnan(distance(array([1, 2]), array([0, 0])))


@pytest.mark.parametrize("distance", [psi, jensen_shannon])
def test_different_numbers_of_bins_are_refused(distance: Distance) -> None:
    with pytest.raises(ValueError, match="same number of bins"):
        distance(array([1, 2, 3]), array([1, 2]))
