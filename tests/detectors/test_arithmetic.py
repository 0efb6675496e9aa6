"""exp and log: within 2 units in the last place, and the same bits on any CPU."""

import math
import os
import subprocess
import sys
from decimal import Context, Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.arithmetic import exp, log

ROOT = Path(__file__).resolve().parents[2]
EXACT = Context(prec=50, Emin=-10_000, Emax=10_000)
SMALLEST = 5e-324
LARGEST = sys.float_info.max

derandomised = settings(derandomize=True, deadline=None, max_examples=500)


def ulps(got: float, true: Decimal) -> float:
    """Measure the error of `got` in units in the last place of the true value."""
    return float(abs(Decimal(got) - true) / Decimal(math.ulp(float(true))))


@derandomised
@given(st.floats(-745.0, 709.78))
def test_exp_is_within_2_ulp_of_the_true_value(x: float) -> None:
    assert ulps(exp(x), EXACT.exp(Decimal(x))) <= 2


@derandomised
@given(st.floats(SMALLEST, LARGEST))
def test_log_is_within_2_ulp_of_the_true_value(x: float) -> None:
    assert ulps(log(x), EXACT.ln(Decimal(x))) <= 2


def test_exp_is_within_2_ulp_of_math_on_a_dense_sweep() -> None:
    sweep = np.concatenate(
        [
            np.linspace(-745.0, 709.78, 40_001),
            np.linspace(-1.0, 1.0, 10_001),
            np.geomspace(1e-300, 1e-3, 2_001),
            -np.geomspace(1e-300, 1e-3, 2_001),
        ]
    )
    for x in sweep.tolist():
        assert abs(exp(x) - math.exp(x)) <= 2 * math.ulp(math.exp(x)), x


def test_log_is_within_2_ulp_of_math_on_a_dense_sweep() -> None:
    sweep = np.concatenate(
        [
            np.geomspace(sys.float_info.min, 1e308, 40_001),
            np.linspace(0.4, 2.5, 20_001),
            1.0 + np.linspace(-1e-9, 1e-9, 2_001),
            SMALLEST * np.arange(1, 2_000),
            np.geomspace(1e-320, 1e-308, 1_001),
        ]
    )
    for x in sweep.tolist():
        assert abs(log(x) - math.log(x)) <= 2 * math.ulp(math.log(x)), x


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (0.0, 1.0),
        (-0.0, 1.0),
        (709.7827128933841, math.inf),
        (711.0, math.inf),
        (math.inf, math.inf),
        (-745.0, SMALLEST),
        (-745.1332191019412, 0.0),
        (-746.5, 0.0),
        (-math.inf, 0.0),
    ],
)
def test_exp_at_the_ends_of_its_range(x: float, expected: float) -> None:
    assert exp(x) == expected


def test_exp_reaches_the_largest_numbers_without_overflow() -> None:
    top = 709.782712893384
    assert ulps(exp(top), EXACT.exp(Decimal(top))) <= 2
    assert math.isnan(exp(math.nan))


def test_exp_rounds_subnormal_results_once() -> None:
    for x in np.linspace(-745.0, -708.3, 4_001).tolist():
        assert abs(exp(x) - math.exp(x)) <= SMALLEST * max(1, 2 * math.exp(x) / 2.3e-308), x


@pytest.mark.parametrize(
    ("x", "expected"),
    [(0.0, -math.inf), (-0.0, -math.inf), (1.0, 0.0), (math.inf, math.inf)],
)
def test_log_at_the_ends_of_its_range(x: float, expected: float) -> None:
    assert log(x) == expected


@pytest.mark.parametrize("x", [-SMALLEST, -1.0, -math.inf, math.nan])
def test_log_of_what_has_none_is_nan(x: float) -> None:
    assert math.isnan(log(x))


def test_both_rise_where_neighbours_are_8_ulp_apart() -> None:
    rng = np.random.default_rng(7)
    exponents = np.linspace(-700.0, 700.0, 5_001)
    # About the borders of the table's steps and of the reduction of log.
    borders = (np.arange(-320, 320) + 0.5) * math.log(2.0) / 32
    for x in np.concatenate([exponents, borders, rng.uniform(-5, 5, 2_000)]).tolist():
        assert exp(x) < exp(x + 8 * max(math.ulp(x), 2.3e-16)), x
    halves = np.ldexp(math.sqrt(0.5), np.arange(-1_000, 1_000))
    for x in np.concatenate([halves, rng.uniform(0.5, 2.0, 2_000)]).tolist():
        step = 8 * max(math.ulp(x), x * math.ulp(math.log(x)))
        assert log(x - step) < log(x) < log(x + step), x


def test_both_can_be_called_from_a_kernel() -> None:
    from numba import njit

    @njit
    def there_and_back(x: float) -> float:
        return log(exp(x))

    assert there_and_back(1.25) == log(exp(1.25))


DIGEST = """
import hashlib
import numpy as np
from detectors.arithmetic import exp, log
from detectors.distances import jensen_shannon, psi
from detectors.drift.adwin import AdwinBank
from detectors.drift.cusum import CusumBank
from detectors.drift.ewma import EwmaBank
from detectors.drift.page_hinkley import PageHinkleyBank

rng = np.random.default_rng(20261123)
inputs = rng.uniform(-745.0, 709.7, 100_000).tolist()
positive = np.ldexp(rng.uniform(0.5, 1.0, 100_000), rng.integers(-1073, 1024, 100_000)).tolist()
digest = hashlib.blake2b(np.array([exp(x) for x in inputs]).tobytes(), digest_size=16)
digest.update(np.array([log(x) for x in positive]).tobytes())
values = np.concatenate([rng.normal(0, 1, 1_500), rng.normal(1, 2, 1_500)])
streams = rng.integers(0, 3, 3_000)
for bank in (AdwinBank(3), CusumBank(3), EwmaBank(3), PageHinkleyBank(3)):
    digest.update(bank.update(streams, values).tobytes())
    digest.update(bank.snapshot()["state"].tobytes())
counts = rng.poisson(5.0, (2, 34))
digest.update(np.array([psi(*counts), jensen_shannon(*counts)]).tobytes())
print(digest.hexdigest())
"""


def digest_with(environment: dict[str, str]) -> str:
    """Run the digest in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-c", DIGEST],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=180,
    )
    return run.stdout.strip()


@pytest.mark.timeout(300)
def test_the_bits_do_not_depend_on_the_cpu_or_on_compilation() -> None:
    native = digest_with({})
    assert len(native) == 32
    assert digest_with({"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}) == native
    assert digest_with({"NUMBA_DISABLE_JIT": "1"}) == native
