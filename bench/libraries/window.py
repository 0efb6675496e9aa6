"""The window that every library gets: 100,000 x 10 floats against a reference of the same size."""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

_WARM_ROWS = 1_000
# The fastest of so many, but no more once they have taken so long.
_TIMES, _SECONDS = 5, 2.0

Case = tuple[str, Callable[[np.ndarray, np.ndarray], Callable[[np.ndarray], Any]]]


def measure(package: str, cases: list[Case]) -> None:
    """Time each case on the whole window, after a small one; write the result.

    A case is fitted on the reference first, which is not timed.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--result", type=Path, required=True)
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore")
    with np.load(chosen.data) as arrays:
        reference, window = arrays["reference"], arrays["window"]
    rates = {}
    for name, fit in cases:
        fit(reference[:_WARM_ROWS], window)(window[:_WARM_ROWS])
        compare = fit(reference, window)
        seconds = []
        while len(seconds) < _TIMES and sum(seconds) < _SECONDS:
            started = time.process_time()
            compare(window)
            seconds.append(time.process_time() - started)
        rates[f"{package} {name}"] = len(window) / min(seconds)
    told = {"version": version(package), "rates": rates}
    chosen.result.write_text(json.dumps(told) + "\n")
