"""Whitening: take out what a block owes to the block before it.

Slow causes (load, weather, a queue) make neighbouring blocks alike: a latent AR(1) under the
noise of sampling, which together are ARMA(1,1).  With z the standardised residuals

    w_t = z_t - phi z_{t-1} + theta w_{t-1}

is white.  An AR(1) alone would take the noise for a part of the cause, leave slow waves in w,
and quadruple the false alarms.

Sources: Alwan & Roberts 1988 (charts of residuals); Kendall 1954 (small-sample bias of phi).
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["cautious", "fit_arma", "inherited", "latent_share", "long_run", "whiten"]

_STEPS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.96, 0.98, 0.99)
_PHI_MAX = 0.995
_LAGS = 30
_WELL_KNOWN_BLOCKS = 500
_CAUTIOUS_BLOCKS = 1_000


@njit(cache=True)
def whiten(z: Any, phi: float, theta: float) -> Any:
    """Give w of a run of residuals z; nothing is known of the block before the first."""
    w = np.empty_like(z)
    before_z = before_w = 0.0
    for i in range(z.shape[0]):
        w[i] = z[i] - phi * before_z + theta * before_w
        before_z, before_w = z[i], w[i]
    return w


@njit(cache=True)
def _sum_of_squares(z: Any, phi: float, theta: float) -> float:
    """Give the conditional sum of squares, the first block left out."""
    total = before_w = 0.0
    before_z = z[0]
    for i in range(1, z.shape[0]):
        w = z[i] - phi * before_z + theta * before_w
        total += w * w
        before_z, before_w = z[i], w
    return total


def fit_arma(z: NDArray[np.float64]) -> tuple[float, float]:
    """Choose (phi, theta <= phi) by least squares on a grid, by BIC against none at all."""
    m = len(z)
    best, found = np.inf, (0.0, 0.0)
    for phi in _STEPS:
        for theta in (t for t in _STEPS if t < phi or t == phi == 0):
            squares = max(_sum_of_squares(z, phi, theta) / max(m - 1, 1), 1e-12)
            score = m * np.log(squares) + np.log(m) * ((phi > 0) + (theta > 0))
            if score < best:
                best, found = score, (phi, theta)
    return found


def cautious(phi: float, m: int) -> float:
    """Raise a fitted phi by Kendall's bias (1 + 3 phi) / m and one standard error."""
    if phi <= 0:
        return phi
    return float(min(_PHI_MAX, phi + (1 + 3 * phi) / m + np.sqrt((1 - phi * phi) / m)))


def inherited(phi: float, blocks: float, share: float) -> tuple[float, float]:
    """Give (phi, theta) of a stream that is too short to show them, from those of its parent.

    `blocks` is how many of the parent's blocks one of the stream's spans, `share` the part of
    its variance that is not sampling noise.  Of the latent AR(1) with noise follows the MA part:
    theta / (1 + theta^2) = phi (1 - s) / (s (1 - phi^2) + (1 - s) (1 + phi^2)).
    """
    phi = phi ** max(blocks, 1.0)
    noise = 1 - share
    if phi < 0.01 or share <= 0:
        return 0.0, 0.0
    ratio = phi * noise / (share * (1 - phi * phi) + noise * (1 + phi * phi))
    theta = 0.0 if ratio <= 0 else (1 - np.sqrt(max(1 - 4 * ratio * ratio, 0.0))) / (2 * ratio)
    return float(phi), float(min(theta, phi))


def latent_share(z: NDArray[np.float64], phi: float) -> float:
    """Estimate the part of z's variance that an AR(1) cause with this phi makes.

    Autocorrelations of such a z are s phi^k: the slope s of the first ones on phi^k is known to
    1 / sqrt(m sum phi^2k), far better than any one of them.  Below one standard error it is 0,
    but under 1,000 blocks, where it is that standard error too large instead.
    """
    m = len(z)
    if phi <= 0:
        return 0.0
    powers = phi ** np.arange(1, min(_LAGS, m // 4) + 1)
    centred = z - z.mean()
    lagged = [float(centred[k:] @ centred[:-k]) for k in range(1, len(powers) + 1)]
    share = np.array(lagged) / float(centred @ centred) @ powers / (powers @ powers)
    doubt = 1.0 / np.sqrt(m * (powers @ powers))
    if m < _CAUTIOUS_BLOCKS:
        return min(max(float(share), 0.0) + float(doubt), 1.0)
    return min(float(share), 1.0) if share > doubt else 0.0


def long_run(w: NDArray[np.float64]) -> float:
    """Measure how much more the mean of many blocks varies than if blocks were independent."""
    m = len(w)
    inflation, length = 1.0, 2
    while length <= m // 16:
        means = w[: m // length * length].reshape(-1, length).mean(axis=1)
        doubt = np.sqrt(2 * length / m) if m >= _WELL_KNOWN_BLOCKS else 0.0
        inflation = max(inflation, length * float(means.var()) * (1 - float(doubt)))
        length *= 2
    return inflation
