"""What must be reached, row by row, and whether the results reach it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from driftline.bench.alarms.results import Table
from driftline.bench.results import Result
from driftline.bench.tables import number

__all__ = ["TARGETS", "Target", "targets_table"]


class Target(NamedTuple):
    """Say which ratio (best round) or figure of a bench must reach a bound."""

    what: str
    bench: str
    name: str
    bound: float
    # At most, where less is better; a text where the bound is itself a figure.
    most: bool = False
    unit: str = "x"
    bound_figure: str = ""

    def measured(self, result: Result | None) -> float | None:
        """Find the ratio or figure; None if it was not measured."""
        if result is None:
            return None
        if (spread := result.ratio(self.name)) is not None:
            return spread.best
        return result.figures.get(self.name)

    def row(self, results: Mapping[str, Result]) -> tuple[str, str, str, str]:
        """Say what was wanted and measured, and by how much it was missed."""
        result = results.get(self.bench)
        value = self.measured(result)
        bound = (
            result.figures.get(self.bound_figure) if result and self.bound_figure else self.bound
        )
        sign, unit = "≤" if self.most else "≥", f" {self.unit}"
        wanted = self.bound_figure or f"{sign} {number(self.bound)}{unit}"
        if value is None or bound is None:
            return self.what, wanted, "", "not measured"
        if self.bound_figure:
            wanted = f"{sign} {number(bound)}{unit}, computed"
        met = value <= bound if self.most else value >= bound
        short = value / bound - 1 if self.most else 1 - value / bound
        verdict = "met" if met else f"**missed** by {short:.0%}"
        return self.what, wanted, f"{number(value)}{unit}", verdict


_BATCH = "window of 100k x 10: PSI, JS, binned KS, mean / each batch library"
TARGETS: Sequence[Target] = (
    Target("JSON events, hot path / naive Faust + river", "throughput", "hot path / naive", 50),
    Target(
        "hot path / better of tuned Kafka Streams Processor API and Flink, warm",
        "peers",
        "hot path / better of Kafka Streams and Flink, warm",
        2,
    ),
    Target("hot path / hand loop (orjson + numpy in batches)", "peers", "hot path / hand loop", 3),
    Target("record-object path / naive", "throughput", "record path / naive", 12),
    Target("Arrow messages / JSON hot path", "throughput", "Arrow / JSON, hot path", 5),
    Target(
        "share of the limit of the same run without Faust",
        "throughput",
        "share of the limit without Faust",
        0.7,
    ),
    Target("zstd-compressed input / uncompressed", "throughput", "zstd / uncompressed", 0.6),
    Target(
        "2 processes / 1: cpu per event",
        "scale",
        "2 workers / 1: cpu per event",
        1.15,
        most=True,
    ),
    Target(_BATCH, "libraries", "driftline / fastest batch library", 10),
    Target(f"{_BATCH}: scouter's SPC", "libraries", "driftline / scouter SPC", 1),
    Target("ADWIN bank / river", "detectors", "ADWIN bank / river", 2),
    Target("Page-Hinkley bank / river", "detectors", "Page-Hinkley bank / river", 50),
    Target(
        "Shiryaev-Roberts bank (40 accumulators a stream)",
        "detectors",
        "Shiryaev-Roberts stream-blocks/s",
        1_000_000,
        unit="stream-blocks/s",
    ),
    Target(
        "one bucket step of the judge at 20,000 streams, every one with a block",
        "judge",
        "bucket step p50 ms",
        50,
        most=True,
        unit="ms",
    ),
    Target(
        "p99 emit → alert at 2k events/s, beyond bucket + lateness + pane",
        "latency",
        "2,000/s: p99 ms beyond",
        250,
        most=True,
        unit="ms",
    ),
    Target(
        "p99 emit → alert at 50k events/s, beyond bucket + lateness + pane",
        "latency",
        "50,000/s: p99 ms beyond",
        250,
        most=True,
        unit="ms",
    ),
    Target(
        "resident memory of a worker's largest role at 1,000 streams",
        "memory",
        "1,000 streams: largest role MiB",
        300,
        most=True,
        unit="MiB",
    ),
    Target(
        "resident memory of a worker's largest role at 20,000 streams",
        "memory",
        "20,000 streams: largest role MiB",
        0,
        most=True,
        unit="MiB",
        bound_figure="20,000 streams: bound MiB",
    ),
)


def targets_table(results: Sequence[Result]) -> Table:
    """Make the table of all targets."""
    by_bench = {result.bench: result for result in results}
    rows = tuple(target.row(by_bench) for target in TARGETS)
    return Table("What must be reached", ("what", "wanted", "measured", ""), rows)
