"""Events counted group by group: the same cells as one event at a time gives."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.columns import Columns, slice_groups
from detectors.layout import layout_of
from detectors.summary.sums import Sums
from tests import scans

SHAPES = st.tuples(st.integers(0, 600), st.integers(1, 70), st.integers(1, 8), st.booleans())


def drawn(seed: int, shape: tuple[int, int, int, bool]) -> Columns:
    """Draw events of so many buckets and combinations of slices."""
    rows, buckets, combinations, weighted = shape
    rng, profile = np.random.default_rng(seed), scans.shop()
    numeric = [c for c in profile.channels if c.kind == "numeric"]
    bins = [c.bins for c in profile.channels if c.kind == "categorical"]
    values = rng.choice([np.nan, -1e9, 0.0, 0.5, 1.0, 1e9, 63.9], (rows, len(numeric)))
    values += rng.normal(size=values.shape)
    choices = rng.integers(-1, len(profile.slices), (combinations, len(slice_groups(profile))))
    return Columns(
        profile=profile,
        buckets=rng.integers(0, buckets, rows),
        values=values,
        codes=rng.integers(-1, bins, (rows, len(bins))).astype(np.int32),
        slices=choices[rng.integers(0, combinations, rows)].astype(np.int32),
        weights=rng.integers(1, 3, rows) if weighted else np.ones(rows, np.int64),
    )


@given(st.integers(0, 2**32), SHAPES)
def test_events_at_once_are_events_one_by_one(seed: int, shape: tuple[int, int, int, bool]) -> None:
    columns = drawn(seed, shape)
    layout = layout_of(columns.profile)
    whole, single = Sums(layout), Sums(layout)
    whole.add(columns)
    for row in range(len(columns)):
        single.add(columns.part(row, row + 1))
    assert whole.cells() == single.cells()
