"""Slices: a shift of .5 sd in 1 of 20 slices, each with a twentieth of the events.

Fifteen features in one model, each of which shifts in another slice; a slice's block of 50
events takes 20 blocks of the model.  All streams of a feature share one false alarm in 10,000
blocks: A = 10,000 x 21 each.  The slice is named first if the first revision of an incident that
tells of the feature names that slice.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from detectors.alert import Incident
from detectors.channels import numeric_channel
from detectors.policy import Policy
from detectors.summary.cells import Cell
from driftline.bench.alarms.intervals import median_interval, share_interval
from driftline.bench.alarms.results import Experiment, Result, Size, Table, Target
from driftline.bench.alarms.trial import ANY_EFFECT, GRANTED, Piece, Plan, Trial

__all__ = ["EXPERIMENT", "measure"]

_SLICES, _FEATURES, _EVENTS = 20, 15, 50
_BLOCKS, _BEFORE, _AFTER = 20_160, 400, 400
_PIECE_BLOCKS = 1_000
_KEY = "shop"


def _parts(size: Size) -> list[tuple[float, bool]]:
    """List (shift, default minimum effect?)."""
    return [(0.5, False)] if size.short else [(0.5, False), (1.0, False), (0.5, True)]


def _pieces(
    trial: Trial, draw: np.random.Generator, span: tuple[int, int], shift: float
) -> Iterator[list[Cell]]:
    """Draw blocks in which feature f is off in slice f."""
    for low in range(*span, _PIECE_BLOCKS):
        n = (min(low + _PIECE_BLOCKS, span[1]) - low) * _EVENTS
        slices = draw.integers(0, _SLICES, n)
        values = draw.normal(size=(n, len(trial.profile.channels)))
        features = np.arange(values.shape[1])
        values += shift * (slices[:, None] == features)
        codes = np.zeros((n, 0), np.int32)
        yield trial.cells(low, Piece(values, codes, (1 + slices[:, None]).astype(np.int32)))


def measure(part: tuple[float, bool], seed: int, size: Size) -> dict[str, Any]:
    """Measure delay, naming and false alarms of one shift."""
    shift, default = part
    features, blocks = size.of(_FEATURES, 4), size.of(_BLOCKS, 6_000)
    draw = np.random.default_rng((seed, 20))
    plan = Plan(
        events=_EVENTS,
        slices=({}, *({_KEY: f"s{i:02d}"} for i in range(_SLICES))),
        policy=Policy() if default else ANY_EFFECT,
        granted=GRANTED * (_SLICES + 1),
    )
    names = [f"metric:f{f:02d}" for f in range(features)]
    channels = [numeric_channel(name, draw.standard_normal(200_000)) for name in names]
    trial = Trial(plan, channels, blocks)
    trial.fit([c for cells in _pieces(trial, draw, (0, blocks), 0.0) for c in cells])
    at = blocks + _BEFORE
    spans = (((blocks, at), 0.0), ((at, at + _AFTER), shift))
    verdict = trial.judge(cells for s, x in spans for cells in _pieces(trial, draw, s, x))
    first: dict[int, int] = {}
    for one in verdict.heard:
        if one.block > at:
            first.setdefault(trial.profile.streams[one.stream].channel, one.block - at)
    return {
        "shift": shift,
        "default": default,
        "delays": [first.get(f, float("inf")) * _EVENTS for f in range(features)],
        "named": sum(_names(verdict.incidents, name, f) for f, name in enumerate(names)),
        "early": sum(one.block <= at for one in verdict.heard),
    }


def _names(incidents: Sequence[Incident], channel: str, of_slice: int) -> bool:
    """Say whether the first telling of a channel gives its slice as the cause."""
    for incident in incidents:
        for cause in incident.causes:
            if cause.channel == channel:
                return cause.slice == {_KEY: f"s{of_slice:02d}"}
    return False


def _conclude(found: Sequence[dict[str, Any]], size: Size) -> Result:
    rows, targets = [], []
    for one in found:
        n = len(one["delays"])
        middle = float(np.median(one["delays"]))
        low, high = median_interval(one["delays"])
        bottom, top = share_interval(one["named"], n)
        name = f"{one['shift']:g} sd" + (", default minimum effect" if one["default"] else "")
        told = f"{one['named']} of {n} [{bottom:.0%}-{top:.0%}]"
        delay = f"{middle:,.0f} [{low:,.0f}-{high:,.0f}]"
        rows.append((name, delay, f"{middle / _SLICES:,.0f}", told, f"{one['early']}"))
        if one["shift"] == 0.5 and not one["default"]:
            most = size.of(4_500, 6_500)
            targets.append(Target(name=f"events of the model, {name}", reached=middle, most=most))
            least = size.of(14, 3)
            reached = one["named"]
            targets.append(Target(name=f"named first, of {n}", reached=reached, least=least))
            targets.append(Target(name="false alarms", reached=one["early"], most=0))
    columns = (
        "shift",
        "events of the model [95 %]",
        "of the slice",
        "named first",
        "false, before",
    )
    return Result(
        experiment="slices",
        says=__doc__.partition("\n\n")[2].strip().replace("\n", " "),
        tables=(Table("One of twenty slices shifts", columns, tuple(rows)),),
        targets=tuple(targets),
    )


EXPERIMENT = Experiment("slices", "Is one slice of twenty found?", _parts, measure, _conclude)
