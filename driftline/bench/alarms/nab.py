"""NAB: the Numenta Anomaly Benchmark's artificial files and advertising exchanges.

One value a block, the first 15 % of a file as its reference, one false alarm granted in 10,000
rows.  Rows count as evenly spaced.  A window is found if an alert is raised in it; every other
alert is false.  Single spikes are not drift, and one block alone never alarms.  Six files have
references of under 500 blocks, which the product calls `learning` and would not alarm on: they
are judged here all the same, and their false alerts told apart.
"""

import csv
import gzip
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from driftline.bench.alarms.results import Experiment, Result, Size, Table, Target
from driftline.bench.alarms.trial import Plan, Runs

__all__ = ["EXPERIMENT", "measure"]

_REFERENCE = 0.15


def _folder(size: Size) -> Path:
    return (size.data or Path()) / "nab"


def _parts(size: Size) -> list[str]:
    windows = _folder(size) / "windows.json"
    return [] if size.short else sorted(msgspec.json.decode(windows.read_bytes()))


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def measure(name: str, seed: int, size: Size) -> dict[str, Any]:
    """Judge one file; nothing is drawn."""
    del seed
    with gzip.open(_folder(size) / "data" / f"{name}.gz", "rt", encoding="utf-8") as stream:
        rows = [(_seconds(row["timestamp"]), float(row["value"])) for row in csv.DictReader(stream)]
    times, values = (np.array(column) for column in zip(*rows, strict=True))
    windows = msgspec.json.decode((_folder(size) / "windows.json").read_bytes())[name]
    blocks = int(_REFERENCE * len(values))
    step = int(np.median(np.diff(times)))
    start = int(times[0]) // step * step
    plan = Plan(bucket_seconds=step, events=1, block_events=1, start_ms=1000 * start)
    judged = Runs([values[:, None]], blocks, plan)
    heard = judged.verdict().heard
    at = [float(times[min(one.block, len(times)) - 1]) for one in heard if one.fires]
    spans = [(_seconds(low), _seconds(high)) for low, high in windows]
    found = sum(any(low <= t <= high for t in at) for low, high in spans)
    false = sum(not any(low <= t <= high for low, high in spans) for t in at)
    learning = judged.trial.learning
    return {"name": name, "windows": len(spans), "found": found, "false": false, "why": learning}


def _conclude(found: Sequence[dict[str, Any]], size: Size) -> Result:
    del size
    rows = tuple(
        (x["name"], f"{x['found']} of {x['windows']}", f"{x['false']}", x["why"]) for x in found
    )
    artificial = sum(x["found"] for x in found if "WithAnomaly" in x["name"])
    quiet = sum(x["false"] for x in found if "NoAnomaly" in x["name"])
    known = sum(x["false"] for x in found if not x["why"])
    targets = (
        Target(name="artificial windows found, of 6", reached=artificial, least=5),
        Target(name="alerts on files without anomaly", reached=quiet, most=0),
        Target(name="false alerts, files that are not learning", reached=known, most=2),
    )
    columns = ("file", "windows found", "false alerts", "learning, because")
    return Result(
        experiment="nab",
        says=__doc__.partition("\n\n")[2].strip().replace("\n", " "),
        tables=(Table("Numenta Anomaly Benchmark", columns, rows),),
        targets=targets,
    )


EXPERIMENT = Experiment("nab", "What of NAB is found?", _parts, measure, _conclude, needs_data=True)
