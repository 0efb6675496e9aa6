"""A trial: arrays through the product's own fit, summaries and judge.

A bucket holds as many events as a block, so that a block is a bucket.  Independent runs are
channels of one model: they share nothing but the loop.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.alarms import AlertLife
from detectors.alert import Alert, Incident
from detectors.channels import FitOptions, categorical_channel, numeric_channel
from detectors.columns import Columns
from detectors.fit import fit_cells
from detectors.judge import ModelJudge
from detectors.layout import layout_of
from detectors.panel import Panel
from detectors.panes import UNSET, Entry
from detectors.policy import Allowance, Policy
from detectors.profile import Channel, Profile, Span
from detectors.season import Calendar
from detectors.summary.cells import Cell
from detectors.summary.sums import summarise

__all__ = [
    "ANY_EFFECT",
    "GRANTED",
    "MONDAY_MS",
    "Heard",
    "Piece",
    "Plan",
    "Runs",
    "Trial",
    "Verdict",
    "run_channels",
]

MONDAY_MS = 1_767_571_200_000
GRANTED = 10_000
ANY_EFFECT = Policy(min_effect_sigma=1e-9, min_effect_relative=1e-9)
_PIECE_BLOCKS = 1_000
_NAMES_MAX = 64


class Piece(NamedTuple):
    """Hold consecutive events: numbers (n x channels), codes (n x channels), slice codes."""

    values: NDArray[np.float64]
    codes: NDArray[np.int32]
    slices: NDArray[np.int32]

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> "Piece":
        """Take numbers alone."""
        return cls(values, np.zeros((len(values), 0), np.int32), np.zeros((len(values), 0), int))


class Heard(NamedTuple):
    """Hold one alarm: its stream, the blocks it ended with and began at, whether it is new."""

    stream: int
    block: int
    onset: int
    statistic: str
    fires: bool


class Verdict(NamedTuple):
    """Hold everything that a judge said: each time a threshold was reached, and the incidents."""

    heard: list[Heard]
    alerts: list[Alert]
    incidents: list[Incident]


@dataclass(frozen=True)
class Plan:
    """Fix what a trial is made of; `granted` block steps to a false alarm of each stream."""

    bucket_seconds: int = 600
    events: int = 50
    block_events: int = 50
    start_ms: int = MONDAY_MS
    calendar: Calendar = field(default_factory=Calendar)
    slices: tuple[dict[str, str], ...] = ({},)
    policy: Policy = ANY_EFFECT
    options: FitOptions = field(default_factory=FitOptions)
    granted: float | None = GRANTED

    @property
    def a_day(self) -> int:
        """Count the blocks of a day."""
        return 86_400 // self.bucket_seconds


class _Listener(AlertLife):
    """Note every time that a stream's evidence reaches its threshold, alert open or not."""

    def __init__(self, trial: "Trial", policy: Policy) -> None:
        super().__init__(trial.profile, policy, "bench")
        self.heard: list[Heard] = []
        self._base = trial.base

    def alarmed(self, j: int, block: tuple[int, int, int], panel: Panel) -> Iterator[Alert]:
        alarm = panel.alarm(j)
        at, since = block[1] - self._base, alarm.onset - self._base
        self.heard.append(Heard(j, at, since, alarm.statistic, j not in self.open))
        return super().alarmed(j, block, panel)


class Trial:
    """Fit one profile on the first blocks, and judge any number of futures against it."""

    def __init__(self, plan: Plan, channels: Sequence[Channel], blocks: int) -> None:
        """Fix the channels of a reference of so many blocks."""
        self.plan = plan
        self.blocks = blocks
        self.base = plan.start_ms // (1000 * plan.bucket_seconds)
        end_ms = plan.start_ms + blocks * plan.bucket_seconds * 1000
        self.profile = Profile(
            model="bench",
            reference=Span(blocks * plan.events, plan.start_ms, end_ms),
            bucket_seconds=plan.bucket_seconds,
            block_events=plan.block_events,
            block_seconds=60 * plan.bucket_seconds,
            calendar=plan.calendar,
            channels=tuple(channels),
            slices=plan.slices,
            streams=(),
        )
        self._layout = layout_of(self.profile)

    def cells(self, first: int, piece: Piece) -> list[Cell]:
        """Count the events of whole blocks, the first of which is block `first`."""
        n = len(piece.values)
        columns = Columns(
            profile=self.profile,
            buckets=self.base + first + np.arange(n) // self.plan.events,
            values=piece.values,
            codes=piece.codes,
            slices=piece.slices,
            weights=np.ones(n, np.int64),
        )
        return summarise(columns, self._layout)

    def fit(self, cells: Sequence[Cell]) -> None:
        """Fit the profile from the reference's cells."""
        self.profile = fit_cells(self.profile, cells, self.plan.options, self.plan.policy)

    @property
    def learning(self) -> str:
        """Give the reason why streams do not alarm, if there is one."""
        return next((s.reference.learning for s in self.profile.streams), "")

    def start(self) -> ModelJudge:
        """Start a judge with every stream armed."""
        granted = self.plan.granted
        streams = len(self.profile.streams)
        allowances = None if granted is None else [Allowance(granted, 0.0)] * streams
        judge = ModelJudge(
            self.profile, self.plan.policy, "bench", metrics=False, allowances=allowances
        )
        judge.life = _Listener(self, self.plan.policy)
        return judge

    def judge(self, pieces: Iterable[list[Cell]]) -> Verdict:
        """Judge cells, piece by piece, in order."""
        judge = self.start()
        said: list[Alert | Incident] = []
        for cells in pieces:
            said += self.go_on(judge, cells)
        alerts = [one for one in said if isinstance(one, Alert)]
        incidents = [one for one in said if isinstance(one, Incident)]
        return Verdict(judge.life.heard, alerts, incidents)

    def go_on(self, judge: ModelJudge, cells: Sequence[Cell]) -> list[Alert | Incident]:
        """Show a judge more cells, and let their buckets end."""
        if not cells:
            return []
        for cell in cells:
            entry = Entry("bench", self.profile.hash, cell.bucket, cell.events, cell.data)
            judge.take(entry, UNSET, 0)
        return list(judge.finalise((cells[-1].bucket + 1) * self.profile.bucket_ms))


def run_channels(runs: Sequence[NDArray[np.float64]], blocks: int, kind: str) -> list[Channel]:
    """Make a channel of each run (blocks x events), by its first blocks."""
    names = [f"{kind}:r{r:03d}" for r in range(len(runs))]
    known = [run[:blocks].ravel() for run in runs]
    if np.issubdtype(runs[0].dtype, np.floating):
        some = [values[~np.isnan(values)] for values in known]
        return [numeric_channel(name, v) for name, v in zip(names, some, strict=True)]
    texts = np.array([_text(code) for code in range(_NAMES_MAX)])
    return [
        categorical_channel(name, texts[codes[codes >= 0]].tolist())
        for name, codes in zip(names, known, strict=True)
    ]


def _text(code: int) -> str:
    return f"value {code:02d}"


class Runs:
    """Judge independent runs as channels of one model: numbers, or codes of categories.

    A run is blocks x events; NaN and -1 are missing values.
    """

    def __init__(
        self,
        runs: Sequence[NDArray[np.float64]],
        blocks: int,
        plan: Plan | None = None,
        kind: str = "metric",
    ) -> None:
        """Fit the first blocks of every run."""
        self.runs = runs
        self.trial = Trial(plan or Plan(), run_channels(runs, blocks, kind), blocks)
        self._codes = [_codes_of(c) for c in self.trial.profile.channels if c.kind == "categorical"]
        self.trial.fit([cell for cells in self._cells(0, blocks) for cell in cells])

    def _cells(self, first: int, last: int) -> Iterator[list[Cell]]:
        for low in range(first, last, _PIECE_BLOCKS):
            high = min(low + _PIECE_BLOCKS, last)
            parts = [run[low:high].ravel() for run in self.runs]
            n = len(parts[0])
            none = np.zeros((n, 0), np.int32)
            if self._codes:
                known = zip(parts, self._codes, strict=True)
                codes = np.stack([table[part] for part, table in known], axis=1)
                yield self.trial.cells(low, Piece(np.zeros((n, 0)), codes, none))
            else:
                yield self.trial.cells(low, Piece(np.stack(parts, axis=1), none, none))

    def verdict(self) -> Verdict:
        """Judge everything behind the reference."""
        return self.trial.judge(self._cells(self.trial.blocks, len(self.runs[0])))

    def run_of(self, heard: Heard) -> int:
        """Give the run that an alarm belongs to."""
        return self.trial.profile.streams[heard.stream].channel

    def delays(self, heard: Sequence[Heard], change: int) -> list[float]:
        """Give each run's blocks from the change to its first alarm; infinity where none came."""
        found = [np.inf] * len(self.runs)
        for one in heard:
            if one.block > change:
                r = self.run_of(one)
                found[r] = min(found[r], float(one.block - change))
        return found


def _codes_of(channel: Channel) -> NDArray[np.int32]:
    """Map a run's codes to the channel's: unseen ones to the last, -1 (the last entry) stays."""
    table = np.full(_NAMES_MAX + 1, len(channel.categories), np.int32)
    for at, text in enumerate(channel.categories):
        table[int(text.removeprefix("value "))] = at
    table[-1] = -1
    return table
