"""What one stream was like in one block: the metric record."""

import numpy as np
from numpy.typing import NDArray

from detectors.alert import Block, Metric, instant, nine_digits
from detectors.blocks import Blocks
from detectors.panel import Panel
from detectors.profile import Channel
from detectors.summary.cells import UNIT

__all__ = ["binned_quantiles", "mean_and_sd", "measure"]

_QUANTILES = (0.05, 0.5, 0.95)


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
    edges = channel.edges
    below = np.cumsum(counts).tolist()
    total = below[-1]
    found = {}
    for q in _QUANTILES:
        target = q * total
        b = next(i for i, cumulated in enumerate(below) if cumulated >= target)
        if b == 0 or b == len(edges):
            value = edges[0] if b == 0 else edges[-1]
        else:
            inside = (target - below[b - 1]) / max(int(counts[b]), 1)
            value = edges[b - 1] + inside * (edges[b] - edges[b - 1])
        found[str(q)] = nine_digits(value)
    return found


def measure(panel: Panel, blocks: Blocks, j: int, end: int) -> Metric:
    """Make the metric of stream j's block that has just been scored and not yet cleared."""
    profile = panel.profile
    stream = profile.streams[j]
    channel = profile.channels[stream.channel]
    counts = blocks.bins(j)
    n = int(counts.sum())
    missing, _, total, high, low = blocks.extra[j].tolist()
    mean = sd = None
    quantiles: dict[str, float] = {}
    if stream.missing:
        mean, missing = nine_digits(int(counts[1]) / n), int(counts[1])
    elif channel.kind == "rate":
        mean = nine_digits(n / ((end - int(blocks.start[j])) * profile.bucket_seconds))
    elif channel.kind == "numeric" and n:
        mean, sd = map(nine_digits, mean_and_sd(channel, n, (total, high, low)))
        quantiles = binned_quantiles(channel, counts)
    where = profile.slices[stream.slice]
    span = (int(blocks.start[j]) * profile.bucket_ms, end * profile.bucket_ms)
    return Metric(
        model=profile.model,
        version=where.get("version"),
        channel=profile.stream_name(stream),
        slice=where,
        block=Block(*map(instant, span)),
        n=n,
        missing=missing,
        mean=mean,
        sd=sd,
        quantiles=quantiles,
        distances=panel.distances(j),
        scores=panel.scores(j),
        detectors=panel.verdicts(j, end),
        learning=stream.reference.learning,
        profile=profile.hash,
    )
