"""What streams were like in their blocks: the metric records.

A model's streams are many and close together, so what they hold is worked out for all of them
at once, and only the records are made one by one.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.alert import Block, Metric, instant, nine_digits
from detectors.blocks import Blocks
from detectors.distances import jensen_shannon, psi
from detectors.layout import Layout
from detectors.panel import Panel
from detectors.profile import Channel, Profile
from detectors.rounding import rounded
from detectors.summary.cells import UNIT

__all__ = ["Gauges", "binned_quantiles", "mean_and_sd"]

_QUANTILES = (0.05, 0.5, 0.95)
_LEVELS = np.array(_QUANTILES)
_NAMES = tuple(map(str, _QUANTILES))
_NUMBER, _CATEGORY, _MISSING, _RATE = range(4)
_SHARE_OR_RATE = {_MISSING, _RATE}
# Integers up to here are floats.
_EXACT_MAX = 1 << 53


def mean_and_sd(channel: Channel, n: int, sums: tuple[int, int, int]) -> tuple[float, float]:
    """Give mean and standard deviation in units from (sum q, high, low limb of sum q squared).

    The sums are exact integers; floats begin with the divisions here.

    >>> mean_and_sd(Channel("x", "numeric", centre=10.0, scale=2.0), 2, (1024, 0, 1024 * 1024))
    (11.0, 1.0)
    """
    total, high, low = sums
    squares = (high << 32) + low
    mean = total / (UNIT * n)
    variance = max(n * squares - total * total, 0) / (UNIT * UNIT * n * n)
    return channel.centre + channel.scale * mean, channel.scale * float(np.sqrt(variance))


def binned_quantiles(channel: Channel, counts: NDArray[np.int64]) -> dict[str, float]:
    """Interpolate quantiles within the reference's bins; beyond them, give the outer edge.

    >>> channel = Channel("x", "numeric", edges=(0.0, 1.0, 2.0))
    >>> binned_quantiles(channel, np.array([0, 10, 10, 0]))["0.5"]
    1.0
    """
    found = np.empty(len(_QUANTILES))
    _quantiles(counts, np.array(channel.edges), found)
    return dict(zip(_NAMES, map(nine_digits, found.tolist()), strict=True))


@njit(cache=True)
def _quantiles(counts: Any, edges: Any, out: Any) -> None:
    """Write the quantiles of one block."""
    total = counts.sum()
    for i in range(_LEVELS.shape[0]):
        target = _LEVELS[i] * total
        b = 0
        below = np.int64(0)
        while below + counts[b] < target:
            below += counts[b]
            b += 1
        if b == 0:
            out[i] = edges[0]
        elif b == edges.shape[0]:
            out[i] = edges[-1]
        else:
            inside = (target - below) / max(counts[b], 1)
            out[i] = edges[b - 1] + inside * (edges[b] - edges[b - 1])


@njit(cache=True)
def _mean_and_sd(n: int, sums: Any, scales: Any, out: Any) -> bool:
    """Write mean and sd in units; False where they need longer integers."""
    total, squares = sums[2], (sums[3] << 32) + sums[4]
    centre, scale = scales
    whole = float(UNIT * UNIT) * float(n) * float(n)
    if sums[3] >= 1 << 30 or float(n) * float(squares) >= 2.0**62 or whole >= _EXACT_MAX:
        return False
    if abs(total) >= 1 << 31:
        return False
    spread = max(n * squares - total * total, 0)
    if spread >= _EXACT_MAX:
        return False
    out[0] = centre + scale * (total / (UNIT * n))
    out[1] = scale * np.sqrt(spread / whole)
    return True


@njit(cache=True)
def _gauge(closed: Any, blocks: Any, known: Any, out: Any) -> None:
    """Write counts, distances, quantiles, mean and sd of the closed streams."""
    first, counts, extra, seconds = blocks
    kind, channel, reference, edges, edge_start, centre, scale = known
    n_of, missing, distances, quantiles, moments, unsure = out
    for i in range(closed.shape[0]):
        j = closed[i]
        own = counts[first[j] : first[j + 1]]
        n = own.sum()
        n_of[i] = n
        missing[i] = extra[j, 0]
        moments[i] = np.nan
        if kind[j] == _RATE:
            moments[i, 0] = n / seconds[i]
            continue
        expected = reference[first[j] : first[j + 1]]
        distances[i, 0] = psi(own, expected)
        distances[i, 1] = jensen_shannon(own, expected)
        if kind[j] == _MISSING:
            moments[i, 0] = own[1] / n
            missing[i] = own[1]
        elif kind[j] == _NUMBER and n > 0:
            c = channel[j]
            _quantiles(own, edges[edge_start[c] : edge_start[c + 1]], quantiles[i])
            unsure[i] = not _mean_and_sd(n, extra[j], (centre[c], scale[c]), moments[i])


class Gauges:
    """Measure the blocks of one model's streams when they have been scored."""

    def __init__(self, panel: Panel, blocks: Blocks, layout: Layout) -> None:
        """Prepare what never changes: names, kinds, and the reference's counts."""
        profile = panel.profile
        self._panel, self._blocks, self._profile = panel, blocks, profile
        kinds = [_kind(profile, j) for j in range(len(profile.streams))]
        reference = np.zeros(int(blocks.table.first[-1]), np.int64)
        for j, stream in enumerate(profile.streams[: blocks.table.binned]):
            reference[blocks.table.first[j] : blocks.table.first[j + 1]] = stream.reference.counts
        scale = np.array([c.scale for c in profile.channels[: layout.numeric]], np.float64)
        numbers = (layout.edges, layout.edge_start, layout.centre, scale)
        self._known = (np.array(kinds, np.int64), blocks.table.channel, reference, *numbers)
        self._kinds = kinds
        self._names = [profile.stream_name(stream) for stream in profile.streams]

    def measure(self, closed: NDArray[np.int64], end: int, late: int) -> Iterator[Metric]:
        """Make the metrics of blocks that have just been scored and not yet cleared."""
        profile, panel = self._profile, self._panel
        n, missing, distances, quantiles, moments = self._arrays(closed, end)
        scores = panel.scores(closed)
        strengths, verdicts = panel.verdicts(closed, end)
        starts = self._blocks.start[closed].tolist()
        spans = {s: self._span(s, end) for s in set(starts)}
        for i, j in enumerate(closed.tolist()):
            stream, kind = profile.streams[j], self._kinds[j]
            where = profile.slices[stream.slice]
            number = kind == _NUMBER and n[i] > 0
            own = quantiles[3 * i : 3 * i + 3] if number else ()
            told = {} if kind == _RATE else {"psi": distances[2 * i], "js": distances[2 * i + 1]}
            yield Metric(
                model=profile.model,
                version=where.get("version"),
                channel=self._names[j],
                slice=where,
                block=spans[starts[i]],
                n=n[i],
                missing=missing[i],
                mean=moments[2 * i] if number or kind in _SHARE_OR_RATE else None,
                sd=moments[2 * i + 1] if number else None,
                quantiles=dict(zip(_NAMES, own, strict=False)),
                distances=told,
                scores=scores[i],
                detectors={"sr": strengths[i], **verdicts[i]},
                late=late,
                learning=stream.reference.learning,
                profile=profile.hash,
            )

    def _span(self, start: int, end: int) -> Block:
        ms = self._profile.bucket_ms
        return Block(instant(start * ms), instant(end * ms))

    def _arrays(self, closed: NDArray[np.int64], end: int) -> tuple[list[Any], ...]:
        """Work out n, missing, distances, quantiles, and mean and sd, as lists of their rows."""
        blocks, profile = self._blocks, self._profile
        size = len(closed)
        n, missing = np.zeros(size, np.int64), np.zeros(size, np.int64)
        distances, quantiles = np.zeros((size, 2)), np.zeros((size, len(_QUANTILES)))
        moments, unsure = np.zeros((size, 2)), np.zeros(size, np.bool_)
        seconds = (end - blocks.start[closed]) * profile.bucket_seconds
        _gauge(
            closed,
            (blocks.table.first, blocks.counts, blocks.extra, seconds),
            self._known,
            (n, missing, distances, quantiles, moments, unsure),
        )
        for i in np.flatnonzero(unsure).tolist():
            j = int(closed[i])
            channel = profile.channels[profile.streams[j].channel]
            sums = blocks.extra[j].tolist()
            moments[i] = mean_and_sd(channel, int(n[i]), (sums[2], sums[3], sums[4]))
        floats = (distances, quantiles, moments)
        return (n.tolist(), missing.tolist(), *(rounded(array.ravel()) for array in floats))


def _kind(profile: Profile, j: int) -> int:
    """Say what a stream's records tell: of numbers, categories, missing values, or a rate."""
    stream = profile.streams[j]
    if stream.missing:
        return _MISSING
    kinds = {"numeric": _NUMBER, "categorical": _CATEGORY, "rate": _RATE}
    return kinds[profile.channels[stream.channel].kind]
