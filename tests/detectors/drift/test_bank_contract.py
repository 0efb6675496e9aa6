"""The contract of a bank, run over all of them: in any chunking it equals the objects."""

import math

import numpy as np
import pytest
from detector_cases import (
    CHOICES,
    STREAMS,
    alarms,
    build,
    build_bank,
    each,
    each_of_ours,
    stream,
)


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
def test_a_reset_starts_the_named_streams_afresh_and_leaves_the_others(name: str) -> None:
    bank, other = build_bank(name), build_bank(name)
    values = np.array(stream(13, 1_000))
    for x in values[:400]:
        bank.update(np.arange(STREAMS), np.full(STREAMS, x))
        other.update(np.arange(STREAMS), np.full(STREAMS, x))
    bank.reset(np.array([2, 4]))
    fresh = build_bank(name)
    for x in values[400:]:
        flags = bank.update(np.arange(STREAMS), np.full(STREAMS, x))
        begun = fresh.update(np.arange(STREAMS), np.full(STREAMS, x))
        before = other.update(np.arange(STREAMS), np.full(STREAMS, x))
        is_reset = np.isin(np.arange(STREAMS), [2, 4])
        assert flags.tolist() == np.where(is_reset, begun, before).tolist()


@each_of_ours
def test_a_parameter_may_differ_from_stream_to_stream(name: str) -> None:
    parameter, choices = CHOICES[name]
    bank = build_bank(name, 3, **{parameter: np.array(choices)})
    values = stream(11)
    flags = np.array([bank.update(np.arange(3), np.full(3, x)) for x in values])
    for j, chosen in enumerate(choices):
        detector = build(name, **{parameter: chosen})
        assert np.flatnonzero(flags[:, j]).tolist() == alarms(detector, values)
    assert len({flags[:, j].sum() for j in range(3)}) == 3
    with pytest.raises(ValueError, match=f"{parameter} must be one number or an array of 3"):
        build_bank(name, 3, **{parameter: np.array([0.1, 0.2])})
