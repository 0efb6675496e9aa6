"""Policy: one budget, shared so that the shares add up to it."""

import logs
import msgspec
import numpy as np
import pytest

from detectors.policy import (
    STEPS_MIN,
    Policy,
    allowances,
    budget_per_week,
    half_effect,
    tuning,
)
from detectors.profile import Profile, Statistic, Stream

HUGE = Policy(alarm_budget="1/month")
NO_EFFECT = Policy(min_effect_sigma=1e-9, min_effect_relative=1e-9)


def busy(profile: Profile, blocks_per_week: float) -> Profile:
    """Give every stream of a profile so much traffic."""
    streams = [
        msgspec.structs.replace(
            s, reference=msgspec.structs.replace(s.reference, blocks_per_week=blocks_per_week)
        )
        for s in profile.streams
    ]
    return msgspec.structs.replace(profile, streams=tuple(streams))


def model_steps(stream: Stream, policy: Policy) -> float:
    per_week = stream.reference.blocks_per_week / budget_per_week(policy.alarm_budget)
    return max(per_week, STEPS_MIN)


@pytest.mark.parametrize("budget", ["1/week", "20/hour", "1/month"])
def test_the_streams_shares_add_up_to_one_model(budget: str) -> None:
    policy = Policy(alarm_budget=budget)
    profile = logs.profile()
    shares = [
        model_steps(stream, policy) / allowance.steps
        for stream, allowance in zip(profile.streams, allowances(profile, policy), strict=True)
    ]
    assert sum(shares) == pytest.approx(1.0, rel=1e-12)


def test_false_alarms_a_week_add_up_to_the_budget_where_traffic_is_high() -> None:
    profile = busy(logs.profile(), 1e6)
    policy = Policy(alarm_budget="3/week")
    assert sum(a.per_week for a in allowances(profile, policy)) == pytest.approx(3.0)


def test_outcomes_and_features_over_all_events_get_most_of_the_budget() -> None:
    profile = logs.profile()
    shares = {"outcome": 0.0, "features": 0.0, "rest": 0.0}
    for stream, allowance in zip(profile.streams, allowances(profile, Policy()), strict=True):
        name = profile.channels[stream.channel].name
        tier = "outcome" if name in {"prediction", "error"} else "features"
        tier = "rest" if stream.slice or stream.missing else tier
        shares[tier] += model_steps(stream, Policy()) / allowance.steps
    assert shares == pytest.approx({"outcome": 0.4, "features": 0.4, "rest": 0.2})


def test_a_group_that_is_not_there_leaves_its_part_to_the_others() -> None:
    profile = logs.profile()
    only = tuple(s for s in profile.streams if not s.slice and not s.missing)
    profile = msgspec.structs.replace(profile, streams=only)
    shares = [
        model_steps(s, Policy()) / a.steps
        for s, a in zip(only, allowances(profile, Policy()), strict=True)
    ]
    assert sum(shares) == pytest.approx(1.0)


def test_little_traffic_is_not_granted_more_than_one_false_alarm_in_ten_thousand_blocks() -> None:
    profile = busy(logs.profile(), 23.0)
    assert sum(23.0 / a.per_week for a in allowances(profile, Policy())) >= STEPS_MIN
    assert sum(1 / a.steps for a in allowances(profile, Policy())) == pytest.approx(1 / STEPS_MIN)


def test_a_larger_budget_lowers_the_threshold_and_a_smaller_one_raises_it() -> None:
    profile = busy(logs.profile(), 1e6)
    loose, usual, strict = (
        allowances(profile, Policy(alarm_budget=text))[0].threshold(rare=False, both=False)
        for text in ("7/week", "1/week", "1/month")
    )
    assert loose == pytest.approx(usual / 7)
    assert strict == pytest.approx(usual * 30 / 7)


def test_a_stream_splits_its_part_between_scores_and_rare_things() -> None:
    allowance = allowances(logs.profile(), Policy())[0]
    alone = allowance.threshold(rare=False, both=False)
    split = [allowance.threshold(rare=rare, both=True) for rare in (False, True)]
    assert sum(alone / t for t in split) == pytest.approx(1.0)
    assert alone / split[1] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("text", "per_week"),
    [
        ("1/week", 1.0),
        ("2/day", 14.0),
        ("0.5/hour", 84.0),
        (" 3 / week ", 3.0),
        ("1/month", 7 / 30),
    ],
)
def test_a_budget_is_read_as_false_alarms_a_week(text: str, per_week: float) -> None:
    assert budget_per_week(text) == pytest.approx(per_week)


@pytest.mark.parametrize(
    "text", ["", "1", "0/week", "0.0/day", "-1/week", "1/year", "one/week", "1/week!", "nan/week"]
)
def test_what_is_no_budget_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write for example '1/week'"):
        budget_per_week(text)


def stream_of(
    name: str, n: int, blocks: int = 2_000, within: float = 1.0, p: float = 0.25
) -> Stream:
    counts = (round(1e6 * (1 - p)), round(1e6 * p))
    at = 1 if name == "share" else -1
    stat = Statistic(name, 0.0, within, 0.0, 1.0, 0.0, 0.0, at)
    reference = msgspec.structs.replace(
        logs.profile().streams[0].reference,
        counts=counts,
        rare=(),
        blocks=blocks,
        block_n=float(n),
        statistics=(stat,),
    )
    return Stream(0, 0, False, reference)


@pytest.mark.parametrize("n", [50, 5_000])
def test_the_minimum_effect_of_a_number_is_in_sigmas_of_an_event(n: int) -> None:
    stream = stream_of("level", n)
    half = half_effect(stream, stream.reference.statistics[0], Policy(min_effect_sigma=0.2))
    assert half == pytest.approx(0.5 * 0.2 * np.sqrt(n))


def test_the_minimum_effect_of_a_share_is_relative() -> None:
    stream = stream_of("share", 100)
    policy = Policy(min_effect_relative=0.2)
    sd_of_share = np.sqrt(0.25 * 0.75 / 100)
    assert half_effect(stream, stream.reference.statistics[0], policy) == pytest.approx(
        0.5 * 0.2 * 0.25 / sd_of_share
    )


@pytest.mark.parametrize(("blocks", "c"), [(400, 1.5), (1_600, 1.0)])
def test_a_short_reference_allows_for_its_own_error(blocks: int, c: float) -> None:
    stream = stream_of("level", 50, blocks=blocks)
    tuned = tuning(stream, stream.reference.statistics[0], NO_EFFECT)
    assert tuned.scale == 1.0
    assert tuned.delta == pytest.approx(c / np.sqrt(blocks))
    assert tuned.variance == pytest.approx(1 + c * np.sqrt(2 / blocks))


def test_weekdays_that_the_reference_cannot_know_are_allowed_for() -> None:
    stream = stream_of("level", 50)
    stat = msgspec.structs.replace(stream.reference.statistics[0], delta=0.7)
    assert tuning(stream, stat, NO_EFFECT).delta == 0.7


def test_a_large_block_is_measured_in_units_of_the_minimum_effect() -> None:
    stream = stream_of("level", 100_000)
    stat = msgspec.structs.replace(stream.reference.statistics[0], kappa3=0.8, kappa4=0.4)
    tuned = tuning(stream, stat, Policy(min_effect_sigma=0.1))
    scale = 0.05 * np.sqrt(100_000)
    assert (tuned.scale, tuned.delta) == (pytest.approx(scale), 1.0)
    assert tuned.variance == pytest.approx((1 + tuned_error(stream, stat)) / scale**2)
    assert (tuned.kappa3, tuned.kappa4) == pytest.approx((0.8 / scale**3, 0.4 / scale**4))


def tuned_error(stream: Stream, stat: Statistic) -> float:
    return float(1.0 * np.sqrt((2 + stat.kappa4) / stream.reference.blocks))
