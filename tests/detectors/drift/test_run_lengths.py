"""CUSUM and EWMA have the run lengths that were published for them.

Each value is met within 2 % or 3 standard errors of the simulation, whichever is more.
"""

import csv
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.drift.bank import Bank
from detectors.drift.cusum import CusumBank
from detectors.drift.ewma import EwmaBank
from detectors.drift.run_lengths import (
    average_run_length,
    delays,
    ewma_run_length,
    run_lengths,
)

TABLES = Path(__file__).resolve().parents[4] / "shared" / "data" / "arl"
RUNS = 20_000

# Lucas & Crosier 1982, Technometrics 24: two-sided CUSUM, k = 0.5, h = 4; shift -> run length.
CUSUM_K_05_H_4 = {
    0.0: 168.0,
    0.25: 74.2,
    0.5: 26.6,
    0.75: 13.3,
    1.0: 8.38,
    1.5: 4.75,
    2.0: 3.34,
    2.5: 2.62,
    3.0: 2.19,
    4.0: 1.71,
    5.0: 1.31,
}
SHIFTS = [0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0]
# Lucas & Saccucci 1990, Technometrics 32: two-sided EWMA.
EWMA_05_3071 = [500.0, 255.0, 88.8, 35.9, 17.5, 6.53, 3.63, 2.5, 1.93, 1.58, 1.34, 1.07]
EWMA_003_2437 = [500.0, 76.7, 29.3, 17.6, 12.6, 8.07, 5.99, 4.8, 4.03, 3.49, 3.11, 2.55]


def feed(bank: Bank, shift: float, seed: int) -> NDArray[np.int64]:
    """Feed each stream N(shift, 1) until its first alarm; return the values that it took."""
    rng = np.random.default_rng(seed)
    lengths, unfinished = run_lengths(bank, lambda n: rng.normal(shift, 1.0, n))
    assert unfinished == 0
    return lengths


def assert_meets(lengths: np.ndarray, published: float) -> None:
    error = lengths.std() / math.sqrt(len(lengths))
    # The tables are printed with three digits.
    rounding = 0.5 * 10 ** (math.floor(math.log10(published)) - 2)
    assert abs(lengths.mean() - published) <= max(0.02 * published, 3 * error + rounding)


@pytest.mark.parametrize(("shift", "published"), CUSUM_K_05_H_4.items())
def test_cusum_has_the_run_lengths_of_lucas_and_crosier(shift: float, published: float) -> None:
    assert_meets(feed(CusumBank(RUNS, k=0.5, h=4.0), shift, seed=1), published)


@pytest.mark.parametrize("shift", [0.5, 2.0])
def test_cusum_is_as_quick_downwards(shift: float) -> None:
    lengths = feed(CusumBank(RUNS, k=0.5, h=4.0), -shift, seed=2)
    assert_meets(lengths, CUSUM_K_05_H_4[shift])


@pytest.mark.parametrize(("shift", "published"), zip(SHIFTS, EWMA_05_3071, strict=True))
def test_ewma_has_the_run_lengths_of_lucas_and_saccucci(shift: float, published: float) -> None:
    assert_meets(feed(EwmaBank(RUNS, weight=0.5, limit=3.071), shift, seed=3), published)


@pytest.mark.parametrize(("shift", "published"), zip(SHIFTS, EWMA_003_2437, strict=True))
def test_slow_ewma_has_the_run_lengths_too(shift: float, published: float) -> None:
    for way, seed in ((shift, 4), (-shift, 5)):
        bank = EwmaBank(RUNS, weight=0.03, limit=2.437)
        assert_meets(feed(bank, way, seed), published)


def test_after_an_alarm_both_run_on_from_0() -> None:
    for bank in (CusumBank(1, k=0.5, h=4.0), EwmaBank(1, weight=0.5, limit=3.071)):
        values = np.tile([1.0, 2.0, 3.0], 20)
        found = np.flatnonzero(bank.update(np.zeros(60, np.int64), values))
        assert len(found) > 5
        assert np.all(np.diff(found) == found[0] + 1)


@pytest.mark.parametrize(
    ("weight", "limit", "published"), [(0.5, 3.071, EWMA_05_3071), (0.03, 2.437, EWMA_003_2437)]
)
def test_the_markov_chain_gives_the_published_run_lengths(
    weight: float, limit: float, published: list[float]
) -> None:
    for shift, length in zip(SHIFTS, published, strict=True):
        assert ewma_run_length(weight, limit, shift) == pytest.approx(length, rel=0.02)


def test_run_lengths_are_those_of_one_stream_after_the_other() -> None:
    values = np.random.default_rng(7).normal(0.3, 1.0, (4_000, 5))
    rows = iter(values)
    bank, alone = CusumBank(5), CusumBank(5)
    flags = np.array([alone.update(np.arange(5), row) for row in values])
    # One step at a time, for the streams that still run.
    lengths = np.zeros(5, np.int64)
    running = np.arange(5)
    while len(running):
        row = next(rows)
        lengths[running] += 1
        running = running[~bank.update(running, row[running])]
    assert (1 + flags.argmax(axis=0)).tolist() == lengths.tolist()
    for j in range(5):
        column = iter(values[:, j])

        def draw(n: int, column: Iterator[float] = column) -> NDArray[np.float64]:
            return np.array([next(column) for _ in range(n)])

        assert run_lengths(CusumBank(1), draw)[0].tolist() == [lengths[j]]


def test_streams_that_never_alarm_are_counted_as_unfinished() -> None:
    found = average_run_length(CusumBank(3), np.zeros, steps_max=100)
    assert tuple(found) == (100.0, 100.0, 100.0, 3, 3)


def test_a_delay_counts_from_the_change_and_leaves_early_alarms_out() -> None:
    rng = np.random.default_rng(8)
    found = delays(CusumBank(2_000), rng.standard_normal, lambda n: rng.normal(1.0, 1.0, n))
    # Of ARL 168, about e^(-200/168) of the runs get as far as the change.
    assert 2_000 * math.exp(-200 / 168) == pytest.approx(found.runs, rel=0.1)
    assert found.low <= 8.38
    assert found.mean >= 6.5


def test_the_tables_here_are_those_of_the_data_files() -> None:
    cusum = TABLES / "cusum_two_sided_k0.5_h4_lucas_crosier1982.csv"
    ewma = TABLES / "ewma_two_sided_lucas_saccucci1990.csv"
    if not (cusum.exists() and ewma.exists()):
        pytest.skip("The tables are not in ../shared/data/arl: the copies here are not compared.")
    with cusum.open() as lines:
        assert {float(r["mu"]): float(r["arl"]) for r in csv.DictReader(lines)} == CUSUM_K_05_H_4
    with ewma.open() as lines:
        rows = list(csv.DictReader(lines))
    assert [float(r["mu"]) for r in rows] == SHIFTS
    assert [float(r["lambda0.5_c3.071"]) for r in rows] == EWMA_05_3071
    assert [float(r["lambda0.03_c2.437"]) for r in rows] == EWMA_003_2437
