"""The job of every peer in Python: the sums of one cell, how they are written, and the clock.

Needs numpy only; runs in an environment of the peer's own, which has no driftline.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

FEATURES, BINS = 10, 32
BUCKET_SECONDS = 10
NAMES = tuple(f"f{i}" for i in range(FEATURES))
EDGES = np.array([(np.arange(BINS - 1) * 0.2 - 3.0) * (f + 1) for f in range(FEATURES)])


def options() -> argparse.Namespace:
    """Read what every peer is told."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", default="")
    for name in ("bootstrap", "topic", "output"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--result", type=Path, required=True)
    return parser.parse_args()


def fresh() -> np.ndarray:
    """Give an empty cell: features x (count, sum, sum of squares, 32 bins)."""
    return np.zeros((FEATURES, 3 + BINS))


def bins(values: np.ndarray) -> np.ndarray:
    """Find each value's bin: the number of edges below it; n x features."""
    return np.stack([np.searchsorted(EDGES[f], values[:, f]) for f in range(FEATURES)], axis=1)


def sums(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Make the cell of n events, given their bins."""
    cell = fresh()
    cell[:, 0] = len(values)
    cell[:, 1] = values.sum(axis=0)
    cell[:, 2] = (values * values).sum(axis=0)
    flat = (places + np.arange(FEATURES) * BINS).ravel()
    cell[:, 3:] = np.bincount(flat, minlength=FEATURES * BINS).reshape(FEATURES, BINS)
    return cell


def key(where: str, bucket: int) -> bytes:
    """Name a cell."""
    return f"{where}|{bucket}".encode()


def written(cell: np.ndarray) -> bytes:
    """Write a cell as big-endian doubles."""
    return cell.astype(">f8").tobytes()


class Clock:
    """Measure from the first events to the last."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.seen = 0
        self._started = self._cpu = 0.0

    def start(self) -> None:
        """Start with the first call."""
        if not self._started:
            self._started, self._cpu = time.perf_counter(), time.process_time()

    def count(self, events: int) -> bool:
        """Count events that are done; tell whether these were the last."""
        self.seen += events
        return self.seen >= self.wanted

    def measured(self) -> dict[str, float]:
        """Describe the pass that is done."""
        return {
            "events": self.seen,
            "seconds": time.perf_counter() - self._started,
            "cpu_seconds": time.process_time() - self._cpu,
            "bytes_max": _bytes_max(),
        }


def _bytes_max() -> int:
    """Give the most memory that the process had; getrusage would count its parent's."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def finish(result: Path, measured: dict[str, float]) -> None:
    """Write the result and end at once, whatever a framework still has running."""
    result.write_text(json.dumps([measured]) + "\n")
    os._exit(0)
