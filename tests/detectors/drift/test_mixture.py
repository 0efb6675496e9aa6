"""The mixture as an object: the bits of the panel's bank, the threshold of the policy."""

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors import ShiryaevRoberts
from detectors.drift.mixture import MixtureBank
from detectors.drift.run_lengths import average_run_length, delays
from detectors.drift.shiryaev_roberts import ShiryaevRobertsBank
from detectors.policy import Allowance

STREAMS = 6
DELTA, CUMULANTS = 0.1, (1.05, -0.2, 0.3)


def panel_s_bank() -> ShiryaevRobertsBank:
    first = np.arange(STREAMS + 1)
    return ShiryaevRobertsBank(first, np.full(STREAMS, DELTA), np.tile(CUMULANTS, (STREAMS, 1)))


def scores(blocks: int) -> NDArray[np.float64]:
    draw = np.random.default_rng(1)
    return np.clip(draw.normal(0, 1, (blocks, STREAMS)) + np.linspace(-1, 1, STREAMS), -5, 5)


def test_every_step_has_the_bits_of_the_panel_s_bank() -> None:
    variance, kappa3, kappa4 = CUMULANTS
    steps = 3_000.0
    limit = Allowance(steps, 0.0).threshold(rare=False, both=False)
    panel, every = panel_s_bank(), np.arange(STREAMS)
    bank = MixtureBank(
        STREAMS, steps=steps, delta=DELTA, variance=variance, kappa3=kappa3, kappa4=kappa4
    )
    counts = np.full(STREAMS, 50)
    found = 0
    for end, block in enumerate(scores(500)):
        panel.update(every, block, (counts, block, counts, np.full(STREAMS, end)))
        flags = bank.update(every, block)
        assert flags.tolist() == (panel.evidence >= limit).tolist()
        for j in np.flatnonzero(flags).tolist():
            panel.reset(j)
        np.testing.assert_array_equal(bank.state, panel.r.reshape(STREAMS, -1))
        found += int(flags.sum())
    assert found > STREAMS


def test_evidence_grows_to_half_of_the_steps_and_starts_again_at_0() -> None:
    detector = ShiryaevRoberts(steps=10_000)
    before = 0.0
    while not detector.drift_detected:
        before = detector.evidence
        detector.update(3.0)
    assert 300 < before < 5_000
    assert detector.evidence == 0.0


def test_no_single_value_alarms() -> None:
    detector = ShiryaevRoberts(steps=10_000)
    detector.update(1e100)
    assert not detector.drift_detected
    assert 0 < detector.evidence < 500


def test_false_alarms_come_no_more_often_than_three_in_twice_the_steps() -> None:
    draw = np.random.default_rng(2)
    length = average_run_length(MixtureBank(1_000, steps=1_000), draw.standard_normal)
    assert length.high >= 1_000 / 1.5
    assert length.low <= 1_500


@pytest.mark.parametrize(
    ("shift", "most"), [(0.1, 1_000), (0.25, 200), (0.5, 62), (1.0, 21), (2.0, 7), (4.0, 3)]
)
def test_a_shift_of_any_size_is_found_in_time(shift: float, most: float) -> None:
    draw = np.random.default_rng(3)
    found = delays(MixtureBank(300), draw.standard_normal, lambda n: draw.normal(shift, 1.0, n))
    assert found.mean <= most
