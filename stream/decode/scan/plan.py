"""What a profile makes of an event's names: the tables that the scanner walks by."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.columns import Group, slice_groups
from detectors.events import Limits
from detectors.profile import Profile
from stream.decode.scan import codes
from stream.decode.scan.clock import MINUTE_WORDS
from stream.decode.scan.names import Names

__all__ = ["Plan", "Pointers", "State", "Tables", "plan_of"]

_COMBINATIONS_MAX: Final = 1 << 62
_ESCAPED: Final = frozenset(map(chr, range(32))) | {'"', "\\"}
_OBJECTS: Final = {
    "feature": codes.FEATURES,
    "attribution": codes.ATTRIBUTIONS,
    "metric": codes.METRICS,
}
# An event's own fields, in the order that is tried first: (object, name, action, argument).
_FIELDS: Final = (
    (codes.TOP, "id", codes.NAME, 0),
    (codes.TOP, "time", codes.TIME, 0),
    (codes.TOP, "model", codes.MODEL, 0),
    (codes.TOP, "version", codes.VERSION, 0),
    (codes.TOP, "features", codes.ENTER, codes.FEATURES),
    (codes.TOP, "prediction", codes.PREDICT, codes.PREDICTION),
    (codes.PREDICTION, "score", codes.SCORE, 0),
    (codes.PREDICTION, "class", codes.CLASS, 0),
    (codes.PREDICTION, "probabilities", codes.ENTER, codes.PROBABILITIES),
    (codes.TOP, "segments", codes.ENTER, codes.SEGMENTS),
    (codes.TOP, "label", codes.LABEL, 0),
    (codes.TOP, "attributions", codes.ENTER, codes.ATTRIBUTIONS),
    (codes.TOP, "metrics", codes.ENTER, codes.METRICS),
    (codes.TOP, "weight", codes.WEIGHT, 0),
)


class Tables(NamedTuple):
    """Hold what the kernels read; `codes` names the columns of `keys`, `groups` and `choices`.

    `names` is what `find` looks things up in; `sizes` int64[parts] how many names each part has,
    which is also the code of everything that it has not; `group_keys` the segments of all groups.
    """

    keys: NDArray[np.uint64]
    names: tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.uint8]]
    sizes: NDArray[np.int64]
    groups: NDArray[np.int64]
    group_keys: NDArray[np.int64]
    choices: NDArray[np.int64]


class State(NamedTuple):
    """Hold what the kernels write: the row they are in, and the order of keys that they saw.

    `following` int64[keys + 1] is the key that came after each (the last entry: after the
    opening brace), `marks` int64[keys] the row in which each was seen last.
    """

    following: NDArray[np.int64]
    marks: NDArray[np.int64]
    segments: NDArray[np.int64]
    facts: NDArray[np.int64]
    numbers: NDArray[np.float64]
    minute: NDArray[np.uint64]
    strangers: NDArray[np.uint64]
    stranger_rows: NDArray[np.int64]
    spare: NDArray[np.uint8]


class Pointers(NamedTuple):
    """Hold, inside a kernel, where the arrays of Tables and State are, and how long.

    `names` is what `find` takes.
    """

    keys: Any
    key_count: Any
    names: Any
    sizes: Any
    groups: Any
    group_count: Any
    group_keys: Any
    choices: Any
    following: Any
    marks: Any
    segments: Any
    segment_count: Any
    facts: Any
    numbers: Any
    minute: Any
    strangers: Any
    stranger_rows: Any
    spare: Any
    spare_address: Any
    categorical: Any


@dataclass(frozen=True)
class Plan:
    """Hold a profile with its tables, and the shape of its columns."""

    profile: Profile
    numeric: int
    categorical: int
    tables: Tables
    state: State

    @property
    def groups(self) -> int:
        """Count the slice groups."""
        return len(self.tables.groups)


def plan_of(profile: Profile, limits: Limits) -> Plan | None:
    """Compile a profile; None where it is of a kind that only the slow way knows."""
    groups = slice_groups(profile)
    segments = sorted({key for group in groups for key in group.keys})
    names = Names()
    try:
        names.add_text(profile.model, codes.MODEL_PART, 0)
        targets, sizes = _channels(profile, names)
        segment_part = len(sizes)
        sizes += _segment_names(groups, segments, names, segment_part)
        radix = sizes[segment_part:]
        rows, keys = _groups(groups, dict(zip(segments, radix, strict=True)), names, len(sizes))
        fields = _keys(targets, {key: at for at, key in enumerate(segments)}, names)
    except (UnicodeEncodeError, OverflowError):
        return None
    if len({channel.name for channel in profile.channels}) < len(profile.channels):
        return None
    choices = np.zeros(codes.CHOICES, np.int64)
    choices[codes.FEATURE_KEYS_MAX] = limits.features
    choices[codes.SEGMENT_KEYS_MAX] = limits.segments
    choices[codes.STRING_BYTES_MAX] = limits.string_length
    choices[codes.LEVELS_MAX] = limits.depth
    choices[codes.PREDICTION_TARGET] = targets.get("prediction", codes.NOWHERE)
    choices[codes.ERROR_TARGET] = targets.get("error", codes.NOWHERE)
    choices[codes.VERSION_KEY] = segments.index("version") if "version" in segments else -1
    choices[codes.SEGMENT_PART], choices[codes.GROUP_PART] = segment_part, len(sizes)
    tables = Tables(
        keys=np.array(fields, np.uint64),
        names=names.table(),
        sizes=np.array(sizes, np.int64),
        groups=np.array(rows, np.int64).reshape(len(groups), 3),
        group_keys=np.array(keys, np.int64),
        choices=choices,
    )
    kinds = [channel.kind for channel in profile.channels]
    counts = kinds.count("numeric"), kinds.count("categorical")
    return Plan(profile, *counts, tables, _state(len(fields), len(segments)))


def _channels(profile: Profile, names: Names) -> tuple[dict[str, int], list[int]]:
    """Give every channel its target, and its categories their codes."""
    targets = {}
    sizes = [0] * codes.FIRST_PART
    numeric = categorical = 0
    for channel in profile.channels:
        if channel.kind == "numeric":
            targets[channel.name] = numeric
            numeric += 1
        elif channel.kind == "categorical":
            targets[channel.name] = codes.CATEGORICAL - categorical
            categorical += 1
            for code, name in enumerate(channel.categories):
                names.add_category(name, len(sizes), code)
            sizes.append(len(channel.categories))
    return targets, sizes


def _segment_names(
    groups: tuple[Group, ...], segments: list[str], names: Names, part: int
) -> Iterator[int]:
    """Give a code to each segment's values that any group names; yield how many there are."""
    for key in segments:
        values = sorted(_values(groups, key))
        for code, value in enumerate(values):
            names.add_category(value, part, code)
        part += 1
        yield len(values)


def _values(groups: tuple[Group, ...], key: str) -> set[str]:
    return {
        value
        for group in groups
        for values in group.known
        for name, value in zip(group.keys, values, strict=True)
        if name == key and value is not None
    }


def _groups(
    groups: tuple[Group, ...], radix: Mapping[str, int], names: Names, part: int
) -> tuple[list[tuple[int, int, int]], list[int]]:
    """Give each group's combinations of values the slice they are, plus one.

    Raises
    ------
    OverflowError
        If a group has more combinations than a word can number.
    """
    segments = list(radix)
    codes_of = {
        key: {value: code for code, value in enumerate(sorted(_values(groups, key)))}
        for key in segments
    }
    rows: list[tuple[int, int, int]] = []
    keys: list[int] = []
    for at, group in enumerate(groups):
        first = len(keys)
        keys += [segments.index(key) for key in group.keys]
        rows.append((first, len(keys), group.otherwise))
        for values, index in group.known.items():
            combined, combinations = 0, 1
            for key, value in zip(group.keys, values, strict=True):
                if value is None:
                    break
                combined = combined * (radix[key] + 1) + codes_of[key][value]
                combinations *= radix[key] + 1
            else:
                if combinations > _COMBINATIONS_MAX:
                    raise OverflowError
                names.add_combined(combined, part + at, index + 1)
    return rows, keys


def _keys(
    targets: Mapping[str, int], segments: Mapping[str, int], names: Names
) -> list[tuple[int, ...]]:
    """Lay out every name that is looked for; one that has to be escaped is never expected."""
    wanted = [*_FIELDS]
    wanted.append((codes.TOP, "latency_seconds", codes.NUMERIC, targets.get("latency", -1)))
    for channel, target in targets.items():
        kind, _, name = channel.partition(":")
        if kind in _OBJECTS:
            action = codes.FEATURE if kind == "feature" else codes.NUMERIC
            wanted.append((_OBJECTS[kind], name, action, target))
    wanted += [(codes.SEGMENTS, key, codes.SEGMENT, at) for key, at in segments.items()]
    rows: list[tuple[int, ...]] = []
    for within, name, action, argument in wanted:
        word, last, length, _, _, rest = names.add_text(name, within, len(rows))
        mask = (1 << 8 * min(length, 8)) - 1
        where = codes.ESCAPED if _ESCAPED.intersection(name) else within
        rows.append((word, mask, last, length, where, action, argument % 2**64, rest))
    return rows


def _state(keys: int, segments: int) -> State:
    """Start with the keys in the order of the table."""
    return State(
        following=np.array([*range(1, keys), 0, 0], np.int64),
        marks=np.full(keys, -1, np.int64),
        segments=np.zeros(segments, np.int64),
        facts=np.zeros(codes.FACTS, np.int64),
        numbers=np.zeros(codes.NUMBERS, np.float64),
        minute=np.zeros(MINUTE_WORDS, np.uint64),
        strangers=np.zeros(codes.STRANGER_SLOTS, np.uint64),
        stranger_rows=np.full(codes.STRANGER_SLOTS, -1, np.int64),
        spare=np.zeros(codes.SPARE_BYTES + codes.SPARE_PADDING, np.uint8),
    )
