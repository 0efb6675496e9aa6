"""The columns that a profile names, out of a message: what `Extractor` does, for arrays."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.columns import Columns, Group, slice_groups
from detectors.observe import Scanned
from detectors.profile import Profile
from stream.decode.arrow.fields import MISSING, Coded, coded_numbers, nothing
from stream.decode.arrow.sheet import Sheet

__all__ = ["SheetExtractor"]

Rows = NDArray[np.int64] | slice
_UNNAMED = -2


class _Wrongness(NamedTuple):
    """Hold what `error_of` says: a distance where one can be measured, or right and wrong."""

    distance: NDArray[np.float64]
    coded: Coded


class SheetExtractor:
    """Turn sheets into the columns that one profile names."""

    def __init__(self, profile: Profile) -> None:
        """Prepare the profile's lookups."""
        self.profile = profile
        self._numeric = [c.name for c in profile.channels if c.kind == "numeric"]
        self._categorical = [
            (c.name, {name: code for code, name in enumerate(c.categories)})
            for c in profile.channels
            if c.kind == "categorical"
        ]
        self._groups = slice_groups(profile)
        self._features = frozenset(c.name for c in profile.channels if c.watches_missing)

    def scanned(self, sheet: Sheet, rows: NDArray[np.int64], first: int) -> Scanned:
        """Extract rows, rising, of a sheet whose first row is row `first` of its message."""
        chosen: Rows = slice(None) if len(rows) == len(sheet) else rows
        count = len(rows)
        values = np.empty((count, len(self._numeric)), np.float64)
        codes = np.empty((count, len(self._categorical)), np.int32)
        folded = np.zeros((count, 3), np.int64)
        for at, name in enumerate(self._numeric):
            values[:, at] = _numbers(sheet, name)[chosen]
        for at, (name, known) in enumerate(self._categorical):
            coded = _coded(sheet, name)
            found = coded.looked_up([*(known.get(n, len(known)) for n in coded.names), MISSING])
            codes[:, at] = found[chosen]
            folded[:, 1] += codes[:, at] == len(known)
        strangers = sum(
            at.startswith("feature:") and at not in self._features for at in sheet.fields
        )
        folded[:, 0] = strangers * sheet.with_features[chosen]
        slices = np.empty((count, len(self._groups)), np.int32)
        for at, group in enumerate(self._groups):
            found, unnamed = _slices(sheet, group)
            slices[:, at] = found[chosen]
            folded[:, 2] += unnamed[chosen]
        times_ms = sheet.times_ms[chosen]
        columns = Columns(
            profile=self.profile,
            buckets=times_ms // self.profile.bucket_ms,
            values=values,
            codes=codes,
            slices=slices,
            weights=sheet.weights[chosen],
        )
        return Scanned(rows + first, times_ms, columns, folded)


def _numbers(sheet: Sheet, channel: str) -> NDArray[np.float64]:
    """Give a numeric channel; a text where a number is expected counts as missing."""
    if channel == "error":
        return _wrongness(sheet).distance
    field = sheet.fields.get("score" if channel == "prediction" else channel)
    return np.full(len(sheet), np.nan) if field is None else field.numbers


def _coded(sheet: Sheet, channel: str) -> Coded:
    """Give a categorical channel, a segment, or another column by its name."""
    if channel == "error":
        return _wrongness(sheet).coded
    if channel == "prediction":
        return _coded(sheet, "score").otherwise(_coded(sheet, "class"))
    if channel == "segment:version":
        return _plain(sheet, channel).otherwise(_plain(sheet, "version"))
    return _plain(sheet, channel)


def _plain(sheet: Sheet, at: str) -> Coded:
    field = sheet.fields.get(at)
    return nothing(len(sheet)) if field is None else field.coded


def _slices(sheet: Sheet, group: Group) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Find each row's slice in a group, and which rows have complete values that none is of."""
    parts = [_coded(sheet, f"segment:{key}") for key in group.keys]
    if len(parts) == 1:
        names = [*((name,) for name in parts[0].names), (None,)]
        found = parts[0].looked_up([group.known.get(name, _UNNAMED) for name in names])
    else:
        combined = np.zeros(len(sheet), np.int64)
        for part in parts:
            # At most n numbers so far, and a name for each row: the product stays small.
            mixed = combined * (len(part.names) + 1) + part.codes + 1
            _, first, combined = np.unique(mixed, return_index=True, return_inverse=True)
        rows = [
            tuple(None if part.codes[row] < 0 else part.names[part.codes[row]] for part in parts)
            for row in first.tolist()
        ]
        found = np.array([group.known.get(row, _UNNAMED) for row in rows], np.int64)[combined]
    unnamed = found == _UNNAMED
    if not unnamed.any():
        return found, unnamed
    whole = np.all([part.codes >= 0 for part in parts], axis=0)
    return np.where(unnamed, group.otherwise, found), unnamed & whole


def _wrongness(sheet: Sheet) -> _Wrongness:
    """Measure how wrong predictions were, as `error_of` does."""
    label, predicted = _plain(sheet, "label"), _plain(sheet, "class")
    with np.errstate(over="ignore", invalid="ignore"):
        distance = np.abs(_numbers(sheet, "label") - _numbers(sheet, "score"))
    classed = predicted.codes >= 0
    distance = np.where(np.isfinite(distance) & ~classed, distance, np.nan)
    ids = {name: at for at, name in enumerate(dict.fromkeys((*label.names, *predicted.names)))}
    ours = label.looked_up([*(ids[name] for name in label.names), MISSING])
    theirs = predicted.looked_up([*(ids[name] for name in predicted.names), MISSING])
    judged = np.where(classed & (label.codes >= 0), ours != theirs, MISSING)
    measured = coded_numbers(distance)
    return _Wrongness(distance, Coded(judged.astype(np.int64), ["0", "1"]).otherwise(measured))
