"""Detectors of river by name: river's own alarms, for as long as a stream's values are kept."""

import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from river import drift

from detectors.drift.river_plugin import KEPT_MAX, RiverBank, RiverDetector, river_class
from detectors.errors import ConfigError


def values(seed: int, size: int) -> NDArray[np.float64]:
    draw = np.random.default_rng(seed)
    return draw.normal(size=size) + np.repeat(draw.normal(0, 2, size // 100), 100)


@pytest.mark.parametrize("name", ["ADWIN", "PageHinkley", "KSWIN", "NoDrift", "DummyDriftDetector"])
def test_it_alarms_where_river_does(name: str) -> None:
    bank = RiverBank(2, name=name)
    seeded = name in {"KSWIN", "DummyDriftDetector"}
    for j in range(2):
        theirs = getattr(drift, name)(**({"seed": j} if seeded else {}))
        for i, x in enumerate(values(j, 1_000).tolist()):
            theirs.update(x)
            ours = bank.update(np.array([j]), np.array([x]))[0]
            assert ours == theirs.drift_detected, i


def test_random_windows_are_the_same_in_a_replay_and_after_a_restart() -> None:
    x = values(3, 700)
    index = np.zeros(700, np.int64)
    whole = RiverBank(1, name="KSWIN").update(index, x)
    assert whole.sum() >= 2
    first, second = RiverBank(1, name="KSWIN"), RiverBank(1, name="KSWIN")
    head = first.update(index[:350], x[:350])
    second.restore(first.snapshot())
    tail = second.update(index[350:], x[350:])
    assert whole.tolist() == [*head.tolist(), *tail.tolist()]


def test_a_stream_starts_afresh_after_the_values_that_are_kept() -> None:
    bank, fresh = RiverBank(1, name="ADWIN"), RiverBank(1, name="ADWIN")
    calm = np.random.default_rng(4).normal(size=KEPT_MAX)
    assert not bank.update(np.zeros(KEPT_MAX, np.int64), calm).any()
    np.testing.assert_equal(bank.snapshot(), fresh.snapshot())
    more = values(5, 500)
    index = np.zeros(500, np.int64)
    assert fresh.update(index, more).tolist() == bank.update(index, more).tolist()


@pytest.mark.parametrize("count", [-1.0, 0.5, KEPT_MAX, 1e9])
def test_a_snapshot_that_would_write_beside_the_array_is_refused(count: float) -> None:
    bank = RiverBank(2, name="ADWIN")
    snapshot = bank.snapshot()
    snapshot["state"][1, 0] = count
    with pytest.raises(ValueError, match="not its snapshot"):
        bank.restore(snapshot)


def test_an_unknown_name_is_told_the_near_one() -> None:
    with pytest.raises(ConfigError, match="did you mean 'PageHinkley'") as caught:
        river_class("PageHinkly")
    assert "KSWIN" in str(caught.value)


@pytest.mark.parametrize("name", ["DriftRetrainingClassifier", "PeriodicTrigger", "binary", ""])
def test_what_is_no_detector_of_numbers_is_unknown(name: str) -> None:
    with pytest.raises(ConfigError, match="has no detector"):
        RiverDetector(name)


@pytest.mark.parametrize("name", ["DDM", "EDDM", "FHDDM", "HDDMA", "HDDMW"])
def test_detectors_of_errors_are_refused_with_the_reason(name: str) -> None:
    with pytest.raises(ConfigError, match="errors of 0 and 1"):
        river_class(name)


def test_without_river_a_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "river", None)
    with pytest.raises(ConfigError, match="river:KSWIN needs the package river"):
        river_class("KSWIN")
