"""Speed: how many blocks of channels a second the judge takes, on one core.

Cells are decoded, added up and closed as blocks; scores, seasons, whitening, the mixture, the
watch over rare things, ADWIN and Page-Hinkley beside them, alerts and incidents: all of it, but
not the metrics' records.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from detectors.channels import numeric_channel
from driftline.bench.alarms.results import Experiment, Result, Size, Table, Target
from driftline.bench.alarms.trial import Piece, Plan, Trial

__all__ = ["EXPERIMENT", "measure"]

_BLOCKS, _LIVE, _EVENTS = 600, 400, 50
_ROUNDS = 3


def _parts(size: Size) -> list[int]:
    return [] if size.short else [16, 200, 1_000]


def measure(channels: int, seed: int, size: Size) -> dict[str, Any]:
    """Give the channel-blocks a second of the best of three rounds."""
    del size
    draw = np.random.default_rng((seed, channels))
    pool = draw.standard_normal((_EVENTS * 100, channels))
    names = [f"metric:r{c:04d}" for c in range(channels)]
    known = [numeric_channel(name, pool[:, c]) for c, name in enumerate(names)]
    trial = Trial(Plan(events=_EVENTS), known, _BLOCKS)
    cells = []
    for low in range(0, _BLOCKS + _LIVE, 100):
        values = pool[draw.permutation(len(pool))]
        cells += trial.cells(low, Piece.of(values))
    at = next(i for i, cell in enumerate(cells) if cell.bucket >= trial.base + _BLOCKS)
    trial.fit(cells[:at])
    best = np.inf
    for _ in range(_ROUNDS):
        judge = trial.start()
        started = time.process_time()
        trial.go_on(judge, cells[at:])
        best = min(best, time.process_time() - started)
    return {"channels": channels, "rate": channels * _LIVE / best}


def _conclude(found: Sequence[dict[str, Any]], size: Size) -> Result:
    del size
    rows = tuple((f"{one['channels']:,}", f"{one['rate']:,.0f}") for one in found)
    best = max(one["rate"] for one in found)
    return Result(
        experiment="speed",
        says=__doc__.partition("\n\n")[2].strip().replace("\n", " "),
        tables=(Table("The judge alone", ("channels", "channel-blocks a second"), rows),),
        targets=(Target(name="channel-blocks a second", reached=best, least=500_000),),
    )


EXPERIMENT = Experiment("speed", "How fast is the judge?", _parts, measure, _conclude)
