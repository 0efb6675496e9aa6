"""Resident memory of a worker's two roles, over models of 1,000 and 20,000 streams.

A stream is one channel in one slice. The roles read a filled topic to its end; a figure is the
most that a process had resident (VmHWM), the compiled code and the libraries included. What has
to be compiled is compiled beforehand: the first start on a machine takes 130 MiB more. The
bound is what the role itself worked out and logged at its start, with what it had then.
"""

from driftline.bench.events import Shape
from driftline.bench.options import Options
from driftline.bench.place import Wanted, place
from driftline.bench.results import Result, Told
from driftline.bench.workers import run_worker
from stream.warmup import warm_judge, warm_observe

__all__ = ["run"]

_SHAPES = {1_000: Shape(features=10, stores=47), 20_000: Shape(features=66, stores=150)}
_MIB = 2**20


def run(options: Options, told: Told) -> Result:
    """Run a worker over each model, once."""
    figures: dict[str, float] = {}
    warm_observe()
    warm_judge()
    for streams, shape in _SHAPES.items():
        if options.short and streams > 1_000:
            continue
        wanted = Wanted(options.events, options.seed, config_path=options.config_path, shape=shape)
        name = f"{streams:,} streams"
        told.progress(f"A model of {name}")
        with place(wanted, options.bootstrap, told) as where:
            worked = run_worker(where)
            figures[f"{name}: streams of the profile"] = len(where.profile.streams)
        found = {"observe": worked.observe_bytes_max, "judge": worked.judge_bytes_max}
        figures |= {f"{name}: {role} MiB": most / _MIB for role, most in found.items()}
        largest = max(found, key=lambda role: found[role])
        bounds = {"observe": worked.observe_bound_bytes, "judge": worked.judge_bound_bytes}
        figures |= {f"{name}: {role} bound MiB": most / _MIB for role, most in bounds.items()}
        figures[f"{name}: largest role MiB"] = found[largest] / _MIB
        figures[f"{name}: bound MiB"] = bounds[largest] / _MIB
        told.line(f"{name}: " + ", ".join(f"{k} {v / _MIB:,.0f} MiB" for k, v in found.items()))
    return Result(
        bench="memory", says=__doc__.partition("\n\n")[2].strip(), unit="MiB", figures=figures
    )
