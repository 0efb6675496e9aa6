"""Car loans: a public log of 50,000 loans in which five of eight things change half-way.

The reference and the analysis of NannyML's synthetic car loans, with their labels: fitted and
judged as a user would, from CSV files, with the default budget and slices of `salary_range`.
"""

import csv
import gzip
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from detectors.alert import Alert, Incident
from driftline.bench.alarms.results import Experiment, Result, Size, Table, Target
from stream.backtest import Backtest
from stream.config import ColumnsConfig, Config, DetectConfig, TimeConfig
from stream.fitting import fit_file

__all__ = ["EXPERIMENT", "measure"]

_CHANGE = 25_000
_FEATURES = (
    "car_value",
    "debt_to_income_ratio",
    "loan_length",
    "driver_tenure",
    "salary_range",
    "size_of_downpayment",
    "repaid_loan_on_prev_car",
)
_BOUNDS = {
    "feature:car_value": 200,
    "feature:repaid_loan_on_prev_car": 200,
    "prediction": 200,
    "feature:loan_length": 350,
    "feature:salary_range": 550,
    "error": 2_500,
}
_SAME = ("feature:debt_to_income_ratio", "feature:driver_tenure", "feature:size_of_downpayment")
_CONFIG = Config(
    # An event every nine minutes: buckets of half an hour let a block hold 50 events, not 60.
    time=TimeConfig(bucket_seconds=1_800, block_seconds=432_000),
    detect=DetectConfig(),
    columns=ColumnsConfig(
        time="timestamp",
        id="id",
        model_name="car_loan",
        prediction="y_pred_proba",
        class_="y_pred",
        label="repaid",
        features=_FEATURES,
        segments=("salary_range",),
    ),
)


def _parts(size: Size) -> list[str]:
    del size
    return ["car_loan"]


def _rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as source:
        return list(csv.DictReader(source))


def _with_labels(folder: Path, target: Path) -> list[str]:
    """Join the labels into the events, write them as CSV, and give the events' times."""
    rows = _rows(folder / "synthetic_car_loan_analysis.csv.gz")
    labels = {r["id"]: r for r in _rows(folder / "synthetic_car_loan_analysis_target.csv.gz")}
    with target.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, [*rows[0], "repaid"])
        writer.writeheader()
        writer.writerows(row | {"repaid": labels[row["id"]]["repaid"]} for row in rows)
    return [row["timestamp"] for row in rows]


def measure(part: str, seed: int, size: Size) -> dict[str, Any]:
    """Fit and backtest the log; give each alert as (channel, slice, events after the change)."""
    del part, seed
    folder = (size.data or Path()) / "car_loan"
    with TemporaryDirectory() as name:
        path = Path(name) / "analysis.csv"
        times = np.array(_with_labels(folder, path), "datetime64[ms]").astype(np.int64)
        reference = folder / "synthetic_car_loan_reference.csv.gz"
        profile, _ = fit_file(reference, _CONFIG, "car_loan", lambda _: None)
        effects = list(Backtest(_CONFIG, [profile]).run([path]))
    fired = []
    for alert in effects:
        if isinstance(alert, Alert) and alert.revision == 0:
            end = np.datetime64(alert.time.rstrip("Z"), "ms").astype(np.int64)
            events = int(np.searchsorted(times, end)) - _CHANGE
            fired.append((alert.channel, dict(alert.slice), events))
    last = {e.id: e for e in effects if isinstance(e, Incident)}
    return {"fired": fired, "incidents": [e.summary for e in last.values()]}


def _conclude(found: Sequence[dict[str, Any]], size: Size) -> Result:
    del size
    (one,) = found
    fired = one["fired"]
    first = {
        channel: min((n for c, where, n in fired if c == channel and not where), default=np.inf)
        for channel in (*_BOUNDS, *_SAME)
    }
    errors = {where["salary_range"] for c, where, _ in fired if c == "error" and where}
    targets = [Target(name=c, reached=first[c], most=most) for c, most in _BOUNDS.items()]
    early = sum(n <= 0 for _, _, n in fired)
    targets.append(Target(name="alerts before the change", reached=early, most=0))
    same = sum(np.isfinite(first[c]) for c in _SAME)
    targets.append(Target(name="alerts on the 3 unchanged channels", reached=float(same), most=0))
    only = float(errors <= {"0 - 20K €"})
    targets.append(Target(name="0 - 20K is the only error slice", reached=only, least=1))
    targets.append(Target(name="incidents", reached=len(one["incidents"]), least=1, most=1))
    rows = [(c, "none" if np.isinf(n) else f"{n:,}") for c, n in first.items()]
    return Result(
        experiment="car_loan",
        says=__doc__.partition("\n\n")[2].strip().replace("\n", " "),
        tables=(
            Table(
                "Events from the change to the first alert over all events",
                ("channel", "events"),
                tuple(rows),
            ),  # fmt: skip
            Table("Incidents", ("first line",), tuple((text,) for text in one["incidents"])),
        ),
        targets=tuple(targets),
    )


EXPERIMENT = Experiment(
    "car_loan", "Does it find what is known to change?", _parts, measure, _conclude, needs_data=True
)
