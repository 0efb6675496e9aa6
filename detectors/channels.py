"""A reference's events to channels and slices: what a profile fixes before anything is counted."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.alert import nine_digits
from detectors.columns import NEW_VERSION, raw_values, slice_values
from detectors.events import Event, canonical
from detectors.profile import Channel
from detectors.season import Calendar

__all__ = [
    "BINS",
    "RATE",
    "FitOptions",
    "categorical_channel",
    "find_channels",
    "find_slices",
    "find_versions",
    "numeric_channel",
]

BINS = 32
RATE = Channel(name="rate", kind="rate")
OCCURRENCES_MIN = 10
_TWO_VALUED = 2
_WHOLE = 0.999


class FitOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the choices of a fit; None means: propose it from the traffic.

    A reference of fewer than `learn_days` days, or a stream of all events of fewer than
    `learn_blocks` blocks, cannot support a claim: such streams are shown and do not alarm.
    """

    bucket_seconds: int | None = None
    block_events: int = 50
    block_seconds: int | None = None
    by: tuple[tuple[str, ...], ...] | None = None
    share_min: float = 0.005
    categories_max: int = 200
    streams_max: int = 20_000
    learn_days: float = 2.0
    learn_blocks: int = 500
    calendar: Calendar = Calendar()


def _values(events: Sequence[Event]) -> Iterator[tuple[str, list[Any]]]:
    """Give each channel that any event carries, with its values, in a fixed order.

    One pass over the events for all names: a reference may hold very many.
    """
    for name in ("prediction", "error", "latency"):
        yield name, raw_values(events, name)
    for kind, objects in (
        ("feature", (e.features for e in events)),
        ("attribution", (e.attributions for e in events)),
        ("metric", (e.metrics for e in events)),
    ):
        found: dict[str, list[Any]] = defaultdict(list)
        for named in objects:
            for name, value in named.items():
                found[name].append(value)
        for name in sorted(found):
            yield f"{kind}:{name}", found[name]


def _edges(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Cut a number's range at the reference's quantiles, each a value that occurred."""
    low, high = float(values.min()), float(values.max())
    cuts = np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1], method="inverted_cdf")
    inner = [float(c) for c in np.unique(cuts) if c < high]
    return (float(np.nextafter(low, -np.inf)), *inner, high)


def numeric_channel(name: str, values: NDArray[np.float64]) -> Channel:
    """Make a numeric channel: centred at the median, scaled by half the middle 68 %.

    Where those are one value, the scale is half of the first wider middle that is not.  The
    centre is not rounded: values far from zero would be off by many scales.
    """
    centre = float(np.quantile(values, 0.5, method="inverted_cdf"))
    for tail in (0.16, 0.05, 0.01, 0.0):
        low, high = np.quantile(values, (tail, 1 - tail), method="inverted_cdf").tolist()
        if low < high:
            break
    return Channel(
        name=name,
        kind="numeric",
        centre=centre,
        scale=nine_digits(high / 2 - low / 2),
        edges=_edges(values),
    )


def categorical_channel(name: str, values: Sequence[str], categories_max: int = 200) -> Channel:
    """Make a categorical channel of the most frequent texts that occur 10 times or more."""
    frequent = [(-n, text) for text, n in Counter(values).items() if n >= OCCURRENCES_MIN]
    kept = sorted(text for _, text in sorted(frequent)[:categories_max])
    return Channel(name=name, kind="categorical", categories=tuple(kept))


def _channel(name: str, raw: list[Any], options: FitOptions) -> Channel | None:
    """Decide what a channel is; None where there is nothing to watch."""
    values = [v for v in raw if v is not None]
    if len(values) < OCCURRENCES_MIN:
        return None
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        numbers = np.array(values, np.float64)
        if len(np.unique(numbers)) > _TWO_VALUED:
            return numeric_channel(name, numbers)
    found = categorical_channel(name, [canonical(v) for v in values], options.categories_max)
    return found if found.categories else None


def find_channels(events: Sequence[Event], options: FitOptions) -> tuple[Channel, ...]:
    """Find the channels of a reference as a profile has them: numeric first, the rate last."""
    found = [_channel(name, raw, options) for name, raw in _values(events)]
    known = [c for c in found if c is not None]
    return (*sorted(known, key=lambda c: c.kind != "numeric"), RATE) if known else ()


def find_slices(events: Sequence[Event], options: FitOptions) -> tuple[dict[str, str], ...]:
    """Find the slices with enough of the traffic, the largest first within a key.

    A value that nearly all events share is no slice: it would repeat what `all` says.  Where
    events name their model's version, those of a version that the reference has not seen are a
    slice of their own, so that a deployment is watched from its first event.
    """
    keys = sorted(set(chain.from_iterable(e.segments for e in events)) | {"version"})
    groups = options.by if options.by is not None else tuple((key,) for key in keys)
    slices: list[dict[str, str]] = [{}]
    for group in groups:
        columns = [slice_values(events, key) for key in group]
        counted = Counter(row for row in zip(*columns, strict=True) if None not in row)
        for row, n in sorted(counted.items(), key=lambda item: (-item[1], item[0])):
            enough = max(OCCURRENCES_MIN, options.share_min * len(events))
            if enough <= n <= _WHOLE * len(events):
                slices.append({k: v or "" for k, v in zip(group, row, strict=True)})
        if group == ("version",) and any(version is not None for version in columns[0]):
            slices.append(dict(NEW_VERSION))
    return tuple(slices)


def find_versions(events: Sequence[Event]) -> tuple[str, ...]:
    """List the versions of the model that the reference has seen."""
    counted = Counter(v for v in slice_values(events, "version") if v is not None)
    return tuple(sorted(v for v, n in counted.items() if n >= OCCURRENCES_MIN))
