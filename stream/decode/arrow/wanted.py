"""What a profile takes out of the messages of a schema: leaf by leaf, settled once for both."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.columns import Group, slice_groups
from detectors.profile import Channel, Profile
from stream.decode.arrow.kernels import BIT, F4, F8, VIEWS
from stream.decode.arrow.leaves import NOTHING, STRUCT, TEXT, Leaf, Leaves

__all__ = ["Looked", "Names", "Wanted", "is_number", "is_text", "wanted_of"]

_MISSING: Final = -1
_UNNAMED: Final = -2
_COMBINED_MAX: Final = 1 << 12


class Looked(NamedTuple):
    """Hold what each name of a column means: a code or slice, and 1 where it is folded."""

    found: NDArray[np.int32]
    folded: NDArray[np.int64]


class Names:
    """Hold the names of a coded column, and what was looked up for them; the last is missing."""

    def __init__(self, names: tuple[str, ...]) -> None:
        """Look nothing up yet."""
        self.names = names
        self._codes: dict[int, tuple[Mapping[str, int], Looked]] = {}
        self._slices: dict[int, tuple[Group, tuple[Names, ...], Looked]] = {}

    def codes(self, known: Mapping[str, int]) -> Looked:
        """Give the code of each name."""
        held = self._codes.get(id(known))
        if held is None:
            unseen = len(known)
            found = np.array([*(known.get(n, unseen) for n in self.names), _MISSING], np.int32)
            held = self._codes[id(known)] = known, Looked(found, (found == unseen).astype(np.int64))
        return held[1]

    def slices(self, group: Group, others: "tuple[Names, ...]") -> Looked | None:
        """Give the slice of each combination of names, the others' last; None for too many."""
        held = self._slices.get(id(group))
        if held is None or any(a is not b for a, b in zip(held[1], others, strict=True)):
            combined: list[tuple[str | None, ...]] = [()]
            for part in (self, *others):
                if len(combined) * (len(part.names) + 1) > max(_COMBINED_MAX, len(part.names) + 1):
                    return None
                combined = [(*so, name) for so in combined for name in (*part.names, None)]
            raw = [group.known.get(names, _UNNAMED) for names in combined]
            found = [group.otherwise if index == _UNNAMED else index for index in raw]
            folded = [
                index == _UNNAMED and None not in names
                for index, names in zip(raw, combined, strict=True)
            ]
            looked = Looked(np.array(found, np.int32), np.array(folded, np.int64))
            held = self._slices[id(group)] = group, others, looked
        return held[2]


class Wanted(NamedTuple):
    """Hold what one profile takes.

    `numbers` are leaves with their channels (-1: only looked at), `absent` the channels that no
    leaf is for, `coded` the leaves of categorical channels (None: missing) with their codes.
    """

    profile: Profile
    channels: int
    numbers: tuple[tuple[Leaf, int], ...]
    absent: tuple[int, ...]
    error: int | None
    coded: tuple[tuple[Leaf | None, Mapping[str, int]], ...]
    groups: tuple[tuple[Group, tuple[Leaf | None, ...]], ...]
    strangers: int


def is_text(leaf: Leaf) -> bool:
    """Tell whether a column holds texts, by itself or by a dictionary."""
    return leaf.kind == TEXT or leaf.dictionary >= 0


def is_number(leaf: Leaf) -> bool:
    """Tell whether a column holds numbers."""
    return 0 <= leaf.kind < len(VIEWS) and leaf.dictionary < 0


def wanted_of(leaves: Leaves, profile: Profile) -> Wanted | None:
    """Settle what a profile takes; None where a column must be turned into another kind."""
    named = {leaf.name: leaf for leaf in leaves.all if leaf.name and leaf.kind != NOTHING}
    by_channel = {c.name: at for at, c in enumerate(_of_kind(profile, "numeric"))}
    numbers, absent, error = [], [], None
    for channel, at in by_channel.items():
        leaf = named.get("score" if channel == "prediction" else channel)
        if channel == "error" and "label" in named:
            plain = "class" not in named and is_number(named.get("score", named["label"]))
            if not plain or not is_number(named["label"]):
                return None
            error = at if "score" in named else None
            absent += [] if error == at else [at]
        elif leaf is None or channel == "error":
            absent.append(at)
        elif is_text(leaf):
            return None
        else:
            numbers.append((leaf, at))
    taken = {leaf.node for leaf, _ in numbers}
    numbers += [
        (leaf, -1)
        for leaf in named.values()
        if leaf.node not in taken and leaf.kind in {F4, F8} and leaf.dictionary < 0
    ]
    categorical = _of_kind(profile, "categorical")
    groups = slice_groups(profile)
    names = [c.name for c in categorical] + [f"segment:{k}" for g in groups for k in g.keys]
    found = {name: _coded(named, name) for name in names}
    if any(leaf is not None and not _has_names(leaf) for leaf in found.values()):
        return None
    if "error" in found and "label" in named:
        return None
    features = {c.name for c in profile.channels if c.watches_missing}
    present = {leaf.name for leaf in leaves.all if leaf.name.startswith("feature:")}
    return Wanted(
        profile=profile,
        channels=len(by_channel),
        numbers=tuple(numbers),
        absent=tuple(absent),
        error=error,
        coded=tuple(
            (found[c.name], {name: code for code, name in enumerate(c.categories)})
            for c in categorical
        ),
        groups=tuple((g, tuple(found[f"segment:{key}"] for key in g.keys)) for g in groups),
        strangers=len(present - features),
    )


def _of_kind(profile: Profile, kind: str) -> list[Channel]:
    return [channel for channel in profile.channels if channel.kind == kind]


def _coded(named: Mapping[str, Leaf], name: str) -> Leaf | None:
    """Find where a categorical channel or a segment is; a leaf without names if in two places."""
    places = {"prediction": ("score", "class"), "segment:version": (name, "version")}
    found = [named[at] for at in places.get(name, (name,)) if at in named]
    if len(found) > 1:
        return found[0]._replace(kind=STRUCT, dictionary=-1)
    return found[0] if found else None


def _has_names(leaf: Leaf) -> bool:
    return is_text(leaf) or (leaf.kind == BIT and leaf.dictionary < 0)
