"""What ADWIN keeps: a window whose numbers are those of its values, and its limits."""

import numpy as np
import pytest

from detectors import ADWIN
from detectors.drift.adwin import AdwinBank

HEAD = {"width": 0, "total": 1, "variance": 2}


def head(bank: AdwinBank) -> dict[str, float]:
    """Read the numbers of the window of stream 0."""
    return {name: float(bank.snapshot()["state"][0, 0, k]) for name, k in HEAD.items()}


def feed(bank: AdwinBank, values: np.ndarray) -> np.ndarray:
    return bank.update(np.zeros(len(values), dtype=np.int64), values)


def test_the_window_s_numbers_are_those_of_its_values() -> None:
    rng = np.random.default_rng(1)
    detector = ADWIN()
    seen = rng.normal(3, 2, 5_000).tolist()
    for i, x in enumerate(seen):
        detector.update(x)
        if i % 500 == 499:
            window = np.array(seen[i + 1 - detector.width : i + 1])
            assert detector.total == pytest.approx(window.sum())
            assert detector.estimation == pytest.approx(window.mean())
            assert detector.variance == pytest.approx(window.var() * len(window))
    assert detector.width == 5_000


def test_an_empty_window_has_the_mean_0() -> None:
    detector = ADWIN()
    assert (detector.width, detector.total, detector.variance, detector.estimation) == (0, 0, 0, 0)


def test_a_drift_cuts_the_window_to_the_new_values_until_the_next_one() -> None:
    detector = ADWIN()
    for i in range(2_000):
        detector.update(float(i >= 1_000))
        if detector.drift_detected:
            assert i - 999 <= detector.width < 100
            detector.update(1.0)
            assert detector.width == 1
            return
    pytest.fail("The drift was not found.")


def test_no_check_is_made_before_the_grace_period_is_over() -> None:
    values = np.repeat([0.0, 100.0], [8, 24])
    for grace_period, first in ((15, 15), (16, 23), (24, 31)):
        bank = AdwinBank(1, clock=8, min_window_length=2, delta=0.5, grace_period=grace_period)
        assert np.flatnonzero(feed(bank, values))[0] == first


@pytest.mark.parametrize("max_buckets", [1, 2, 5])
def test_a_full_bank_slides_over_the_newest_values(max_buckets: int) -> None:
    rows = 6
    rng = np.random.default_rng(2)
    bank = AdwinBank(1, delta=1e-12, rows=rows, max_buckets=max_buckets)
    values = rng.normal(5, 2, 20_000)
    capacity = max_buckets * (2**rows - 1)
    widths = []
    for i in range(0, len(values), 100):
        assert not feed(bank, values[i : i + 100]).any()
        now = head(bank)
        widths.append(now["width"])
        window = values[: i + 100][-int(now["width"]) :]
        assert now["total"] == pytest.approx(window.sum())
        assert now["variance"] == pytest.approx(window.var() * len(window))
    assert max(widths) <= capacity
    assert min(widths[20:]) > capacity / 2 - 2 ** (rows - 1)


def test_a_full_bank_still_sees_a_change() -> None:
    bank = AdwinBank(1, rows=6)
    rng = np.random.default_rng(3)
    assert not feed(bank, rng.normal(0, 1, 3_000)).any()
    assert feed(bank, rng.normal(2, 1, 100)).any()


def test_a_bank_that_is_not_full_has_the_indices_of_one_with_more_rows() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(size=3_000) + np.repeat([0.0, 1.0, 0.0], 1_000)
    few, many = AdwinBank(1, rows=10), AdwinBank(1, rows=40)
    flags = feed(few, values)
    assert flags.sum() >= 2
    assert flags.tolist() == feed(many, values).tolist()


@pytest.mark.parametrize("count", [-1.0, 0.5, 6.0, 1e9])
def test_a_snapshot_that_would_write_beside_the_array_is_refused(count: float) -> None:
    bank = AdwinBank(2)
    snapshot = bank.snapshot()
    snapshot["state"][1, 3, 0] = count
    with pytest.raises(ValueError, match="not its snapshot"):
        bank.restore(snapshot)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("delta", 0.0),
        ("delta", 1.0),
        ("clock", 0),
        ("clock", 2.5),
        ("max_buckets", 0),
        ("min_window_length", 0),
        ("grace_period", -1),
        ("rows", 0),
        ("rows", 63),
    ],
)
def test_parameters_at_the_border_are_refused(parameter: str, value: float) -> None:
    with pytest.raises(ValueError, match=parameter):
        AdwinBank(1, **{parameter: value})
