"""One plain batch: every column checked, and what the profile in force wants taken out of it.

None in any doubt, here as in `quick`.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.columns import FOLDED, Columns
from detectors.events import WEIGHT_MAX, Limits
from detectors.observe import Scanned
from detectors.profile import Profile, ProfileBook
from stream.decode.arrow import kernels
from stream.decode.arrow.body import BITS, Body, texts_of
from stream.decode.arrow.kernels import BIT
from stream.decode.arrow.leaves import NOTHING, TEXT, Leaf, Leaves
from stream.decode.arrow.structure import Verified
from stream.decode.arrow.wanted import Names, Wanted, is_number, is_text, wanted_of
from stream.decode.times import TIME_MAX_MS, TIME_MIN_MS, numbers_ms

__all__ = ["Page", "Schema"]

_PROFILES_MAX: Final = 64
_KEPT: Final = 64
_KEPT_BYTES: Final = 1 << 14
_DISTINCT_MAX: Final = 1 << 12
_PER_SECOND: Final = (1, 10**3, 10**6, 10**9)

Rows = NDArray[Any]


class Schema:
    """Hold what is known of one schema: its leaves, what profiles want, its last dictionaries."""

    def __init__(self, leaves: Leaves) -> None:
        """Know nothing but the leaves yet."""
        self.leaves = leaves
        self.named = {leaf.name: leaf for leaf in leaves.all if leaf.kind != NOTHING}
        self.verified = Verified()
        self._forget()

    def _forget(self) -> None:
        self._wanted: dict[str, tuple[Profile, Wanted | None]] = {}
        self.texts: dict[bytes, Names] = {}
        self.bools, self.nothing = Names(("false", "true")), Names(())

    def wants(self, profile: Profile) -> Wanted | None:
        """Settle each profile once."""
        held = self._wanted.get(profile.hash)
        if held is None or held[0] is not profile:
            # Names remember what was looked up for every profile.
            if held is not None or len(self._wanted) >= _PROFILES_MAX:
                self._forget()
            held = self._wanted[profile.hash] = profile, wanted_of(self.leaves, profile)
        return held[1]


class Page:
    """Read one batch of n rows."""

    def __init__(self, value: bytes, schema: Schema, body: Body, limits: Limits) -> None:
        """See the value's bytes; read nothing yet."""
        self._value, self._schema, self._body, self._limits = value, schema, body, limits
        self._views = kernels.views_of(value)
        self._coded: dict[int, tuple[Names, Rows]] = {}

    def scanned(
        self, dictionaries: dict[int, bytes], book: ProfileBook, latest_ms: int
    ) -> Scanned | None:
        """Check all columns, and give what the profile in force wants."""
        time = self._schema.named.get("time")
        times_ms = None if time is None else self._times(time)
        if times_ms is None or not self._sound(dictionaries):
            return None
        first_ms, last_ms = int(times_ms.min()), int(times_ms.max())
        if first_ms < TIME_MIN_MS or last_ms > min(TIME_MAX_MS, latest_ms):
            return None
        profile = self._profile(book, first_ms, last_ms)
        wanted = None if profile is None else self._schema.wants(profile)
        weights = self._weights()
        columns = None if wanted is None else self._columns(wanted)
        if wanted is None or weights is None or columns is None:
            return None
        values, codes, slices, folded = columns
        of = Columns(
            profile=wanted.profile,
            buckets=times_ms // wanted.profile.bucket_ms,
            values=values,
            codes=codes,
            slices=slices,
            weights=weights,
        )
        return Scanned(np.arange(self._body.rows), times_ms, of, folded)

    def _times(self, leaf: Leaf) -> Rows | None:
        """Give event times; None where one may be none."""
        body = self._body
        if body.nulls[leaf.node] or not is_number(leaf):
            return None
        if leaf.unit < 0:
            numbers = self._numbers(leaf)
            return None if numbers is None or np.isnan(numbers).any() else numbers_ms(numbers)
        start = self._start(leaf)
        counts = self._views[leaf.kind][start : start + body.rows]
        per = _PER_SECOND[leaf.unit]
        if per >= 1000:
            return counts if per == 1000 else counts // (per // 1000)
        near = abs(int(counts.min())) <= TIME_MAX_MS and abs(int(counts.max())) <= TIME_MAX_MS
        return counts * (1000 // per) if near else None

    def _sound(self, dictionaries: dict[int, bytes]) -> bool:
        """Check bitmaps, texts and indices, of every column; index what has a dictionary."""
        body, leaves = self._body, self._schema.leaves.all
        holed = [leaf for leaf in leaves if body.nulls[leaf.node] and leaf.kind != NOTHING]
        if holed:
            starts = np.array([body.starts[leaf.buffer] for leaf in holed], np.int64)
            counts = np.array([body.nulls[leaf.node] for leaf in holed], np.int64)
            if not kernels.nulls_match(self._views[0], starts, counts, body.rows):
                return False
        for leaf in leaves:
            if leaf.dictionary >= 0:
                names = self._names(leaf, dictionaries.get(leaf.dictionary, b""))
                rows = None if names is None else self._indexed(leaf, len(names.names))
                if names is None or rows is None:
                    return False
                self._coded[leaf.node] = names, rows
            elif leaf.kind == TEXT and not self._texts_sound(leaf):
                return False
        return True

    def _names(self, leaf: Leaf, frame: bytes) -> Names | None:
        """Read a dictionary, unless it came before; of few texts there are few orders."""
        held = self._schema.texts  # a frame has its dictionary's number, and so its one column
        names = held.get(frame)
        if names is None:
            limit = self._limits.string_length if leaf.name else None
            found = texts_of(frame, leaf.width, limit)
            if found is None:
                return None
            names = Names(found)
            if len(frame) <= _KEPT_BYTES:
                if len(held) >= _KEPT:
                    held.clear()
                held[frame] = names
        return names

    def _texts_sound(self, leaf: Leaf) -> bool:
        """Check the offsets and the characters of texts."""
        body, views = self._body, self._views
        offsets, data = body.starts[leaf.buffer + 1 : leaf.buffer + 3].tolist()
        start, size = offsets * 8 // BITS[leaf.width], int(body.sizes[leaf.buffer + 2])
        limit = self._limits.string_length if leaf.name else len(self._value)
        if not kernels.texts_fit(views, leaf.width, start, (body.rows, size, limit)):
            return False
        of = views[leaf.width]
        low, high = int(of[start]), int(of[start + body.rows])
        text = self._value[data + low : data + high]
        if text.isascii():
            return True
        text.decode()
        return bool(kernels.whole_characters(views, leaf.width, start, (body.rows, data, high)))

    def _bitmaps(self, leaf: Leaf) -> tuple[int, int]:
        """Give a column's bitmap, and that of what it is a part of."""
        of = None if leaf.parent < 0 else self._schema.leaves.all[leaf.parent]
        above = -1 if of is None else self._body.bitmap(of.node, of.buffer)
        return self._body.bitmap(leaf.node, leaf.buffer), above

    def _start(self, leaf: Leaf) -> int:
        """Give the first element of a column in the view of its kind; a byte, for bits."""
        start = int(self._body.starts[leaf.buffer + 1])
        return start if leaf.kind == BIT else start * 8 // BITS[leaf.kind]

    def _indexed(self, leaf: Leaf, names: int) -> Rows | None:
        rows = np.empty(self._body.rows, np.int32)
        column = (leaf.kind, self._start(leaf), *self._bitmaps(leaf))
        return rows if kernels.index_rows(self._views, column, names, rows) else None

    def _coded_rows(self, leaf: Leaf | None) -> tuple[Names, Rows] | None:
        """Give a column's names, and which of them each row has."""
        if leaf is None:
            return self._schema.nothing, np.zeros(self._body.rows, np.int32)
        if leaf.node not in self._coded:
            found = self._texts(leaf) if leaf.kind == TEXT else self._bits(leaf)
            if found is None:
                return None
            self._coded[leaf.node] = found
        return self._coded[leaf.node]

    def _bits(self, leaf: Leaf) -> tuple[Names, Rows] | None:
        rows = self._indexed(leaf, 2)
        return None if rows is None else (self._schema.bools, rows)

    def _texts(self, leaf: Leaf) -> tuple[Names, Rows] | None:
        """Tell the distinct texts of a column apart; None for too many."""
        rows = np.empty(self._body.rows, np.int32)
        firsts = np.empty(_DISTINCT_MAX, np.int64)
        table = np.full(2 * _DISTINCT_MAX, -1, np.int32)
        offsets, data = self._body.starts[leaf.buffer + 1 : leaf.buffer + 3].tolist()
        start = offsets * 8 // BITS[leaf.width]
        column = (leaf.width, start, data, *self._bitmaps(leaf))
        count = kernels.index_texts(self._views, column, (rows, firsts, table))
        if count < 0:
            return None
        rows[rows < 0] = count
        of = self._views[leaf.width]
        spans = [(data + int(of[start + i]), data + int(of[start + i + 1])) for i in firsts[:count]]
        return Names(tuple(self._value[low:high].decode() for low, high in spans)), rows

    def _profile(self, book: ProfileBook, first_ms: int, last_ms: int) -> Profile | None:
        """Give the profile that is in force for all rows."""
        leaf = self._schema.named.get("model")
        coded = self._coded_rows(leaf) if leaf is not None and is_text(leaf) else None
        if coded is None:
            return None
        names, rows = coded
        first = int(rows[0])
        if first == len(names.names) or not names.names[first] or (rows != first).any():
            return None
        for profile, from_ms, until_ms in book.in_force(names.names[first]):
            if from_ms <= first_ms and last_ms < until_ms:
                return profile
        return None

    def _filled(self, wanted: tuple[tuple[Leaf, int], ...], values: Rows) -> bool:
        """Write numbers to their channels; say whether all were finite."""
        spec = [(f.kind, self._start(f), *self._bitmaps(f), channel) for f, channel in wanted]
        columns = np.array(spec, np.int64).reshape(-1, 5)
        return bool(kernels.fill_numbers(self._views, columns, values))

    def _numbers(self, leaf: Leaf) -> Rows | None:
        values = np.empty((self._body.rows, 1))
        return values[:, 0] if self._filled(((leaf, 0),), values) else None

    def _weights(self) -> Rows | None:
        """Give weights; None where one may be none."""
        leaf = self._schema.named.get("weight")
        if leaf is None:
            return np.ones(self._body.rows, np.int64)
        weights = self._numbers(leaf)
        if weights is None:
            return None
        weights[np.isnan(weights)] = 1
        plain = (weights >= 1) & (weights <= WEIGHT_MAX) & (weights == np.floor(weights))
        return weights.astype(np.int64) if plain.all() else None

    def _columns(self, wanted: Wanted) -> tuple[Rows, Rows, Rows, Rows] | None:
        """Give values, codes, slices, and what is folded."""
        n = self._body.rows
        values = np.empty((n, wanted.channels))
        codes = np.empty((n, len(wanted.coded)), np.int32)
        slices = np.empty((n, len(wanted.groups)), np.int32)
        folded = np.zeros((n, len(FOLDED)), np.int64)
        if not self._filled(wanted.numbers, values):
            return None
        values[:, list(wanted.absent)] = np.nan
        if wanted.error is not None:
            label, score = (self._numbers(self._schema.named[at]) for at in ("label", "score"))
            if label is None or score is None:
                return None
            with np.errstate(over="ignore"):
                distance = np.abs(label - score)
            values[:, wanted.error] = np.where(np.isinf(distance), np.nan, distance)
        if wanted.strangers:
            folded[:, 0] = wanted.strangers * self._with_features()
        for at, (leaf, known) in enumerate(wanted.coded):
            coded = self._coded_rows(leaf)
            if coded is None:
                return None
            looked = coded[0].codes(known)
            codes[:, at] = looked.found[coded[1]]
            folded[:, 1] += looked.folded[coded[1]]
        for at, (group, leaves) in enumerate(wanted.groups):
            parts = [self._coded_rows(leaf) for leaf in leaves]
            found = [part for part in parts if part is not None]
            looked_up = found[0][0].slices(group, tuple(names for names, _ in found[1:]))
            if len(found) < len(parts) or looked_up is None:
                return None
            rows = found[0][1]
            for names, more in found[1:]:
                rows = rows * (len(names.names) + 1) + more
            slices[:, at] = looked_up.found[rows]
            if looked_up.folded.any():
                folded[:, 2] += looked_up.folded[rows]
        return values, codes, slices, folded

    def _with_features(self) -> Rows:
        """Tell which rows have features at all."""
        rows = np.empty(self._body.rows, np.int32)
        leaf = self._schema.named["features"]
        start = self._body.bitmap(leaf.node, leaf.buffer)
        if start < 0:
            return np.ones(self._body.rows, np.int64)
        kernels.index_rows(self._views, (BIT, start, -1, -1), 2, rows)
        return rows
