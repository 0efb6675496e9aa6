"""Events to columns: the values, category codes and slices of one model, as arrays.

What the profile names becomes a column; whatever else an event carries is not looked at.
"""

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.events import Event, canonical
from detectors.profile import Channel, Profile

__all__ = [
    "FOLDED",
    "NEW_VERSION",
    "Columns",
    "Extractor",
    "Group",
    "error_of",
    "raw_values",
    "slice_groups",
    "slice_values",
]

# The slice of events whose version the reference has not seen.
NEW_VERSION = {"version": "__other__"}
_NEW = tuple(NEW_VERSION.values())
# What is counted where the profile names no such thing.
FOLDED = ("feature", "category", "segment")

_STRINGS = {str, type(None)}
_OBJECTS = {"feature": "features", "attribution": "attributions", "metric": "metrics"}
_NO_SLICE = -1
_UNNAMED = -2
_MISSING_CODE = -1


@dataclass(frozen=True)
class Columns:
    """Hold n events of one model as arrays, in the order of the log.

    `values` is n x numeric channels (NaN = missing), `codes` n x categorical channels
    (-1 = missing), `slices` n x slice groups (-1 = in no slice of that group).
    """

    profile: Profile
    buckets: NDArray[np.int64]
    values: NDArray[np.float64]
    codes: NDArray[np.int32]
    slices: NDArray[np.int32]
    weights: NDArray[np.int64]
    folded: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        """Count the events."""
        return len(self.buckets)

    def part(self, low: int, high: int) -> "Columns":
        """Give events low…high (excluded), without copying; what is folded is not told apart."""
        return self._of(lambda array: array[low:high])

    def take(self, rows: NDArray[np.int64]) -> "Columns":
        """Copy the given events; what is folded is not told apart."""
        return self._of(lambda array: array[rows])

    def _of(self, chosen: Callable[[Any], Any]) -> "Columns":
        return Columns(
            profile=self.profile,
            buckets=chosen(self.buckets),
            values=chosen(self.values),
            codes=chosen(self.codes),
            slices=chosen(self.slices),
            weights=chosen(self.weights),
        )

    @classmethod
    def joined(cls, pieces: Sequence["Columns"]) -> "Columns":
        """Put the pieces of one pane together."""
        if len(pieces) == 1:
            return pieces[0]
        names = ("buckets", "values", "codes", "slices", "weights")
        arrays: dict[str, Any] = {n: np.concatenate([getattr(p, n) for p in pieces]) for n in names}
        return cls(profile=pieces[0].profile, **arrays)


def error_of(event: Event) -> float | str | None:
    """Measure how wrong a prediction was: "0" or "1" for a class, the distance for a number.

    The class decides where there is one; a score against a label of 0 or 1 gives |label - score|.
    """
    label = event.label
    if label is None:
        return None
    if event.predicted_class is not None:
        return "0" if canonical(label) == canonical(event.predicted_class) else "1"
    if event.score is None or isinstance(label, str):
        return None
    error = abs(float(label) - event.score)
    return error if math.isfinite(error) else None


def raw_values(events: Sequence[Event], channel: str) -> list[Any]:
    """Take one channel's raw values out of the events; None where there is none."""
    kind, _, name = channel.partition(":")
    if kind in _OBJECTS:
        return [found.get(name) for found in _objects(events, kind)]
    if kind == "prediction":
        return [e.score if e.score is not None else e.predicted_class for e in events]
    if kind == "error":
        return [error_of(e) for e in events]
    if kind == "latency":
        return [e.latency_seconds for e in events]
    raise ValueError(f"There is no channel named {channel!r}.")


def _objects(events: Sequence[Event], kind: str) -> list[dict[str, Any]]:
    """Take the object that holds one kind of channel out of each event."""
    field = _OBJECTS[kind]
    return [getattr(e, field) for e in events]


def slice_values(events: Sequence[Event], key: str) -> list[str | None]:
    """Take the value of one segment out of the events; `version` is a built-in segment."""
    if key == "version":
        return [e.segments.get(key, e.version) for e in events]
    return [e.segments.get(key) for e in events]


@dataclass(frozen=True)
class Group:
    """Hold the slices that name the same segments, of which an event is in one at most.

    `known` gives the slice of each combination of values (-1 for one that is in none and yet
    expected), `otherwise` the slice of all others that are complete.
    """

    keys: tuple[str, ...]
    known: Mapping[tuple[str | None, ...], int]
    otherwise: int = _NO_SLICE


def slice_groups(profile: Profile) -> tuple[Group, ...]:
    """Group a profile's slices by the segments that they name."""
    groups: dict[tuple[str, ...], dict[tuple[str | None, ...], int]] = {}
    for index, where in enumerate(profile.slices):
        if where:
            groups.setdefault(tuple(where), {})[tuple(where.values())] = index
    found = []
    for keys, indices in groups.items():
        if keys == ("version",):
            seen = {(version,): _NO_SLICE for version in (None, *profile.versions)}
            found.append(Group(keys, seen | indices, indices.get(_NEW, _NO_SLICE)))
        else:
            found.append(Group(keys, indices))
    return tuple(found)


def _numbers(values: list[Any]) -> NDArray[np.float64]:
    """Make floats of raw values; a text where a number is expected counts as missing."""
    try:
        # A third of np.array's time, and it refuses texts, of which np.array would make numbers.
        return np.frombuffer(struct.pack(f"{len(values)}d", *values), np.float64)
    except struct.error:
        return np.array([None if isinstance(v, str) else v for v in values], np.float64)


def _coder(channel: Channel) -> Callable[[list[Any]], NDArray[np.int32]]:
    """Make the function that turns a categorical channel's raw values into codes."""
    codes: dict[str | None, int] = {name: code for code, name in enumerate(channel.categories)}
    codes[None] = _MISSING_CODE
    unseen = len(channel.categories)

    def code(values: list[Any]) -> NDArray[np.int32]:
        if not set(map(type, values)) <= _STRINGS:
            values = [None if v is None else canonical(v) for v in values]
        return np.array([codes.get(v, unseen) for v in values], np.int32)

    return code


def _sources(
    channels: Sequence[str],
) -> tuple[dict[str, tuple[list[int], list[str]]], list[tuple[int, str]]]:
    """Sort channels by where their values are: columns and names in an object, or one value."""
    tables: dict[str, tuple[list[int], list[str]]] = {}
    singles = []
    for at, channel in enumerate(channels):
        kind, _, name = channel.partition(":")
        if kind in _OBJECTS:
            columns, names = tables.setdefault(kind, ([], []))
            columns.append(at)
            names.append(name)
        else:
            singles.append((at, channel))
    return tables, singles


class Extractor:
    """Turn decoded events into the columns that one profile names."""

    def __init__(self, profile: Profile) -> None:
        """Prepare the profile's lookups."""
        self.profile = profile
        numeric = [c.name for c in profile.channels if c.kind == "numeric"]
        self._numeric = len(numeric)
        self._tables, self._singles = _sources(numeric)
        categorical = [c for c in profile.channels if c.kind == "categorical"]
        self._categorical = [(c.name, _coder(c)) for c in categorical]
        self._unseen = np.array([len(c.categories) for c in categorical], np.int32)
        self._groups = slice_groups(profile)
        self._features = frozenset(
            c.name.removeprefix("feature:") for c in profile.channels if c.watches_missing
        )

    def columns(self, events: Sequence[Event]) -> Columns:
        """Extract the columns of n events of this model."""
        n = len(events)
        values = np.empty((n, self._numeric), np.float64)
        codes = np.empty((n, len(self._categorical)), np.int32)
        for kind, (columns, names) in self._tables.items():
            table = [v for found in _objects(events, kind) for v in map(found.get, names)]
            values[:, columns] = _numbers(table).reshape(n, len(names))
        for at, name in self._singles:
            values[:, at] = _numbers(raw_values(events, name))
        for at, (name, code) in enumerate(self._categorical):
            codes[:, at] = code(raw_values(events, name))
        times = np.array([e.time_ms for e in events], np.int64)
        slices, segments = self._slices(events)
        folded = {
            "feature": self._unnamed_features(events),
            "category": int(np.count_nonzero(codes == self._unseen)),
            "segment": segments,
        }
        return Columns(
            profile=self.profile,
            buckets=times // self.profile.bucket_ms,
            values=values,
            codes=codes,
            slices=slices,
            weights=np.array([e.weight for e in events], np.int64),
            folded=folded,
        )

    def _unnamed_features(self, events: Sequence[Event]) -> int:
        """Count the names of features that the profile does not know."""
        known = self._features
        more = [e.features for e in events if not known.issuperset(e.features)]
        return sum(len(features.keys() - known) for features in more)

    def _slices(self, events: Sequence[Event]) -> tuple[NDArray[np.int32], int]:
        """Find each event's slice in every group; count the values that have none of their own."""
        found = np.empty((len(events), len(self._groups)), np.int32)
        of = partial(slice_values, events)
        folded = 0
        for at, group in enumerate(self._groups):
            rows = list(zip(*(of(key) for key in group.keys), strict=True))
            column = [group.known.get(row, _UNNAMED) for row in rows]
            if _UNNAMED in column:
                unnamed = [i for i, index in enumerate(column) if index == _UNNAMED]
                folded += sum(None not in rows[i] for i in unnamed)
                for i in unnamed:
                    column[i] = group.otherwise
            found[:, at] = column
        return found, folded
