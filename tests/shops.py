"""Seeded streams as arrays: a model of plain numbers in slices, from columns to effects.

No event objects: what takes minutes as events takes a second as arrays.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from detectors.alert import Alert, Incident, Metric
from detectors.channels import RATE, FitOptions, numeric_channel
from detectors.columns import Columns
from detectors.fit import fit_cells
from detectors.judge import ModelJudge
from detectors.layout import layout_of
from detectors.panes import UNSET, Entry
from detectors.policy import Allowance, Policy
from detectors.profile import Profile, Span
from detectors.season import Calendar
from detectors.summary.cells import Cell
from detectors.summary.sums import summarise

MONDAY_MS = 1_767_571_200_000
BUCKET_SECONDS = 600
BLOCKS_A_DAY = 144
UTC = Calendar()


@dataclass(frozen=True)
class Shop:
    """Hold n events as values (n x channels), buckets counted from 0, and slice codes."""

    values: NDArray[np.float64]
    buckets: NDArray[np.int64]
    channels: Sequence[str] = ("feature:amount",)
    slices: Sequence[dict[str, str]] = ({},)
    codes: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 0), np.int32))
    calendar: Calendar = UTC
    rated: bool = False

    def draft(self, blocks: int) -> Profile:
        """Fix channels and slices by the first blocks."""
        known = self.values[self.buckets < blocks]
        found = [numeric_channel(name, known[:, c]) for c, name in enumerate(self.channels)]
        return Profile(
            model="shop",
            reference=Span(len(known), MONDAY_MS, MONDAY_MS + blocks * BUCKET_SECONDS * 1000),
            bucket_seconds=BUCKET_SECONDS,
            block_events=50,
            block_seconds=BUCKET_SECONDS if self.rated else 60 * BUCKET_SECONDS,
            calendar=self.calendar,
            channels=(*found, RATE) if self.rated else tuple(found),
            slices=tuple(self.slices),
            streams=(),
        )

    def cells(self, profile: Profile, first: int, last: int) -> list[Cell]:
        """Count the events of buckets first...last (excluded)."""
        rows = np.flatnonzero((self.buckets >= first) & (self.buckets < last))
        codes = self.codes[rows] if len(self.codes) else np.zeros((len(rows), 0), np.int32)
        base = MONDAY_MS // (BUCKET_SECONDS * 1000)
        columns = Columns(
            profile=profile,
            buckets=self.buckets[rows] + base,
            values=self.values[rows],
            codes=np.zeros((len(rows), 0), np.int32),
            slices=codes,
            weights=np.ones(len(rows), np.int64),
        )
        return summarise(columns, layout_of(profile))

    def fit(self, blocks: int, policy: Policy, options: FitOptions | None = None) -> Profile:
        """Fit the first blocks."""
        draft = self.draft(blocks)
        return fit_cells(draft, self.cells(draft, 0, blocks), options or FitOptions(), policy)


def judged(
    shop: Shop, profile: Profile, policy: Policy, first: int, granted: float | None = None
) -> Iterator[Alert | Incident | Metric]:
    """Judge the buckets from `first` on; `granted` block steps to a false alarm of each stream."""
    allowances = None if granted is None else [Allowance(granted, 0.0)] * len(profile.streams)
    judge = ModelJudge(profile, policy, "config", metrics=False, allowances=allowances)
    last = int(shop.buckets[-1]) + 1
    for cell in shop.cells(profile, first, last):
        judge.take(Entry("shop", profile.hash, cell.bucket, cell.events, cell.data), UNSET, 0)
    base = MONDAY_MS // (BUCKET_SECONDS * 1000)
    yield from judge.finalise((base + last) * BUCKET_SECONDS * 1000)


def block_of(instant_ms: int) -> int:
    """Give the bucket, counted from 0, that begins at a time."""
    return (instant_ms - MONDAY_MS) // (BUCKET_SECONDS * 1000)
