"""Rates and references: silence alarms, learning streams do not, a new version is watched."""

import logs
import msgspec
import numpy as np
import pytest
from shops import BLOCKS_A_DAY, MONDAY_MS, Shop, block_of, judged

from detectors.alert import Alert
from detectors.channels import FitOptions
from detectors.events import Event
from detectors.fit import fit
from detectors.policy import Policy

WEEKS = 14 * BLOCKS_A_DAY


def traffic(seed: int, days: int, factor: float = 1.0, at: int = 1 << 60) -> Shop:
    """Draw events whose number swings by a factor of four a day, and changes from a block on."""
    draw = np.random.default_rng(seed)
    hour = np.arange(days * BLOCKS_A_DAY) / BLOCKS_A_DAY * 2 * np.pi
    expected = 100 * np.exp(0.7 * np.sin(hour)) * np.exp(draw.normal(0, 0.05, len(hour)))
    expected[at:] *= factor
    n = draw.poisson(expected)
    buckets = np.repeat(np.arange(len(n)), n)
    return Shop(draw.normal(0, 1, (len(buckets), 1)), buckets, rated=True)


def rate_alarms(shop: Shop) -> list[Alert]:
    profile = shop.fit(WEEKS, Policy())
    found = judged(shop, profile, Policy(), WEEKS)
    return [e for e in found if isinstance(e, Alert) and e.channel == "rate"]


def test_traffic_that_only_swings_with_the_day_is_quiet() -> None:
    assert rate_alarms(traffic(1, days=28)) == []


@pytest.mark.parametrize(("factor", "direction"), [(0.6, "down"), (1.8, "up"), (0.02, "down")])
def test_a_change_of_the_rate_is_found_within_two_hours(factor: float, direction: str) -> None:
    at = WEEKS + 300
    first, *_ = rate_alarms(traffic(2, days=18, factor=factor, at=at))
    assert direction == first.direction
    assert 0 <= block_of(logs.instant_ms(first.time)) - at <= 12
    assert abs(block_of(logs.instant_ms(first.onset)) - at) <= 3
    assert first.effect.unit == "events/s"
    assert first.effect.to / first.effect.from_ == pytest.approx(factor, rel=0.4, abs=0.05)
    assert ("fewer" if factor < 1 else "more") in first.summary


def learning(**options: float) -> set[str]:
    chosen = msgspec.structs.replace(FitOptions(), **options)
    profile = fit(logs.events(30_000, seed=1), chosen, Policy())
    return {s.reference.learning for s in profile.streams}


def test_a_reference_of_hours_is_learning_and_says_why() -> None:
    assert learning() == {"the reference covers 0.3 days of 2 needed"}


def test_a_reference_of_few_blocks_is_learning_and_says_why() -> None:
    reasons = learning(learn_days=0.0, learn_blocks=5_000)
    assert "the reference has 500 blocks of 5000 needed" in reasons


def test_learning_streams_are_measured_and_do_not_alarm() -> None:
    profile = fit(logs.events(30_000, seed=1), FitOptions(), Policy())
    broken = logs.events(6_000, seed=21, shifts=(logs.Shift(3_000, 3.0),))
    found = logs.judged(broken, logs.book(profile), metrics=True)
    assert found
    assert not [e for e in found if isinstance(e, Alert)]


def deployed(events: list[Event], version: str, share: float) -> list[Event]:
    draw = np.random.default_rng(3)
    new = draw.random(len(events)) < share
    return [
        msgspec.structs.replace(e, version=version if is_new else e.version)
        for e, is_new in zip(events, new.tolist(), strict=True)
    ]


def test_a_version_that_the_reference_has_not_seen_is_measured_against_the_models() -> None:
    canary = deployed(logs.events(9_000, seed=7), "2", 0.2)
    worse = [
        msgspec.structs.replace(e, score=min(1.0, (e.score or 0) + 0.25)) if e.version == "2" else e
        for e in canary
    ]
    profile = logs.profile()
    assert logs.alerts(canary, logs.book(profile)) == []
    found = {(a.channel, a.version) for a in logs.alerts(worse, logs.book(profile))}
    assert ("prediction", "__other__") in found


def test_the_first_monday_of_the_tests_is_a_monday() -> None:
    assert (MONDAY_MS // 86_400_000 + 3) % 7 == 0
