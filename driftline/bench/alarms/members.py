"""Members: 400 streams (20 features x 20 slices) that are correlated, and who takes part.

The slices of a feature have a common factor: their block means are correlated by .3.  Attained:
alarms of the whole model when nothing changes, of what its budget grants (one in 1,000 blocks
here, so that 20,000 blocks show 20).  Members: one feature shifts by .5 sd of a block's mean in
all its slices, under one in 10,000 blocks; ten blocks after the first alarm of a slice, who is
listed at the level A / 20.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from detectors.channels import numeric_channel
from detectors.members import members_at
from detectors.summary.cells import Cell
from driftline.bench.alarms.intervals import times
from driftline.bench.alarms.results import Experiment, Result, Size, Table, Target
from driftline.bench.alarms.trial import Piece, Plan, Trial

__all__ = ["EXPERIMENT", "measure"]

_SLICES, _FEATURES, _EVENTS = 20, 20, 1_000
_RHO = 0.3
_BLOCKS, _NULL_BLOCKS, _A_NULL, _A = 2_016, 10_000, 1_000, 10_000
_STREAMS = (_SLICES + 1) * _FEATURES
_PIECE_BLOCKS = 100
_CHANGED = 3
_LATER = 10


def _parts(size: Size) -> list[str]:
    return [] if size.short else ["null 1", "null 2", "members"]


def _pieces(
    trial: Trial, draw: np.random.Generator, span: tuple[int, int], shift: float
) -> Iterator[list[Cell]]:
    """Draw blocks with 50 events of each slice, and a factor of each feature."""
    n_slice = _EVENTS // _SLICES
    common = np.sqrt(_RHO / (1 - _RHO) / n_slice)
    slices = np.tile(np.repeat(np.arange(1, _SLICES + 1), n_slice), _PIECE_BLOCKS)
    for low in range(*span, _PIECE_BLOCKS):
        blocks = min(low + _PIECE_BLOCKS, span[1]) - low
        n = blocks * _EVENTS
        values = draw.standard_normal((n, _FEATURES), dtype=np.float32).astype(np.float64)
        factors = common * draw.normal(size=(blocks, _FEATURES))
        values += np.repeat(factors, _EVENTS, axis=0)
        values[:, _CHANGED] += shift
        codes = np.zeros((n, 0), np.int32)
        yield trial.cells(low, Piece(values, codes, slices[:n, None].astype(np.int32)))


def _fitted(draw: np.random.Generator, granted: int) -> Trial:
    slices = ({}, *({"shop": f"s{i:02d}"} for i in range(_SLICES)))
    plan = Plan(events=_EVENTS, slices=slices, granted=granted * _STREAMS)
    names = [f"feature:f{f:02d}" for f in range(_FEATURES)]
    channels = [numeric_channel(name, draw.standard_normal(200_000)) for name in names]
    trial = Trial(plan, list(channels), _BLOCKS)
    trial.fit([c for cells in _pieces(trial, draw, (0, _BLOCKS), 0.0) for c in cells])
    return trial


def measure(part: str, seed: int, size: Size) -> dict[str, Any]:
    """Measure the alarms of a null model, or the members of one that changes."""
    del size
    draw = np.random.default_rng((seed, *map(ord, part)))
    if part.startswith("null"):
        trial = _fitted(draw, _A_NULL)
        last = _BLOCKS + _NULL_BLOCKS
        verdict = trial.judge(_pieces(trial, draw, (_BLOCKS, last), 0.0))
        opened = sum(one.revision == 0 for one in verdict.incidents)
        return {"alarms": len(verdict.heard), "incidents": opened}
    trial = _fitted(draw, _A)
    # In sd of a block's mean of a slice, the common factor included.
    shift = 0.5 * float(np.sqrt(_SLICES / _EVENTS / (1 - _RHO)))
    return {"members": [_members(trial, draw, shift) for _ in range(12)]}


def _members(trial: Trial, draw: np.random.Generator, shift: float) -> tuple[int, int]:
    """Give the changed slices and the others that are listed after the change was found."""
    judge = trial.start()
    streams = trial.profile.streams
    alarmed: set[int] = set()
    found_at = -1
    for at in range(_BLOCKS, _BLOCKS + 600):
        moved = shift if at >= _BLOCKS + 50 else 0.0
        for cells in _pieces(trial, draw, (at, at + 1), moved):
            trial.go_on(judge, cells)
        heard = {one.stream for one in judge.life.heard if streams[one.stream].slice}
        alarmed |= heard
        if found_at < 0 and heard:
            found_at = at
        if found_at >= 0 and at >= found_at + _LATER:
            break
    strengths = judge.panel.strength.copy()
    for j in alarmed:
        strengths[j] = max(strengths[j], 1.0)
    inside = [streams[j] for j in members_at(strengths.tolist()) if streams[j].slice]
    true = sum(s.channel == _CHANGED and not s.missing for s in inside)
    return true, len(inside) - true


def _conclude(found: Sequence[dict[str, Any]], size: Size) -> Result:
    del size
    null = [one for one in found if "alarms" in one]
    nominal = len(null) * _NULL_BLOCKS / _A_NULL
    alarms, incidents = (sum(one[key] for one in null) for key in ("alarms", "incidents"))
    pairs = next(one["members"] for one in found if "members" in one)
    true, false = (float(np.mean(column)) for column in zip(*pairs, strict=True))
    rows = (
        ("alarms / nominal [95 %]", times(alarms, nominal)),
        ("incidents / nominal [95 %]", times(incidents, nominal)),
        ("changed slices listed, mean of 12", f"{true:.1f} of {_SLICES}"),
        ("others listed, mean of 12", f"{false:.2f} of {_SLICES * (_FEATURES - 1)}"),
    )
    targets = (
        Target(name="attained by the model", reached=alarms / nominal, most=2.0),
        Target(name="changed slices listed", reached=true, least=8.0),
        Target(name="others listed", reached=false, most=0.5),
    )
    return Result(
        experiment="members",
        says=__doc__.partition("\n\n")[2].strip().replace("\n", " "),
        tables=(Table("400 correlated streams", ("what", "figure"), rows),),
        targets=targets,
    )


EXPERIMENT = Experiment("members", "Who takes part in an incident?", _parts, measure, _conclude)
