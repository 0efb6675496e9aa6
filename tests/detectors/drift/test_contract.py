"""The contract of a detector and its bank, run over all four."""

import copy
import inspect
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from detectors import ADWIN, CUSUM, EWMA, PageHinkley
from detectors.drift.adwin import AdwinBank
from detectors.drift.bank import Bank, Detector
from detectors.drift.cusum import CusumBank
from detectors.drift.ewma import EwmaBank
from detectors.drift.page_hinkley import PageHinkleyBank

# Small parameters, so that each alarms many times in a few thousand values.
CASES: dict[str, tuple[Callable[..., Detector], Callable[..., Bank], dict[str, Any]]] = {
    "ADWIN": (ADWIN, AdwinBank, {"delta": 0.1, "clock": 4}),
    "CUSUM": (CUSUM, CusumBank, {"k": 0.5, "h": 3.0}),
    "EWMA": (EWMA, EwmaBank, {"weight": 0.2, "limit": 2.0}),
    "PageHinkley": (PageHinkley, PageHinkleyBank, {"min_instances": 10, "threshold": 6.0}),
}
STREAMS = 7

each = pytest.mark.parametrize("name", CASES)


def build(name: str, **changed: Any) -> Detector:
    detector, _, parameters = CASES[name]
    return detector(**{**parameters, **changed})


def build_bank(name: str, streams: int = STREAMS, **changed: Any) -> Bank:
    _, bank, parameters = CASES[name]
    return bank(streams, **{**parameters, **changed})


def stream(seed: int, size: int = 3_000) -> list[float]:
    """Draw normal values whose mean moves every 250 of them."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=size) + np.repeat(rng.normal(0, 1, size // 250), 250)).tolist()


def alarms(detector: Detector, values: list[float]) -> list[int]:
    found = []
    for i, x in enumerate(values):
        detector.update(x)
        if detector.drift_detected:
            found.append(i)
    return found


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
    assert sum(empty.values()) <= 4_400
    assert len(pickle.dumps(detector)) < 6_000


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


@each
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1.0])
def test_parameters_out_of_range_are_refused_by_name(name: str, bad: float) -> None:
    for parameter, standard in inspect.signature(CASES[name][0]).parameters.items():
        if parameter != "mode":
            assert standard.default is not inspect.Parameter.empty
            with pytest.raises(ValueError, match=parameter):
                build(name, **{parameter: bad})


@each
@pytest.mark.parametrize("chunk", [1, 3, STREAMS, 1_000, 10_000])
def test_a_bank_in_any_chunking_equals_the_objects(name: str, chunk: int) -> None:
    rng = np.random.default_rng(9)
    # A stream may come more than once in a chunk: its values count in their order.
    index = rng.integers(0, STREAMS, 6_000)
    values = rng.normal(0, 1.5, 6_000) + np.where(np.arange(6_000) % 2_000 < 1_000, 0.0, 1.0)
    bank = build_bank(name)
    flags = np.concatenate(
        [bank.update(index[i : i + chunk], values[i : i + chunk]) for i in range(0, 6_000, chunk)]
    )
    objects = [build(name) for _ in range(STREAMS)]
    expected = []
    for j, x in zip(index.tolist(), values.tolist(), strict=True):
        objects[j].update(x)
        expected.append(objects[j].drift_detected)
    assert sum(expected) >= STREAMS
    assert flags.tolist() == expected
    states = bank.snapshot()["state"]
    for j, detector in enumerate(objects):
        alone = detector.snapshot()["state"][0]
        np.testing.assert_array_equal(states[j], alone[: states[j].shape[0]])
        assert not alone[states[j].shape[0] :].any()


@each
def test_a_bank_goes_on_from_a_snapshot_and_leaves_other_streams_alone(name: str) -> None:
    index = np.array([5, 0, 3])
    values = np.array(stream(10)).reshape(-1, 3)
    first, second = build_bank(name), build_bank(name)
    for row in values[:400]:
        first.update(index, row)
    second.restore(first.snapshot())
    for row in values[400:]:
        assert second.update(index, row).tolist() == first.update(index, row).tolist()
    np.testing.assert_equal(second.snapshot(), first.snapshot())
    assert not first.snapshot()["state"][[1, 2, 4, 6]].any()
    assert first.snapshot()["state"][index].any()


@each
def test_a_bank_refuses_bad_calls_and_changes_nothing(name: str) -> None:
    bank = build_bank(name)
    bank.update(np.arange(STREAMS), np.ones(STREAMS))
    before = bank.snapshot()
    for index, values, message in [
        ([0, 1], [1.0, math.nan], "finite"),
        ([0, 1], [1.0, -math.inf], "finite"),
        ([0, 1], [1.0, 2e100], "1e100"),
        ([0, STREAMS], [1.0, 1.0], r"0\.\.\.6"),
        ([-1, 0], [1.0, 1.0], r"0\.\.\.6"),
        ([0, 1], [1.0], "one length"),
        ([[0, 1]], [[1.0, 1.0]], "one-dimensional"),
    ]:
        with pytest.raises(ValueError, match=message):
            bank.update(np.array(index), np.array(values))
    np.testing.assert_equal(bank.snapshot(), before)
    assert bank.update(np.array([], dtype=np.int64), np.array([])).shape == (0,)
    np.testing.assert_equal(bank.snapshot(), before)


@each
def test_a_snapshot_of_something_else_is_refused_and_changes_nothing(name: str) -> None:
    bank = build_bank(name)
    bank.update(np.arange(STREAMS), np.ones(STREAMS))
    before = bank.snapshot()
    state = before["state"]
    negative = np.full_like(state, -1.0)
    for snapshot in [
        {},
        {"state": state[:-1]},
        {"state": state, "more": state},
        {"state": state * math.nan},
        {"state": state.astype(np.float32)},
        {"state": negative},
    ]:
        if name == "EWMA" and snapshot.get("state") is negative:
            # An average of -1 is possible.
            continue
        with pytest.raises(ValueError, match="snapshot"):
            bank.restore(snapshot)
    np.testing.assert_equal(bank.snapshot(), before)
    with pytest.raises(ValueError, match="drift_detected"):
        build(name).restore(build_bank(name, 1).snapshot())


@each
def test_a_parameter_may_differ_from_stream_to_stream(name: str) -> None:
    parameter = {"ADWIN": "delta", "CUSUM": "h", "EWMA": "limit", "PageHinkley": "threshold"}[name]
    choices = [1e-9, 0.01, 0.9] if name == "ADWIN" else [1.5, 3.0, 6.0]
    bank = build_bank(name, 3, **{parameter: np.array(choices)})
    values = stream(11)
    flags = np.array([bank.update(np.arange(3), np.full(3, x)) for x in values])
    for j, chosen in enumerate(choices):
        detector = build(name, **{parameter: chosen})
        assert np.flatnonzero(flags[:, j]).tolist() == alarms(detector, values)
    assert len({flags[:, j].sum() for j in range(3)}) == 3
    with pytest.raises(ValueError, match=f"{parameter} must be one number or an array of 3"):
        build_bank(name, 3, **{parameter: np.array([0.1, 0.2])})
