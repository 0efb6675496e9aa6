"""The judge at 20,000 streams: the step of one bucket, in processor time.

Every stream completes a block in every bucket, which is the worst that can come. The step merges
partials, finalises the bucket, closes blocks and runs all detectors and the policy; with
`publish`, every stream's metric is made and encoded besides. Cut is what a snapshot stops the
judge for.
"""

from driftline.bench.judge import JudgeCost, Load, judge_cost
from driftline.bench.options import Options
from driftline.bench.results import Result, Told

__all__ = ["run"]

_LARGE = "20,000 streams"


def run(options: Options, told: Told) -> Result:
    """Measure the step in each round; the best round counts."""
    load = Load(slices=50, buckets=5) if options.short else Load()
    runs = []
    for number in range(1, options.rounds + 1):
        told.progress(f"Round {number} of {options.rounds}")
        runs.append(judge_cost(load))
        told.line(f"round {number}: {_line(runs[-1])}")
    best = min(runs, key=lambda cost: cost.detect_ms["p50"])
    name = f"{best.streams:,} streams" if options.short else _LARGE
    figures = {
        f"{name}: streams": float(best.streams),
        f"{name}: statistics": float(best.statistics),
        f"{name}: step ms": best.detect_ms["p50"],
        f"{name}: step p99 ms": best.detect_ms["p99"],
        f"{name}: step with metrics ms": best.publish_ms["p50"],
        f"{name}: step with metrics p99 ms": best.publish_ms["p99"],
        f"{name}: stream-blocks/s": float(best.blocks_per_second),
        f"{name}: start s": best.start_seconds,
        f"{name}: cut ms": best.cut_seconds * 1e3,
        f"{name}: cells of a bucket MiB": best.cell_bytes / 2**20,
        f"{name}: metrics of a bucket MiB": best.metric_bytes / 2**20,
    }
    return Result(
        bench="judge", says=__doc__.partition("\n\n")[2].strip(), unit="ms", figures=figures
    )


def _line(cost: JudgeCost) -> str:
    return (
        f"{cost.streams:,} streams, step {cost.detect_ms['p50']:.1f} ms (p99 "
        f"{cost.detect_ms['p99']:.1f}), with metrics {cost.publish_ms['p50']:.1f} ms"
    )
