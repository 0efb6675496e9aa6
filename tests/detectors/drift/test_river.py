"""ADWIN and Page-Hinkley find what river 0.26.1 finds, at the same index, with the same bits."""

import gzip
import inspect
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import river
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift

from detectors import ADWIN, PageHinkley

ORACLE = Path(__file__).resolve().parents[4] / "shared" / "data" / "oracle"

ADWIN_PARAMETERS: list[dict[str, Any]] = [
    {},
    {"delta": 0.05},
    {"delta": 0.3, "clock": 1},
    {"clock": 7, "max_buckets": 3, "min_window_length": 2, "grace_period": 0},
    {"clock": 1, "max_buckets": 2, "min_window_length": 1, "grace_period": 1},
    {"delta": 0.9, "clock": 8, "min_window_length": 2, "grace_period": 16},
    {"delta": 1e-6, "max_buckets": 9, "min_window_length": 20, "grace_period": 100},
]
PAGE_HINKLEY_PARAMETERS: list[dict[str, Any]] = [
    {},
    {"mode": "up"},
    {"mode": "down", "threshold": 5.0},
    {"threshold": 3.0, "delta": 0.0, "alpha": 1.0, "min_instances": 1},
    {"threshold": 8.0, "delta": 0.1, "alpha": 0.97, "min_instances": 100},
]
PAIRS = [(ADWIN, drift.ADWIN, p) for p in ADWIN_PARAMETERS] + [
    (PageHinkley, drift.PageHinkley, p) for p in PAGE_HINKLEY_PARAMETERS
]
each_pair = pytest.mark.parametrize(
    ("ours", "theirs", "parameters"), PAIRS, ids=[f"{a.__name__}-{p}" for a, _, p in PAIRS]
)


def alarms(detector: Any, values: list[float]) -> list[int]:
    found = []
    for i, x in enumerate(values):
        detector.update(x)
        if detector.drift_detected:
            found.append(i)
    return found


def assert_twins(ours: Any, theirs: Any, values: list[float]) -> int:
    """Compare flags and sums after every value, bit for bit; return the number of alarms."""
    found = 0
    for i, x in enumerate(values):
        ours.update(x)
        theirs.update(x)
        assert ours.drift_detected == theirs.drift_detected, i
        found += ours.drift_detected
        if isinstance(theirs, drift.ADWIN):
            assert ours.width == theirs.width, i
            assert (ours.total, ours.variance) == (theirs.total, theirs.variance), i
            assert ours.estimation == theirs.estimation, i
        else:
            sums = (theirs._x_mean.get(), theirs._sum_increase, theirs._sum_decrease)
            assert tuple(ours._state[0, 1:4]) == sums, i
    return found


def seeded_streams() -> dict[str, list[float]]:
    rng = np.random.default_rng(20261123)
    steps = np.repeat(rng.normal(0, 1, 12), 500)
    noise = rng.normal(size=6_000)
    return {
        "steps": (steps + noise).tolist(),
        "scaled": (100 * steps + 30 * noise - 1e4).tolist(),
        "binary": (rng.random(6_000) < np.repeat([0.05, 0.5, 0.1], 2_000)).astype(float).tolist(),
        "heavy": rng.standard_t(1.5, 6_000).tolist(),
        "constant": [3.3] * 2_000 + [3.4] * 2_000,
        "ramp": (np.linspace(0, 3, 6_000) + 0.3 * noise).tolist(),
        "variance": (noise * np.repeat([0.1, 3.0], 3_000)).tolist(),
    }


def test_river_is_the_version_that_the_indices_are_from() -> None:
    assert river.__version__ == "0.26.1"


def test_the_defaults_are_those_of_river() -> None:
    for ours, theirs in ((ADWIN, drift.ADWIN), (PageHinkley, drift.PageHinkley)):
        defaults = [
            {name: p.default for name, p in inspect.signature(c).parameters.items()}
            for c in (ours, theirs)
        ]
        assert defaults[0] == defaults[1]
        assert list(defaults[0]) == list(defaults[1])


@each_pair
def test_seeded_streams_alarm_at_the_same_indices(
    ours: Any, theirs: Any, parameters: dict[str, Any]
) -> None:
    found = [
        assert_twins(ours(**parameters), theirs(**parameters), values)
        for values in seeded_streams().values()
    ]
    assert sum(found) > 0


@each_pair
@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    pieces=st.lists(
        st.tuples(
            st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20),
            st.integers(1, 12),
        ),
        max_size=12,
    )
)
def test_generated_streams_alarm_at_the_same_indices(
    ours: Any, theirs: Any, parameters: dict[str, Any], pieces: list[tuple[list[float], int]]
) -> None:
    values = [x for block, repeats in pieces for x in block * repeats]
    assert_twins(ours(**parameters), theirs(**parameters), values)


def test_adwin_with_one_bucket_a_row_is_a_twin() -> None:
    rng = np.random.default_rng(5)
    found = 0
    for _ in range(20):
        values = (rng.normal(size=900) + np.repeat(rng.normal(0, 2, 3), 300)).tolist()
        parameters = {"delta": 0.002, "max_buckets": 1, "clock": 8}
        found += assert_twins(ADWIN(**parameters), drift.ADWIN(**parameters), values)
    assert found > 10


def oracle(name: str) -> Path:
    """Find a file of the oracle beside the repository; else skip and say so."""
    path = ORACLE / name
    if not path.exists():
        pytest.skip(f"The oracle's {name} is not in ../shared/data/oracle: not compared with it.")
    return path


@cache
def oracle_stream(name: str) -> list[float]:
    return [float(x) for x in gzip.decompress(oracle(f"{name}.txt.gz").read_bytes()).split()]


def parsed(params: str) -> dict[str, Any]:
    """Read parameters as the oracle writes them: `delta=0.002,clock=1`, `defaults mode=both`."""
    pairs = (word.split("=") for word in params.replace(",", " ").split() if "=" in word)
    kinds = {"delta": float, "clock": int, "mode": str}
    return {name: kinds[name](value) for name, value in pairs}


def test_the_oracle_s_alarms_are_ours() -> None:
    twins = {"river ADWIN": ADWIN, "river PageHinkley": PageHinkley}
    compared = 0
    for line in oracle("river_alarms.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["detector"] in twins:
            detector = twins[record["detector"]](**parsed(record["params"]))
            assert alarms(detector, oracle_stream(record["stream"])) == record["alarms"], record
            assert record["n_alarms"] == len(record["alarms"])
            compared += 1
    assert compared == 44


ORACLE_STREAMS = [
    "capymoa_tutorial",
    "carloan_err",
    "frouros_stream_drift",
    "river_s1",
    "river_s2",
    "river_s3",
    "river_s4",
    "river_s5",
    "stationary_bern_0.2",
]


@pytest.mark.parametrize("name", ORACLE_STREAMS)
def test_every_stream_of_the_oracle_gives_the_same_bits_as_river(name: str) -> None:
    values = oracle_stream(name)[:20_000]
    for ours, theirs, parameters in (
        (ADWIN, drift.ADWIN, {"delta": 0.05, "clock": 5}),
        *PAIRS[len(ADWIN_PARAMETERS) :][:2],
    ):
        assert_twins(ours(**parameters), theirs(**parameters), values)


def test_no_stream_of_the_oracle_is_left_out() -> None:
    meta = json.loads(oracle("META.json").read_text())
    assert sorted(meta) == ORACLE_STREAMS
    assert all(len(oracle_stream(name)) == meta[name]["n"] for name in ORACLE_STREAMS)
