"""The contract of a detector, run over all of them."""

import copy
import inspect
import math
import pickle
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from detector_cases import CASES, CHOICES, alarms, build, build_bank, each, each_of_ours, stream

from detectors.drift.bank import Detector


@each
def test_update_returns_nothing_and_sets_a_bool(name: str) -> None:
    detector = build(name)
    assert detector.drift_detected is False
    flags = set()
    for x in stream(1):
        assert detector.update(x) is None
        flags.add(detector.drift_detected)
    assert flags == {True, False}
    assert all(type(flag) is bool for flag in flags)


@each
def test_whole_numbers_booleans_and_numpy_scalars_are_taken_as_floats(name: str) -> None:
    floats, others = build(name), build(name)
    for i, x in enumerate([0, 1, True, np.float32(2.5), np.int64(3), 7] * 40):
        floats.update(float(x))
        others.update(x)
        assert floats.drift_detected == others.drift_detected, i
    np.testing.assert_equal(others.snapshot(), floats.snapshot())


@each
def test_a_snapshot_in_the_middle_goes_on_with_the_same_bits(name: str) -> None:
    values = stream(2)
    whole = build(name)
    found = alarms(whole, values)
    assert len(found) > 3
    # In the middle, right before and right after an alarm.
    for cut in (0, 1, 1_234, found[1], found[1] + 1):
        first, second = build(name), build(name)
        head = alarms(first, values[:cut])
        second.restore(first.snapshot())
        assert second.drift_detected == first.drift_detected
        tail = [cut + i for i in alarms(second, values[cut:])]
        assert head + tail == found
        np.testing.assert_equal(second.snapshot(), whole.snapshot())


@each
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))])
def test_a_clone_goes_its_own_way(name: str, clone: Callable[[Detector], Detector]) -> None:
    values = stream(3)
    original = build(name)
    alarms(original, values[:1_000])
    before = original.snapshot()
    twin = clone(original)
    found = alarms(twin, values[1_000:])
    np.testing.assert_equal(original.snapshot(), before)
    assert alarms(original, values[1_000:]) == found
    np.testing.assert_equal(original.snapshot(), twin.snapshot())


@each
def test_a_snapshot_is_a_copy_of_finite_float64(name: str) -> None:
    detector = build(name)
    for stop in (0, 1, 500):
        alarms(detector, stream(4)[:stop])
        snapshot = detector.snapshot()
        assert all(np.isfinite(array).all() for array in snapshot.values())
        assert {array.dtype for array in snapshot.values()} == {np.dtype(np.float64)}
        for array in snapshot.values():
            array[...] = 99.0
        assert not any((array == 99.0).any() for array in detector.snapshot().values())


@each
def test_memory_is_bounded(name: str) -> None:
    detector = build(name)
    empty = {key: array.nbytes for key, array in detector.snapshot().items()}
    alarms(detector, stream(5, 20_000))
    assert {key: array.nbytes for key, array in detector.snapshot().items()} == empty
    kept = 33_000 if name.startswith("river:") else 4_400
    assert sum(empty.values()) <= kept
    assert len(pickle.dumps(detector)) < 1.5 * kept


@each_of_ours
def test_ten_million_values_neither_fill_nor_blind_it(name: str) -> None:
    # So strict that nothing alarms, and nothing is forgotten, before the change.
    strict = {"ADWIN": 1e-40, "CUSUM": 60.0, "EWMA": 9.0, "PageHinkley": 60.0}
    parameter = CHOICES[name][0]
    changed: dict[str, Any] = {parameter: strict.get(name, 1e30)}
    if name == "PageHinkley":
        changed |= {"delta": 0.5, "alpha": 1.0}
    bank = build_bank(name, 1, **changed)
    rng = np.random.default_rng(12)
    index = np.zeros(1_000_000, np.int64)
    size = len(pickle.dumps(bank))
    for _ in range(10):
        assert not bank.update(index, rng.standard_normal(1_000_000)).any()
    assert len(pickle.dumps(bank)) == size
    assert np.isfinite(bank.snapshot()["state"]).all()
    bank.restore(bank.snapshot())
    assert bank.update(index[:200], rng.normal(4.0, 1.0, 200)).any()


@each
def test_its_file_says_what_it_sees_costs_and_what_to_use_instead(name: str) -> None:
    says = inspect.getdoc(sys.modules[CASES[name][0].__module__]) or ""
    for words in ("It sees", "not see", "Use ", " instead when", "whiten first", "Cost:", "Refer"):
        assert words in says, words


@each
@pytest.mark.parametrize("x", [math.nan, math.inf, -math.inf, 1.1e100, -1e300])
def test_values_that_would_blind_it_are_refused_and_change_nothing(name: str, x: float) -> None:
    detector = build(name)
    alarms(detector, stream(6)[:500])
    before = detector.snapshot()
    with pytest.raises(ValueError, match="finite number of magnitude at most 1e100"):
        detector.update(x)
    np.testing.assert_equal(detector.snapshot(), before)


@each
def test_what_is_no_number_is_a_type_error(name: str) -> None:
    for x in ("3", None, [1.0]):
        with pytest.raises(TypeError):
            build(name).update(x)


@each
def test_the_largest_values_do_not_blind_it(name: str) -> None:
    detector = build(name)
    rng = np.random.default_rng(8)
    alarms(detector, (1e100 * rng.choice([-1.0, 1.0], 400)).tolist())
    assert all(np.isfinite(array).all() for array in detector.snapshot().values())


@each_of_ours
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1.0])
def test_parameters_out_of_range_are_refused_by_name(name: str, bad: float) -> None:
    for parameter, standard in inspect.signature(CASES[name][0]).parameters.items():
        if parameter != "mode" and (parameter, bad) != ("kappa3", -1.0):
            assert standard.default is not inspect.Parameter.empty
            with pytest.raises(ValueError, match=parameter):
                build(name, **{parameter: bad})
