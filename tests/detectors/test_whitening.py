"""Whitening: ARMA(1,1) is recovered, white noise is left alone, and what remains is white."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

from detectors.whitening import (
    cautious,
    fit_arma,
    inherited,
    latent_share,
    long_run,
    whiten,
)


def latent(m: int, phi: float, share: float, seed: int) -> NDArray[np.float64]:
    """Draw a latent AR(1) with `share` of the variance, under white noise."""
    draw = np.random.default_rng(seed)
    e = draw.normal(0, np.sqrt(1 - phi * phi), m + 500)
    cause: NDArray[np.float64] = lfilter([1.0], [1.0, -phi], e)[500:]
    return np.sqrt(share) * cause + np.sqrt(1 - share) * draw.normal(0, 1, m)


@pytest.mark.parametrize("seed", range(10))
def test_white_noise_has_no_memory(seed: int) -> None:
    z = np.random.default_rng(seed).normal(0, 1, 2_000)
    assert fit_arma(z) == (0.0, 0.0)


@pytest.mark.parametrize(("phi", "share"), [(0.5, 0.8), (0.9, 0.8), (0.9, 0.3)])
def test_a_latent_cause_is_recovered_and_what_remains_is_white(phi: float, share: float) -> None:
    z = latent(8_000, phi, share, seed=1)
    found, theta = fit_arma(z)
    w = whiten(z, found, theta)
    assert phi == pytest.approx(found, abs=0.1)
    assert abs(np.corrcoef(w[1:], w[:-1])[0, 1]) < 0.05
    assert long_run(w / w.std()) < 1.5
    assert long_run(z / z.std()) > 1.5


def test_an_ar1_alone_leaves_slow_waves() -> None:
    z = latent(8_000, 0.9, 0.3, seed=2)
    ar1 = whiten(z, float(np.corrcoef(z[1:], z[:-1])[0, 1]), 0.0)
    arma = whiten(z, *fit_arma(z))
    assert long_run(ar1 / ar1.std()) > 2 * long_run(arma / arma.std())


@pytest.mark.parametrize(("phi", "share"), [(0.9, 0.5), (0.5, 0.3), (0.95, 0.1)])
def test_what_a_slice_inherits_whitens_a_stream_of_that_kind(phi: float, share: float) -> None:
    found, theta = inherited(phi, 1.0, share)
    assert (phi, True) == (found, 0 <= theta <= phi)
    w = whiten(latent(50_000, phi, share, seed=3), found, theta)
    assert abs(np.corrcoef(w[1:], w[:-1])[0, 1]) < 0.02


def test_a_block_that_spans_many_of_the_parents_has_little_of_its_memory() -> None:
    assert inherited(0.9, 5.0, 0.5)[0] == pytest.approx(0.9**5)
    assert inherited(0.5, 20.0, 0.5) == (0.0, 0.0)
    assert inherited(0.9, 1.0, 0.0) == (0.0, 0.0)


def test_phi_is_raised_by_bias_and_one_standard_error_and_stays_below_one() -> None:
    assert cautious(0.0, 100) == 0.0
    assert cautious(0.5, 400) == pytest.approx(0.5 + 2.5 / 400 + np.sqrt(0.75 / 400))
    assert cautious(0.99, 30) == 0.995


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_the_part_of_a_slow_cause_is_measured_where_no_single_lag_shows_it(share: float) -> None:
    found = [latent_share(latent(4_000, 0.9, share, seed), 0.9) for seed in range(20)]
    assert share == pytest.approx(np.mean(found), abs=0.02)


def test_where_there_is_no_cause_a_long_reference_finds_none_and_a_short_one_is_cautious() -> None:
    white = np.random.default_rng(4).normal(0, 1, (60, 4_000))
    assert np.mean([latent_share(z, 0.9) for z in white]) < 0.005
    short = [latent_share(z[:672], 0.9) for z in white]
    assert 0.01 < np.mean(short) < 0.05
    assert latent_share(white[0], 0.0) == 0.0
