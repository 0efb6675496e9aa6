"""Drift of one window: 100,000 rows of 10 numbers against a reference of the same size.

driftline's own code summarises the window (10 x 32 bins and moments, as integers, encoded and
read back as between observe and judge) and gives PSI, Jensen-Shannon, binned KS and the mean of
every feature. Every library does what it is made for, fitted on the reference beforehand, in an
environment of its own: some compute exact Kolmogorov-Smirnov or Wasserstein distances, scouter's
SPC compares means only, whylogs sketches more than is asked here. A rate is rows in a second of
processor time.
"""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.channels import numeric_channel
from detectors.columns import Columns
from detectors.distances import jensen_shannon, psi
from detectors.errors import DriftlineError
from detectors.layout import Layout, layout_of
from detectors.profile import Profile, Span
from detectors.summary.cells import UNIT, Moments, add_cell
from detectors.summary.sums import summarise
from driftline.bench.environments import NotRunError, environment, sources
from driftline.bench.options import Options
from driftline.bench.processes import core_to_pin, pinned
from driftline.bench.results import Ratio, Result, Told

__all__ = ["LIBRARIES", "Library", "Window", "run"]

_FEATURES = 10
_SECONDS_MAX = 300.0
_OWN, _SPC = "driftline", "scouter-ml SPC"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_ONE_THREAD = {**os.environ, **dict.fromkeys(_THREADS, "1")}


class Library(NamedTuple):
    """Name a library's program and what its environment needs."""

    name: str
    program: str
    requirements: tuple[str, ...]


LIBRARIES = (
    Library("evidently", "evidently_window.py", ("evidently==0.7.23", "pandas<3")),
    Library("nannyml", "nannyml_window.py", ("nannyml==0.13.1", "pandas<3", "statsmodels")),
    Library("whylogs", "whylogs_window.py", ("whylogs==1.6.4", "pandas<3")),
    Library("frouros", "frouros_window.py", ("frouros==0.9.0",)),
    Library("alibi-detect", "alibi_window.py", ("alibi-detect==0.13.0",)),
    Library("scouter", "scouter_window.py", ("scouter-ml==0.25.0", "numpy")),
)


class _Told(msgspec.Struct):
    """Hold what a library's program wrote."""

    version: str
    rates: dict[str, float]


class Window:
    """Compare windows with a reference through driftline's own summaries."""

    def __init__(self, reference: NDArray[np.float64]) -> None:
        """Choose bins on the reference, and count it."""
        channels = tuple(
            numeric_channel(f"feature:f{j}", reference[:, j]) for j in range(reference.shape[1])
        )
        self._profile = Profile(
            model="window",
            reference=Span(len(reference), 0, 1),
            bucket_seconds=10,
            block_events=50,
            block_seconds=10,
            channels=channels,
            slices=({},),
            streams=(),
        )
        self._layout: Layout = layout_of(self._profile)
        self._reference = self._counted(reference).counts[0]

    def compare(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give (PSI, Jensen-Shannon, binned KS, mean) for each feature."""
        moments = self._counted(rows)
        found = np.empty((self._layout.channels, 4))
        for c, channel in enumerate(self._profile.channels):
            low, high = self._layout.first_bin[c], self._layout.first_bin[c + 1]
            now, known = moments.counts[0, low:high], self._reference[low:high]
            gap = np.cumsum(now) / now.sum() - np.cumsum(known) / known.sum()
            mean = channel.centre + channel.scale * moments.sums[0, c] / (UNIT * now.sum())
            distances = psi(now, known), jensen_shannon(now, known), np.abs(gap).max(), mean
            found[c] = distances
        return found

    def _counted(self, rows: NDArray[np.float64]) -> Moments:
        n = len(rows)
        columns = Columns(
            profile=self._profile,
            buckets=np.zeros(n, np.int64),
            values=rows,
            codes=np.empty((n, 0), np.int32),
            slices=np.empty((n, 0), np.int32),
            weights=np.ones(n, np.int64),
        )
        moments = Moments.zeros(self._layout)
        for cell in summarise(columns, self._layout):
            add_cell(cell.data, self._layout, moments)
        return moments


def run(options: Options, told: Told) -> Result:
    """Let driftline and every library that can be had take the window in each round."""
    draw = np.random.default_rng(options.seed)
    rows = options.of(100_000, 10_000)
    reference = draw.standard_normal((rows, _FEATURES))
    window = draw.standard_normal((rows, _FEATURES))
    window[:, 0] += 0.1
    own = Window(reference)
    own.compare(window)  # compiles
    not_run: dict[str, str] = {}
    commands: dict[Library, list[str]] = {}
    for library in LIBRARIES:
        try:
            program = str(sources() / "libraries" / library.program)
            needs = (f"library-{library.name}", library.requirements)
            commands[library] = [str(environment(*needs, told, options.python)), program]
        except NotRunError as reason:
            not_run[library.name] = str(reason)
    rounds: list[dict[str, float]] = []
    versions: dict[str, str] = {}
    with TemporaryDirectory(prefix="driftline-bench-") as directory:
        data = Path(directory) / "window.npz"
        np.savez(data, reference=reference, window=window)
        for number in range(1, options.rounds + 1):
            rates = {_OWN: rows / _fastest(lambda: own.compare(window))}
            for library, command in commands.items():
                told.progress(f"Round {number} of {options.rounds}: {library.name}")
                try:
                    found = _of_library(command, data)
                except NotRunError as reason:
                    not_run[library.name] = str(reason)
                    continue
                versions[library.name] = found.version
                rates |= found.rates
            told.line(f"round {number}: " + ", ".join(f"{k} {v:,.0f}" for k, v in rates.items()))
            rounds.append(rates)
    return _result(rounds, not_run, versions)


def _result(
    rounds: list[dict[str, float]], not_run: dict[str, str], versions: dict[str, str]
) -> Result:
    others = dict.fromkeys(name for rates in rounds for name in rates if name != _OWN)
    batch = tuple(name for name in others if name != _SPC)
    each = tuple(Ratio(f"{_OWN} / {name}", _OWN, (name,)) for name in batch)
    return Result(
        bench="libraries",
        says=__doc__.partition("\n\n")[2].strip(),
        unit="rows/s",
        rounds=tuple(rounds),
        ratios=(
            Ratio("driftline / fastest batch library", _OWN, batch),
            Ratio("driftline / scouter SPC", _OWN, (_SPC,)),
            *each,
        ),
        not_run=not_run,
        machine=(", ".join(f"{name} {v}" for name, v in versions.items()),) if versions else (),
    )


def _fastest(compare: Callable[[], object]) -> float:
    """Give the seconds of the fastest of five: a window takes milliseconds only."""
    seconds = []
    for _ in range(5):
        started = time.process_time()
        compare()
        seconds.append(time.process_time() - started)
    return min(seconds)


def _of_library(command: list[str], data: Path) -> _Told:
    """Run a library's program once; NotRunError with the last line it said if it fails."""
    result = data.with_suffix(".json")
    result.unlink(missing_ok=True)
    told = pinned(core_to_pin(), [*command, "--data", str(data), "--result", str(result)])
    try:
        done = subprocess.run(
            told, env=_ONE_THREAD, capture_output=True, text=True, timeout=_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise NotRunError(f"it took more than {_SECONDS_MAX:g} s") from error
    if done.returncode:
        raise NotRunError(done.stderr.strip().rpartition("\n")[2][:160] or "it failed")
    try:
        return msgspec.json.decode(result.read_bytes(), type=_Told)
    except (OSError, msgspec.DecodeError) as error:
        raise DriftlineError(f"{command[-1]} wrote no result: {error}.") from error
